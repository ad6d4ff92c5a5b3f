"""Run one program and never outlive whoever asked for it: ``python -I supervise.py PROGRAM [ARGUMENT ...]``.

Standard input is the life line. As long as its other end is open the program runs; once it closes, whatever
the cause, the program is told to stop and killed if it does not. A pipe works where a parent-death signal
alone would not: that signal is tied to the *thread* that started the process, and tests start servers from
short-lived threads. Standard library only, so that it runs in isolated mode.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 10.0  # a broker flushes its log in about two; longer only delays the end of a broken one


def _die_with_supervisor() -> None:
    """Ask Linux to kill the program if the supervisor itself is killed; elsewhere there is no such call."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch_life_line(program: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):
        pass
    program.terminate()
    try:
        program.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()


def main(command: list[str]) -> int:
    """Run ``command`` until it ends or the life line closes, and return its exit status."""
    # A handler, not SIG_IGN, which the program would inherit: signals sent to the group are the program's to
    # answer.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # No other thread runs yet, so that preexec_fn is safe.
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_supervisor)  # noqa: PLW1509
    threading.Thread(target=_watch_life_line, args=(program,), daemon=True).start()
    return program.wait()


if __name__ == "__main__":
    # The watching thread may sit in a read; the interpreter must not wait for it.
    os._exit(main(sys.argv[1:]) & 0xFF)
