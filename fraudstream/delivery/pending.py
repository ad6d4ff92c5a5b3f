"""Work on its way: what shares a publication, and what is published and waits to enter the changelog."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from faust.types import EventT

from fraudstream.delivery.slices import SLICE_SIZE, RecordSlice
from fraudstream.delivery.work import Work

#: How long what is published may wait for more before its state is written to the changelog, and how many
#: records do not wait. A write is a request, and costs worker and broker as much as the publication whose
#: turn it takes; what has waited is published again by nobody after a crash, only computed again.
KEEP_SECONDS = 0.05
KEEP_RECORDS = 2 * SLICE_SIZE


def slice_of(event: EventT[Any]) -> RecordSlice:
    """Return the slice that Faust hands over as an event."""
    return cast(RecordSlice, event.value)


@dataclass(slots=True)
class Pending:
    """Work of one or more slices or timers that is made durable together."""

    events: list[EventT[Any]]  # of its slices; a timer's work has none
    work: Work
    early: asyncio.Task[None] | None
    queued_at: float
    records: int
    published: list[Callable[[], None]]
    done: list[Callable[[], None]]
    pieces: int = 1

    def join(self, later: "Pending") -> None:
        """Take over plain work that follows this one."""
        self.events += later.events
        self.work.join(later.work)
        self.records += later.records
        self.published += later.published
        self.done += later.done
        self.pieces += later.pieces

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Return each changed key once, as the last piece of work left it.

        In the order in which they were changed last, deletions behind: of an agent whose own order is rows,
        then the row that sums them up, then deletions, that is the order of all its pieces together. A crash
        may keep any first part of them.
        """
        if self.pieces == 1:
            return self.work.changes
        latest: dict[bytes, bytes | None] = {}
        for key, value in self.work.changes:
            latest.pop(key, None)
            latest[key] = value
        return sorted(latest.items(), key=lambda change: change[1] is None)


class Published:
    """What is published of one partition, in order, and not yet in the changelog."""

    def __init__(self) -> None:
        self._gathered: Pending | None = None
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, pending: Pending) -> None:
        """Note that the next work is published."""
        if self._gathered is None:
            self._gathered = pending
        else:
            self._gathered.join(pending)
        self._some.set()
        self._none.clear()
        if self._gathered.records >= KEEP_RECORDS:
            self._enough.set()

    async def take(self) -> Pending:
        """Return all there is, once there is something and it has waited for more."""
        await self._some.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._enough.wait(), KEEP_SECONDS)
        pending, self._gathered = self._gathered, None
        self._some.clear()
        self._enough.clear()
        assert pending is not None  # noqa: S101 - one task takes, and there was some
        return pending

    def kept(self) -> None:
        """Note that what was taken last is durable, or was given up."""
        if self._gathered is None:
            self._none.set()

    def hurry(self) -> None:
        """Let what there is wait no longer."""
        if self._gathered is not None:
            self._enough.set()

    async def nothing(self) -> None:
        """Return once all of it is durable, without waiting for more."""
        while not self._none.is_set():
            self.hurry()
            await self._none.wait()
