"""The worker processes of a demo: one supervisor with one process for each role."""

import asyncio
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from fraudstream.commands.worker_process import die_with_parent
from fraudstream.errors import OperatorError

GRACE_SECONDS = 10
"""How long workers may take to stop. Everything is drained by then, so they have little to finish."""

TOLD_LINES = 12
"""Last lines of the workers' log that are shown when they fail."""


class WorkersFailed(OperatorError):
    """The workers of a demo ended by themselves."""


class DemoWorkers:
    """A ``fraudstream worker`` in a child process that dies with this one.

    Parameters
    ----------
    environ
        The whole environment of the workers.
    log
        File their logs go to.
    """

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self._environ = environ
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start them; they are ready some seconds later."""
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "fraudstream", "worker"),
                *("--scoring", "1", "--sinks", "1", "--learning", "1", "--grace", str(GRACE_SECONDS)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self._environ),
                # Ctrl-C at the terminal is for the demo alone: it stops the workers once all is drained.
                start_new_session=True,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),
            )

    async def watch(self) -> None:
        """Return never; raise when the workers end.

        Raises
        ------
        WorkersFailed
            With the end of their log.
        """
        if self._process is None:
            msg = "watch() before start()"
            raise RuntimeError(msg)
        status = await self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-TOLD_LINES:]
        msg = "\n".join([f"the workers ended with status {status}; the end of their log:", *lines])
        raise WorkersFailed(msg)

    async def stop(self) -> None:
        """Stop them and wait until no process is left. Idempotent."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            # The supervisor kills what outlasts the grace; it gets a moment for that itself.
            await asyncio.wait_for(process.wait(), GRACE_SECONDS + 3)
        except TimeoutError:
            process.kill()
            await process.wait()
