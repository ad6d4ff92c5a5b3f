"""Reading ends of logs, outside of any consumer group."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from fraudstream.delivery.records import is_claim


class Bounds(NamedTuple):
    """First offset still in a partition, and the offset its next record will get."""

    low: int
    end: int


class LogReader:
    """Looks at single records of any partition. One reader serves a process; calls queue up.

    Parameters
    ----------
    options
        Keyword arguments of aiokafka that name the brokers and how to get in.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def stop(self) -> None:
        """Close the connection. Idempotent."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **self._options,
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                fetch_max_wait_ms=50,
            )
            await consumer.start()
            self._consumer = consumer
        return self._consumer

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """Return where a partition begins and ends now."""
        async with self._lock:
            return await self._bounds(await self._started(), TopicPartition(topic, partition))

    async def _bounds(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> Bounds:
        low = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        return Bounds(low, end)

    async def last_record(self, topic: str, partition: int) -> ConsumerRecord[bytes, bytes] | None:
        """Return the newest message of a partition, passing over claims; None when there is none.

        Reads backwards in growing steps, since the end of a log may hold nothing but claims.
        """
        tp = TopicPartition(topic, partition)
        async with self._lock:
            consumer = await self._started()
            low, end = await self._bounds(consumer, tp)
            consumer.assign([tp])
            back = 1
            while end > low:
                start = max(low, end - back)
                found = [
                    record for record in await self._read(consumer, tp, start, end) if not is_claim(record)
                ]
                if found:
                    return found[-1]
                if start == low:
                    break
                back *= 8
            return None

    async def record_at(self, topic: str, partition: int, offset: int) -> ConsumerRecord[bytes, bytes] | None:
        """Return the record at an offset; None when that offset holds none (any more)."""
        tp = TopicPartition(topic, partition)
        async with self._lock:
            consumer = await self._started()
            low, end = await self._bounds(consumer, tp)
            if not low <= offset < end:
                return None
            consumer.assign([tp])
            for record in await self._read(consumer, tp, offset, offset + 1):
                if record.offset == offset:
                    return record
            return None

    async def read(
        self, topic: str, partition: int, start: int, end: int
    ) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
        """Yield the messages of a partition from offset ``start`` to before ``end``, passing over claims.

        What retention has taken is not there any more; an ``end`` beyond the log ends with the log.
        """
        tp = TopicPartition(topic, partition)
        bounds = await self.bounds(topic, partition)
        at, end = max(start, bounds.low), min(end, bounds.end)
        while at < end:
            step = min(at + 20_000, end)
            async with self._lock:
                consumer = await self._started()
                consumer.assign([tp])
                found = await self._read(consumer, tp, at, step)
            for record in found:
                if not is_claim(record):
                    yield record
            at = step

    async def _read(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int
    ) -> list[ConsumerRecord[bytes, bytes]]:
        # The position, not the arrival of a record, tells the end: the last offsets may be transaction
        # markers.
        consumer.seek(tp, start)
        found: list[ConsumerRecord[bytes, bytes]] = []
        while await consumer.position(tp) < end:
            batch = cast(
                "dict[Any, list[ConsumerRecord[bytes, bytes]]]", await consumer.getmany(tp, timeout_ms=200)
            )
            found += [record for record in batch.get(tp, []) if record.offset < end]
        return found
