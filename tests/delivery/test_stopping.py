"""A worker that may not go on ends at once, whatever else it had in mind."""

import subprocess
import sys

import pytest

from fraudstream.delivery.stopping import ExitStatus

PROGRAM = """
import atexit, logging, sys
from fraudstream.delivery.stopping import ExitStatus, stop_process
logging.basicConfig(stream=sys.stderr)
atexit.register(print, "cleaned up")
try:
    try:
        raise ValueError("the cause")
    except ValueError:
        stop_process("no way on", ExitStatus({status}))
finally:
    print("went on")
"""


def run(status: ExitStatus) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(status=int(status))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("status", ExitStatus)
def test_the_process_ends_with_its_status_and_runs_nothing_more(status: ExitStatus) -> None:
    done = run(status)
    assert done.returncode == status
    assert "worker stops: no way on" in done.stderr
    assert done.stdout == ""


def test_only_our_own_faults_show_where_they_happened() -> None:
    assert "the cause" in run(ExitStatus.FAULT).stderr
    assert "the cause" not in run(ExitStatus.REFUSED).stderr
