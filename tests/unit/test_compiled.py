import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fraudstream import compiled
from fraudstream.compiled import MODULES, compiled_path, folder_of

CORE = Path(compiled.__file__).parent / "core"

SCORED = """
from datetime import UTC, datetime, timedelta
from fraudstream.commands.backtest_speed import machine
from fraudstream.core import prequential
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.core.prequential import OfflinePass

run = OfflinePass(LabelDelay(seconds=86_400.0))
for number in range(3_000):
    print(run.score(Transaction(
        transaction_id=str(number),
        event_time=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number * 7),
        amount_minor=1_000 + number * 7_919 % 20_000,
        card_id=f"c{number % 37}",
        terminal_id=f"m{number % 11}",
        label=LabelValue.FRAUD if number % 11 == 3 and number % 37 < 9 else LabelValue.GENUINE,
    )).hex())
print(run.learner.model.weights, run.states[0].cards, run.learner.risks, run.learner.tables)
print(machine())
print(prequential.__file__.endswith(".py"))
"""


def run(*options: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *options, "-c", SCORED], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.splitlines()


def test_compiled_modules_reach_the_same_scores_and_state_as_plain_ones_bit_for_bit() -> None:
    if not compiled_path():
        told = "the core is not compiled: make compile"
        (pytest.fail if "CI" in os.environ else pytest.skip)(told)

    fast, plain = run(), run("-X", "fraudstream=plain")

    assert fast[:-2] == plain[:-2]
    assert fast[-2].endswith("core compiled")
    assert plain[-2].endswith("core plain")  # else one would be told the speed kept of the other
    assert (fast[-1], plain[-1]) == ("False", "True")


def test_modules_compiled_from_other_sources_are_not_looked_for(tmp_path: Path) -> None:
    core = tmp_path / "core"
    shutil.copytree(CORE, core, ignore=shutil.ignore_patterns("_compiled", "__pycache__"))
    before = folder_of(core)

    (core / "terms.py").write_text((core / "terms.py").read_text() + "\n")

    assert before.name == folder_of(CORE).name
    assert folder_of(core) != before


def test_a_machine_without_a_compiler_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> Path:
        raise subprocess.CalledProcessError(1, "setup.py", stderr=b"much\nerror: command 'gcc' failed")

    monkeypatch.setattr(compiled, "compile_core", fails)
    monkeypatch.setattr(sys, "argv", ["compiled", "--optional"])

    assert compiled.main() == 0
    told = capsys.readouterr().out
    assert told == "core not compiled, it runs as plain Python: error: command 'gcc' failed\n"


def test_every_compiled_module_is_one_of_the_core() -> None:
    assert all((CORE / f"{name}.py").is_file() for name in MODULES)
