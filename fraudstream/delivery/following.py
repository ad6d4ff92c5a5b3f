"""Reading every partition of a topic in one process, from offsets that the reader keeps itself."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import mode
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from fraudstream.delivery.records import is_claim

log = logging.getLogger(__name__)

#: Pause before a broken connection is tried again.
RETRY_SECONDS = 1.0
#: Records taken before others of this loop go on.
TURN_RECORDS = 200


class Follower(mode.Service):
    """Delivers the committed records of a topic, those of each partition in order, claims left out.

    Belongs to no group and commits nothing: whoever takes the records keeps, with what follows from them, the
    offset of each partition's last one, and tells it here after a restart. After a broken connection reading
    goes on behind the last record delivered, so none comes twice in one life of the process.

    Parameters
    ----------
    options
        Keyword arguments of aiokafka that name the brokers and how to get in.
    topic, partitions
        What to read.
    taken
        Offset of the last record taken, by partition; a partition without one is read from where it begins,
        and so is one that holds no such offset: the topic was made again.
    take
        Called with each record; must not await.
    """

    def __init__(
        self,
        options: dict[str, Any],
        topic: str,
        partitions: int,
        taken: Mapping[int, int],
        take: Callable[["ConsumerRecord[bytes, bytes]"], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._options = options
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._taken = dict(taken)
        self._take = take
        self._consumer: AIOKafkaConsumer | None = None
        self._progress = asyncio.Event()

    async def until_taken(self, partition: int, offset: int) -> None:
        """Return when the record at an offset, and all before it, have been delivered."""
        while self._taken.get(partition, -1) < offset:
            await self._progress.wait()

    async def on_stop(self) -> None:
        """Close the connection."""
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_poll_records=2_000,
        )
        self._consumer = consumer
        await consumer.start()
        consumer.assign(self._partitions)
        first = await consumer.beginning_offsets(self._partitions)
        ends = await consumer.end_offsets(self._partitions)
        for tp in self._partitions:
            at = self._taken.get(tp.partition, -1) + 1
            consumer.seek(tp, at if first[tp] <= at <= ends[tp] else first[tp])
        return consumer

    @mode.Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            try:
                await self._read()
            except KafkaError as exc:
                log.warning("followed topic unreachable, trying again", extra={"reason": repr(exc)})
                await self._disconnect()
                await self.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        consumer = self._consumer or await self._connect()
        while not self.should_stop:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for number, record in enumerate(records, 1):
                    self._taken[tp.partition] = record.offset
                    if not is_claim(record):
                        self._take(record)
                    if number % TURN_RECORDS == 0:
                        await asyncio.sleep(0)
                self._progress.set()
                self._progress = asyncio.Event()
