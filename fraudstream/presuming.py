"""Transactions that nobody has said anything about for the label wait are presumed genuine.

They become labels like any other, by position, so that one place judges all labels (``agents/labelling``):
one that comes after a real label changes nothing, and a real one that comes later corrects it.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import mode
import msgspec

from fraudstream.context import WorkerContext
from fraudstream.core.codec import encode_label
from fraudstream.core.labels import presumed_label
from fraudstream.core.messages import Position
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.records import OutRecord
from fraudstream.delivery.work import Work
from fraudstream.errors import StoreUnavailable
from fraudstream.ports import Unlabelled

log = logging.getLogger(__name__)

#: Partition of the labels topic that presumed labels go to; its owner looks for them.
PARTITION = 0
#: Labels published together. The next ones follow when these are noted in the archive, so that people's
#: labels in the same partition wait for one page at most.
PAGE = 500
#: Pause when nothing is to be presumed, and between looks whether a page is noted.
IDLE_SECONDS, LOOK_SECONDS = 1.0, 0.05
#: A page that is not noted after so long is passed over; the next scan finds what is left of it.
NOTED_WITHIN_SECONDS = 30.0


class _Dated(msgspec.Struct):
    event_time: datetime


_decode = msgspec.json.Decoder(_Dated).decode


class PresumeGenuine(mode.Service):
    """Looks through the archive for transactions whose label wait is over, oldest first.

    Keeps nothing: what is presumed carries a label in the archive and is not found again, so a scan begins
    where the unlabelled begin, however much is stored, after a restart too. A label published twice, after a
    kill, is judged a repetition.

    "Now" is the event time of what was archived last, so that replayed history is presumed at its own pace;
    but never later than the clock, so that one wrong time in the future presumes nothing early.
    """

    def __init__(self, context: WorkerContext, lane: Lane, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._context = context
        self._lane = lane
        self._wait = context.settings.label_wait
        self._open = context.opener("archive", context.archive.open)

    @mode.Service.task
    async def _presume(self) -> None:
        while not self.should_stop:
            try:
                if PARTITION in self._lane.owned:
                    await self._scan()
            except StoreUnavailable as exc:
                log.warning("archive unavailable, presuming waits", extra={"reason": exc.reason})
            await self.sleep(IDLE_SECONDS)

    async def _scan(self) -> None:
        """Presume everything that is due now."""
        await self._open()
        until = await self._due_until()
        if until is None:
            return
        after: Unlabelled | None = None
        while not self.should_stop and PARTITION in self._lane.owned:
            async with self._context.using("archive"):
                page = await self._context.archive.unlabelled(until, after, PAGE)
            if not page:
                break
            await self._publish(page)
            after = page[-1]
        else:
            return
        self._context.metrics.presumed_until.set(until.timestamp())

    async def _due_until(self) -> datetime | None:
        archive, epoch = self._context.archive, self._context.settings.epoch
        async with self._context.using("archive"):
            offsets = await archive.highest_offsets(epoch)
            last = [Position(epoch, partition, offset) for partition, offset in offsets.items()]
            found = await archive.find([presumed_label(position, datetime.now(UTC)) for position in last])
        newest = [_decode(one.classification).event_time for several in found for one in several]
        return min(max(newest), datetime.now(UTC)) - self._wait if newest else None

    async def _publish(self, page: list[Unlabelled]) -> None:
        """Publish a page of labels, and return when they are noted in the archive."""
        published = asyncio.Event()
        labels = [presumed_label(one.source, one.event_time + self._wait) for one in page]
        records = [OutRecord(-1, str(label.position).encode(), encode_label(label)) for label in labels]
        topic = self._context.topics.labels.name
        self._lane.put(PARTITION, Work(notices={topic: records}, done=published.set))
        give_up = self.loop.time() + NOTED_WITHIN_SECONDS
        while not self.should_stop and PARTITION in self._lane.owned and self.loop.time() < give_up:
            if published.is_set():
                async with self._context.using("archive"):
                    [[last]] = await self._context.archive.find(labels[-1:])
                if last.label is not None:
                    return
            await self.sleep(LOOK_SECONDS)
