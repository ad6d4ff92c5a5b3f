"""``fraudstream demo`` as a person runs it: real processes, the embedded broker, SQLite stores."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

COMMAND = [sys.executable, "-m", "fraudstream", "demo", "--plain"]

WAIT_SECONDS = 150
"""How long anything here may take on a machine that is busy with much else; alone it takes a tenth."""


def family_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def left_alive(processes: list[psutil.Process], seconds: float = 10.0) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return alive


def wait_for(found, seconds=WAIT_SECONDS):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(0.1)
    pytest.fail(f"nothing came within {seconds} s")


def started(tmp_path, *options: str) -> subprocess.Popen[str]:
    # FRAUDSTREAM_PARTITIONS shows that a demo takes no setting from outside: topics would not fit.
    environment = os.environ | {"TMPDIR": str(tmp_path), "FRAUDSTREAM_PARTITIONS": "7"}
    return subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def lines_until(process: subprocess.Popen[str], text: str) -> list[str]:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    pytest.fail(f"ended without {text!r}:\n{''.join(lines)}")


def all_workers(pid: int) -> list[psutil.Process]:
    """Return every descendant once all five are there: broker, supervisor, three workers."""
    family = family_of(pid)
    return family if len(family) >= 5 else []


@pytest.mark.slow
def test_a_demo_ends_by_itself_with_numbers_that_agree_and_leaves_nothing(tmp_path):
    report = tmp_path / "report.json"
    process = started(tmp_path, "--seconds", "15", "--broken", "0.01", "--json", str(report))
    family = wait_for(lambda: all_workers(process.pid))

    output, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 0, output
    assert "nothing lost, nothing doubled" in output
    numbers = json.loads(report.read_text())
    assert numbers["sent"] > 2_000
    assert numbers["dead_lettered"] == numbers["broken"] > 5
    assert numbers["sent"] == numbers["classified"] + numbers["dead_lettered"]
    assert numbers["archived"] == numbers["counted"] == numbers["classified"]
    assert numbers["model_version"] >= 1
    assert 0 < numbers["learned"] <= numbers["labelled"] <= numbers["labels_sent"]
    assert 0 < numbers["average_precision"] <= 1
    assert left_alive(family) == []
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_told_to_end_stores_what_it_has_sent_first(tmp_path, asked):
    process = started(tmp_path)
    lines_until(process, "labels learned")
    family = wait_for(lambda: all_workers(process.pid))

    process.send_signal(asked)
    output, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 0, output
    assert "nothing lost, nothing doubled" in output
    assert left_alive(family) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_second_interrupt_ends_a_demo_without_waiting(tmp_path):
    process = started(tmp_path)
    lines_until(process, "sending transactions")
    family = wait_for(lambda: all_workers(process.pid))

    process.send_signal(signal.SIGINT)
    lines_until(process, "sending has stopped")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 0, output
    assert "ended before everything was through" in output
    assert left_alive(family) == []


@pytest.mark.adversity
@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not end children with their parent")
def test_no_process_outlives_a_demo_that_was_killed(tmp_path):
    process = started(tmp_path)
    family = wait_for(lambda: all_workers(process.pid))
    process.kill()
    process.communicate(timeout=WAIT_SECONDS)
    assert left_alive(family) == []


@pytest.mark.adversity
def test_a_demo_whose_workers_end_says_so_and_fails(tmp_path):
    process = started(tmp_path)
    family = wait_for(lambda: all_workers(process.pid))
    supervisor = next(one for one in family if "worker" in one.cmdline())

    supervisor.kill()
    output, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 1
    assert "fraudstream: error: the workers ended" in output
    assert "Traceback" not in output
    assert left_alive(family) == []


def test_the_first_words_come_at_once(tmp_path):
    process = started(tmp_path)
    began = time.monotonic()
    first = process.stdout.readline()
    waited = time.monotonic() - began
    process.kill()
    process.communicate()
    assert "starting" in first
    assert waited < 10


def test_a_report_that_could_not_be_written_is_refused_before_anything_starts(tmp_path):
    process = started(tmp_path, "--json", str(tmp_path / "missing" / "report.json"))
    output, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 1
    assert "there is no folder" in output
    assert "starting" not in output
