"""Run the services outside a test: ``python -m tests.services install | up | down | status``."""

import argparse
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from tests.services.install import install
from tests.services.process import ServiceFailed, ServiceMissing
from tests.services.resolve import ENVIRONMENT_FILE, KINDS, RUN_DIRECTORY, read_environment_file, start

_LOG = RUN_DIRECTORY / "up.log"
_LOCK = RUN_DIRECTORY / "up.lock"
_UP_SECONDS = 420.0  # a container engine may have to fetch images


def _try_lock() -> IO[str] | None:
    """Return the lock that whoever serves holds as long as it lives, or None if someone does."""
    RUN_DIRECTORY.mkdir(exist_ok=True)
    lock = _LOCK.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _is_up() -> bool:
    lock = _try_lock()
    if lock is None:
        return True
    lock.close()
    return False


def serve() -> int:
    """Start every service, note the addresses, and keep them until told to end."""
    lock = _try_lock()
    if lock is None:
        print("the services are up already")
        return 1
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as cleanup, ThreadPoolExecutor() as pool:
        cleanup.callback(ENVIRONMENT_FILE.unlink, missing_ok=True)
        starting = {name: pool.submit(start, name) for name in KINDS}
        problems = []
        lines = []
        for name, future in starting.items():
            try:
                service = future.result()
            except (ServiceMissing, ServiceFailed) as problem:
                problems.append(str(problem))
            else:
                cleanup.callback(service.close)
                lines.append(f"{KINDS[name].setting}={service.url}\n")
        if problems:
            print("\n".join(problems), flush=True)
            return 1
        unfinished = ENVIRONMENT_FILE.with_suffix(".new")
        unfinished.touch(mode=0o600)
        unfinished.write_text("".join(lines))
        unfinished.rename(ENVIRONMENT_FILE)
        while True:
            signal.pause()


def up() -> int:
    """Start the services in the background, empty, and print their addresses."""
    if not _is_up():
        ENVIRONMENT_FILE.unlink(missing_ok=True)
        with _LOG.open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.services", "serve"],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _UP_SECONDS
        while not ENVIRONMENT_FILE.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                print(f"the services did not come up:\n{_LOG.read_text()}", file=sys.stderr)
                return 1
            time.sleep(0.1)
    print(ENVIRONMENT_FILE.read_text(), end="")
    print(f"# in {ENVIRONMENT_FILE}; for a shell: set -a; . {ENVIRONMENT_FILE}; set +a")
    return 0


def down() -> int:
    """Stop the services that ``up`` started, and forget their data."""
    if not _is_up():
        print("the services are down")
        return 0
    os.kill(int(_LOCK.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + 60
    while _is_up():
        if time.monotonic() > deadline:
            print("the services do not stop", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print("the services are down")
    return 0


def status() -> int:
    """Say which services answer."""
    addresses = read_environment_file()
    for name, kind in KINDS.items():
        url = addresses.get(kind.setting)
        print(f"{name}: {'down' if not url else 'answers' if kind.answers(url) else 'does not answer'}")
    return 0 if addresses else 1


def _install() -> int:
    problems = install()
    for problem in problems:
        print(f"services: {problem}", file=sys.stderr)
    # Outside CI, tests that need what is missing are skipped aloud.
    return 1 if problems and os.environ.get("CI") else 0


def main() -> int:
    """Run one command and return the exit status."""
    commands = {"install": _install, "up": up, "down": down, "status": status, "serve": serve}
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("command", choices=commands)
    return commands[parser.parse_args().command]()


if __name__ == "__main__":
    sys.exit(main())
