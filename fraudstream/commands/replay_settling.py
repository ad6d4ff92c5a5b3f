"""Waiting until the stream has done all it can with what was sent: the definite order of a replay.

Everything is read from the logs and from the groups' committed offsets, so nothing has to be asked of
workers and any number of them may run.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError

from fraudstream.core.snapshot import decode_snapshot
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import StoreUnavailable
from fraudstream.topic_admin import Admin
from fraudstream.topics import Topic, Topics

PATIENCE_SECONDS = 120.0
"""Longer than any restart of a worker; without progress for so long, nobody is at work."""

_PAUSE_SECONDS = 0.05


class Settlement:
    """Tells when scoring, archive and learner have caught up with everything sent so far."""

    def __init__(self, topics: Topics, admin: Admin, reader: LogReader) -> None:
        self._topics = topics
        self._admin = admin
        self._reader = reader
        self._snapshot_end = -1
        self._training_offset = -1

    async def until_archived(self) -> None:
        """Return when every transaction sent so far is classified, and every classification archived.

        Raises
        ------
        StoreUnavailable
            When an agent makes no progress for two minutes.
        """
        await self._until_committed("scoring", self._topics.transactions)
        await self._until_committed("archiving", self._topics.classifications)

    async def until_learned(self) -> int:
        """Return when a published model has learned every label sent so far: the offset it reached, or -1.

        Raises
        ------
        StoreUnavailable
            When an agent makes no progress for two minutes.
        """
        await self._until_committed("labelling", self._topics.labels)
        newest = await self._reader.last_record(self._topics.training_examples.name, 0)
        if newest is None:
            return -1
        wanted: int = newest.offset

        async def missing() -> int:
            return wanted - (await self._learned_offset())

        await self._until_none("learning", missing)
        return wanted

    async def _until_committed(self, app: str, topic: Topic) -> None:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        ends = {tp: (await self._reader.bounds(*tp)).end for tp in partitions}
        group = self._topics.app_id(app)

        async def missing() -> int:
            try:
                committed = await self._admin.list_consumer_group_offsets(group, partitions=partitions)
            except GroupCoordinatorNotAvailableError:  # a new cluster is still making its topic of offsets
                committed = {}
            done = {tp: max(committed[tp].offset, 0) if tp in committed else 0 for tp in partitions}
            return sum(max(0, ends[tp] - done[tp]) for tp in partitions)

        await self._until_none(app, missing)

    async def _learned_offset(self) -> int:
        name = self._topics.model_snapshots.name
        end = (await self._reader.bounds(name, 0)).end
        if end != self._snapshot_end:  # a snapshot is large: read only new ones
            record = await self._reader.last_record(name, 0)
            if record is not None and record.value is not None:
                self._training_offset = decode_snapshot(record.value).training_offset
            self._snapshot_end = end
        return self._training_offset

    async def _until_none(self, agent: str, missing: Callable[[], Awaitable[int]]) -> None:
        left, since = await missing(), time.monotonic()
        while left > 0:
            await asyncio.sleep(_PAUSE_SECONDS)
            now = await missing()
            if now < left:
                left, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE_SECONDS:
                reason = f"{left} records behind and no progress for {PATIENCE_SECONDS:.0f} s; is it running?"
                raise StoreUnavailable(agent, reason)
