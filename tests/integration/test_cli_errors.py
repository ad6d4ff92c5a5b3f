"""Every error a person can cause is one clear line and a status other than 0."""

import subprocess
import sys
from pathlib import Path

import pytest

from fraudstream.cli import COMMANDS
from fraudstream.commands.reference import commands_page
from tests.integration.command_line import CommandLine


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys, {"FRAUDSTREAM_KAFKA_URL": "kafka://127.0.0.1:1"})


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["nonsense"], "No such command 'nonsense' (see `fraudstream --help`)"),
        (["topics", "nonsense"], "No such command 'nonsense' (see `fraudstream topics --help`)"),
        (["worker", "--scoring", "-1"], "Invalid value for '--scoring': -1 is not in the range 0<=x<=256"),
        (
            ["replay", "/none.csv", "--format", "capstone"],
            "File '/none.csv' does not exist",
        ),
        (["replay", __file__, "--format", "excel"], "Invalid value for '--format': 'excel' is not one of"),
        (["replay", __file__, "--format", "jsonl", "--rate", "0"], "Invalid value for '--rate'"),
        (["replay", __file__, "--format", "jsonl", "--labels-after", "7"], "expected a duration such as 7d"),
        (["dead-letters", "show", "17"], "expected a position such as 0-17"),
        (["replay"], "Missing argument 'FILE...'"),
    ],
)
def test_a_mistyped_command_is_one_line_with_status_2(
    command: CommandLine, typed: list[str], said: str
) -> None:
    finished = command(*typed)

    (line,) = finished.errors
    assert line.startswith("fraudstream: error: ")
    assert said in line
    assert finished.status == 2


@pytest.mark.parametrize(
    "typed",
    [
        ["topics", "create"],
        ["topics", "check"],
        ["dead-letters", "list"],
        ["dead-letters", "show", "0-0"],
        ["dead-letters", "resend", "0-0"],
        ["replay", __file__, "--format", "jsonl"],
    ],
)
def test_a_broker_that_does_not_answer_is_one_line(command: CommandLine, typed: list[str]) -> None:
    finished = command(*typed)

    assert finished.errors == [
        "fraudstream: error: kafka is unavailable: no broker answers at kafka://127.0.0.1:1"
    ]
    assert finished.status == 1


def test_every_bad_setting_is_a_line(command: CommandLine) -> None:
    finished = command("topics", "check", EPOCH="0", NONSENSE="1")

    assert [line.split(":")[2].strip() for line in finished.errors] == [
        "FRAUDSTREAM_EPOCH",
        "FRAUDSTREAM_NONSENSE",
    ]
    assert finished.status == 1


def test_check_names_everything_that_is_wrong_in_one_go(command: CommandLine, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("name = 1\n")

    finished = command(
        "check",
        EPOCH="0",
        WIRE_FORMATS=str(wrong),
        MONGO_URL="mongodb://app:hunter2@127.0.0.1:1/f",
        MARIADB_URL="mysql://app:hunter2@127.0.0.1:1/f",
    )

    said = "\n".join(finished.errors)
    assert finished.status == 1
    assert all(line.startswith("fraudstream: error: ") for line in finished.errors)
    for part in (
        "FRAUDSTREAM_EPOCH: ",
        "wrong.toml:1",
        "kafka is un",
        "archive is un",
        "store of counts is un",
    ):
        assert part in said
    assert "hunter2" not in said


def test_what_a_bad_variable_belongs_to_is_left_out(command: CommandLine, tmp_path: Path) -> None:
    finished = command(
        "check",
        KAFKA_URL="nowhere",
        MONGO_URL=f"sqlite:///{tmp_path}/a",
        MARIADB_URL=f"sqlite:///{tmp_path}/b",
    )

    (line,) = finished.errors
    assert line.startswith("fraudstream: error: FRAUDSTREAM_KAFKA_URL: expected kafka://")
    assert "ok  archive" in finished.out


def test_no_process_at_all_is_refused(command: CommandLine) -> None:
    finished = command("worker", "--scoring=0", "--sinks=0", "--learning=0")

    assert finished.errors == ["fraudstream: error: nothing to run: every count is 0"]
    assert finished.status == 1


def test_help_and_version_need_no_settings(command: CommandLine) -> None:
    assert command("--help", NONSENSE="1").status == 0
    assert command("--version", NONSENSE="1").out.startswith("fraudstream ")


def test_the_overview_lists_commands_that_exist() -> None:
    from fraudstream.cli import cli

    root = cli.make_context("fraudstream", [], resilient_parsing=True)
    for name, listed in COMMANDS.items():
        found = cli.get_command(root, name)
        assert found is not None
        assert found.hidden == (not listed.summary)


def test_the_command_reference_agrees_with_the_code() -> None:
    from fraudstream.cli import cli

    root = cli.make_context("fraudstream", [], resilient_parsing=True)
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")

    assert commands_page(root) in page, "run: fraudstream reference cli --into docs/cli.md"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fraudstream", "reference", "settings"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    errors = process.stderr.read()
    process.wait()
    process.stderr.close()

    assert errors == b""
