"""Partitions are about to move: whatever waits for a store or for somebody else stops waiting."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from fraudstream.errors import StoreUnavailable

log = logging.getLogger(__name__)

#: Pause between tries of a store: doubled from the first to the last, half of it random so that workers
#: spread.
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.2, 5.0


class LetGo(Exception):
    """The partition may move; unfinished work is left to its next owner."""


class Handover:
    """Whether the partitions of an agent are about to move, and how what waits learns of it.

    Parameters
    ----------
    agent
        Whose partitions they are, in the log.
    """

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._begun = asyncio.Event()

    @property
    def is_begun(self) -> bool:
        """Whether partitions are about to move."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Have everything that waits here let go. Idempotent."""
        self._begun.set()

    def end(self) -> None:
        """Let work wait again: its partitions are ours."""
        self._begun.clear()

    async def wait_for(self, waiting: Awaitable[None]) -> None:
        """Wait, but never so long that a rebalance waits too.

        Raises
        ------
        LetGo
            Partitions are about to move, and what was waited for had not come.
        """
        both = [asyncio.ensure_future(waiting), asyncio.ensure_future(self._begun.wait())]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
        if both[0] not in done:
            raise LetGo
        await both[0]

    async def until_available(self, action: Callable[[], Awaitable[None]]) -> None:
        """Do something with a store, again after a pause for as long as it is unavailable.

        Raises
        ------
        LetGo
            Partitions are about to move; the action may have been done or not.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            if self.is_begun:
                raise LetGo
            try:
                await action()
            except StoreUnavailable as exc:
                if pause == FIRST_PAUSE_SECONDS:
                    log.warning(
                        "store unavailable, its agent waits",
                        extra={"agent": self._agent, "store": exc.store, "reason": exc.reason},
                    )
                wait = pause * random.uniform(0.5, 1.0)
                pause = min(pause * 2, LAST_PAUSE_SECONDS)
                try:
                    await asyncio.wait_for(self._begun.wait(), wait)
                except TimeoutError:
                    continue
            else:
                return
