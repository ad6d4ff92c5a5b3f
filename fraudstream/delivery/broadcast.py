"""Topics that every process reads whole, and then follows.

Faust's ``GlobalTable`` does not update on workers that do not own a partition. Here each process reads a
compacted topic from its beginning with a consumer outside of any group, knows when it has caught up, and
goes on live.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import mode
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

#: Called with each record, in log order; must not await and must not fail on any record.
Apply = Callable[["ConsumerRecord[bytes, bytes]"], None]

#: Pause before a broken connection is tried again.
RETRY_SECONDS = 1.0


class Broadcast(mode.Service):
    """Delivers every record of its topics to this process, from the first one still kept.

    Only committed records are delivered, those of one topic in order. A broadcast topic has one partition.

    Parameters
    ----------
    options
        Keyword arguments of aiokafka that name the brokers and how to get in.
    topics
        What to do with the records of each topic.
    on_caught_up
        Called once everything that was there at the start has been delivered.
    """

    def __init__(
        self,
        options: dict[str, Any],
        topics: Mapping[str, Apply],
        on_caught_up: Callable[[], None] = lambda: None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._on_caught_up = on_caught_up
        self._options = options
        self._topics = topics
        self._consumer: AIOKafkaConsumer | None = None
        self._goal: dict[TopicPartition, int] = {}
        self._caught_up = asyncio.Event()

    @property
    def is_caught_up(self) -> bool:
        """Whether everything that was there at the start has been delivered."""
        return self._caught_up.is_set()

    async def wait_until_caught_up(self) -> None:
        """Return when everything that was there at the start has been delivered."""
        await self._caught_up.wait()

    async def on_stop(self) -> None:
        """Close the connection."""
        await self._disconnect()

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=8 << 20,
        )
        await consumer.start()
        self._consumer = consumer
        partitions = [TopicPartition(topic, 0) for topic in self._topics]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        self._goal = await consumer.end_offsets(partitions)
        return consumer

    async def _disconnect(self) -> None:
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    @mode.Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            try:
                await self._read()
            except KafkaError as exc:
                log.warning("broadcast topics unreachable, trying again", extra={"reason": repr(exc)})
                await self._disconnect()
                await self.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        # After a reconnection everything is delivered again from the beginning: later records win, so the
        # result is the same.
        consumer = self._consumer or await self._connect()
        while not self.should_stop:
            if not self._caught_up.is_set() and await self._has_caught_up(consumer):
                self._on_caught_up()
                self._caught_up.set()
            for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                apply = self._topics[tp.topic]
                for number, record in enumerate(records):
                    apply(record)
                    if number % 2000 == 1999:
                        await asyncio.sleep(0)  # others of this loop go on while a long topic is read

    async def _has_caught_up(self, consumer: AIOKafkaConsumer) -> bool:
        for tp, end in self._goal.items():
            if await consumer.position(tp) < end:
                return False
        return True
