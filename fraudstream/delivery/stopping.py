"""How a worker ends when it may not go on.

A slice that could not be finished must not be marked, and nothing that runs afterwards in this process may
mark it either. Ending the process at once is the one way that depends on nobody's cleanup: the next owner
starts from the last checkpoint.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn

import faust
from aiokafka.errors import KafkaConnectionError, KafkaError, ProducerFenced

from fraudstream.errors import OperatorError

log = logging.getLogger(__name__)

STOP_SECONDS = 25.0
"""Within which a worker has to end after it was told to: less than the 30 s an orchestrator gives it."""


class ExitStatus(IntEnum):
    """Exit statuses of a worker process, after the BSD ``sysexits`` convention where one fits."""

    UNAVAILABLE = 69  #: no broker answers: restart, after a pause
    FAULT = 70  #: our own fault: restart from the checkpoint
    FENCED = 75  #: another worker owns the partition now: restart and join again
    REFUSED = 78  #: a person must decide first: restarting does not help


def stop_process(reason: str, status: ExitStatus = ExitStatus.FAULT) -> NoReturn:
    """End this process without marking anything as done.

    Logs ``reason`` with the current exception, if there is one, flushes the streams and leaves by
    ``os._exit``: no handler, no ``finally`` and no other task runs any more.
    """
    log.critical(
        "worker stops: %s", reason, exc_info=sys.exc_info()[0] is not None and status is ExitStatus.FAULT
    )
    _leave(status)


@contextmanager
def stops_if_failing(agent: str, action: str) -> Iterator[None]:
    """End the process if an action of an agent fails, whatever it was: nothing may be marked after that."""
    try:
        yield
    except ProducerFenced:
        stop_process(f"{agent}: could not {action}: another worker owns it now", ExitStatus.FENCED)
    except OperatorError as exc:
        stop_process(f"{agent}: {exc}", ExitStatus.REFUSED)
    except KafkaError as exc:
        stop_process(f"{agent}: could not {action}: {exc!r}", ExitStatus.FENCED)
    except asyncio.CancelledError:
        raise
    except BaseException:  # noqa: BLE001 - Faust and aiokafka would log it and go on
        stop_process(f"{agent} could not {action}")


def _leave(status: int) -> NoReturn:
    for handler in logging.getLogger().handlers:
        handler.flush()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


class PromptWorker(faust.Worker):
    """A worker that ends when it is told to, even where a broker that is gone keeps it in its group.

    Ending it at once loses nothing, like every other end by :func:`stop_process`.
    """

    async def stop(self) -> None:
        """Stop in good order, or without it after :data:`STOP_SECONDS`."""
        reason = f"told to stop, it could not within {STOP_SECONDS:.0f} s"
        late = threading.Timer(STOP_SECONDS, stop_process, (reason,))
        late.daemon = True
        late.start()
        await super().stop()

    def execute_from_commandline(self) -> NoReturn:
        """Run until told to stop, then end the process.

        Not by way of the interpreter's end: threads of consumers, which run in C, may outlive the loop by a
        moment, and were seen to crash when the interpreter was taken from under them.
        """
        try:
            super().execute_from_commandline()
        except SystemExit as ended:
            if isinstance(ended.__context__, KafkaConnectionError):
                stop_process(f"no broker answers: {ended.__context__}", ExitStatus.UNAVAILABLE)
            _leave(ended.code if isinstance(ended.code, int) else ExitStatus.FAULT)
