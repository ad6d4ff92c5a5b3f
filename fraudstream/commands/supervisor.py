"""Keeps one process running for each worker that was asked for."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from fraudstream.delivery.stopping import ExitStatus
from fraudstream.settings import Role

log = logging.getLogger(__name__)

BACKOFF_FIRST_SECONDS = 0.5
"""A worker that crashed once is back at once; the broker needs a moment to see that its member is gone."""

BACKOFF_MAX_SECONDS = 30.0
"""A worker that cannot start tries twice a minute: often enough after a repair, rare enough for the logs."""

HEALTHY_SECONDS = 60.0
"""A process that lived this long is no longer crashing in a loop: its next restart is quick again."""


class Member(msgspec.Struct, frozen=True):
    """One process to keep running. ``ordinal`` counts over all roles and sets its ports apart."""

    role: Role
    index: int
    ordinal: int

    @property
    def name(self) -> str:
        """Role and number, as logs show it."""
        return f"{self.role}-{self.index}"


def worker_command(member: Member) -> list[str]:
    """Return the command line of a member."""
    return [
        sys.executable,
        "-m",
        "fraudstream",
        "worker-process",
        f"--role={member.role}",
        f"--index={member.index}",
        f"--ordinal={member.ordinal}",
        f"--parent={os.getpid()}",
    ]


def plan(counts: Mapping[Role, int]) -> list[Member]:
    """Return the processes of each role, scoring first.

    >>> [member.name for member in plan({Role.SCORING: 2, Role.SINKS: 1, Role.LEARNING: 0})]
    ['scoring-0', 'scoring-1', 'sinks-0']
    """
    wanted = [(role, index) for role in Role for index in range(counts.get(role, 0))]
    return [Member(role, index, ordinal) for ordinal, (role, index) in enumerate(wanted)]


class Supervisor:
    """Runs members until it is told to stop, or one of them refuses to run.

    A member that crashes is started again, after a pause that doubles while it keeps crashing. One that
    *refuses* (status 78: wrong settings, another epoch) needs a person, so everything stops and the status
    is 1. SIGTERM and SIGINT stop every member by SIGTERM; what is left after the grace is killed. Members
    never outlive the supervisor, even when it is killed: the kernel then ends them.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        grace_seconds: float,
        command: Callable[[Member], list[str]] = worker_command,
    ) -> None:
        self._members = members
        self._command = command
        self._grace_seconds = grace_seconds
        self._stopping = asyncio.Event()
        self._running: dict[Member, asyncio.subprocess.Process] = {}
        self._failed = False

    async def run(self) -> int:
        """Run until stopped and return the exit status: 0, or 1 when a member refused or had to be killed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        reaper = asyncio.create_task(self._stop_all())
        await asyncio.gather(*(self._keep(member) for member in self._members))
        reaper.cancel()
        return 1 if self._failed else 0

    def stop(self) -> None:
        """Begin to stop. Idempotent."""
        self._stopping.set()

    async def _keep(self, member: Member) -> None:
        pause = BACKOFF_FIRST_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once(member)
            if self._stopping.is_set():
                return
            if status == ExitStatus.REFUSED:
                log.error("worker process refuses to run, stopping all", extra={"member": member.name})
                self._failed = True
                self.stop()
                return
            if time.monotonic() - started > HEALTHY_SECONDS:
                pause = BACKOFF_FIRST_SECONDS
            log.error(
                "worker process ended, starting it again",
                extra={"member": member.name, "status": describe_status(status), "pause_seconds": pause},
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, BACKOFF_MAX_SECONDS)

    async def _run_once(self, member: Member) -> int:
        # A session of its own: Ctrl-C in a terminal reaches the supervisor alone, and that stops its members.
        process = await asyncio.create_subprocess_exec(*self._command(member), start_new_session=True)
        self._running[member] = process
        log.info("worker process started", extra={"member": member.name, "pid": process.pid})
        try:
            if self._stopping.is_set():  # told to stop while this one was being made
                _signal(process, signal.SIGTERM)
            return await process.wait()
        finally:
            del self._running[member]

    async def _stop_all(self) -> None:
        await self._stopping.wait()
        for process in self._running.values():
            _signal(process, signal.SIGTERM)
        await asyncio.sleep(self._grace_seconds)
        for member, process in self._running.items():
            log.error("worker process did not stop in time, killing it", extra={"member": member.name})
            self._failed = True
            _signal(process, signal.SIGKILL)


def describe_status(status: int) -> str:
    """Return an exit status in words.

    >>> describe_status(-9), describe_status(70)
    ('killed by SIGKILL', 'status 70')
    """
    if status >= 0:
        return f"status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
