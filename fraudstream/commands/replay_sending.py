"""Sending many records quickly, each key to the partition Kafka's own producers choose for it."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from fraudstream.commands.replay_rows import Row
from fraudstream.connections import kafka_options, librdkafka_options
from fraudstream.errors import StoreUnavailable
from fraudstream.settings import Settings

DELIVERY_TIMEOUT_MS = 60_000
"""A broker that restarts is back within a minute; longer and the person at the terminal should know."""

GATHER_MS, PACED_GATHER_MS = 5, 1
"""How long rows gather for one request, as fast as they can be sent and at a pace. At a pace it adds to every
latency; with less of it, brokers and workers handle so many small requests that latency rises again."""

_ANY_PARTITION = -1
"""librdkafka's word for: as the key says."""

Headers = Sequence[tuple[str, bytes]]


class Sender(Protocol):
    """Sends rows in order; within a partition they arrive in that order, each once."""

    async def send(
        self, topic: str, rows: Sequence[Row], headers: Headers = (), *, partition: int | None = None
    ) -> None:
        """Hand rows over; wait only while too much is under way. A row with a label learns its position.

        Raises
        ------
        StoreUnavailable
            When this or an earlier row could not be delivered.
        """

    async def flush(self) -> None:
        """Return when the brokers have taken every row, on all replicas in sync.

        Raises
        ------
        StoreUnavailable
            When a row could not be delivered.
        """

    async def close(self) -> None:
        """Let go of every connection without waiting for what is under way."""


async def open_sender(settings: Settings, *, paced: bool) -> Sender:
    """Return the faster sender that can be had: confluent-kafka's where it is installed, else aiokafka's.

    ``paced`` says that rows come at a pace, and none of them should wait long for others.

    Raises
    ------
    StoreUnavailable
        When no broker answers.
    """
    if find_spec("confluent_kafka"):
        return _LibrdkafkaSender(settings, PACED_GATHER_MS if paced else GATHER_MS)
    sender = _AiokafkaSender(settings)
    await sender.start()
    return sender


class _LibrdkafkaSender:
    _WAIT_SECONDS = 0.002

    def __init__(self, settings: Settings, gather_ms: int) -> None:
        from confluent_kafka import Producer  # noqa: PLC0415 - an extra: not everybody has it

        logger = logging.getLogger("librdkafka")
        logger.setLevel(logging.CRITICAL)  # what fails is raised, in one line
        self._producer = Producer(
            librdkafka_options(settings)
            | {
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                # With several, what follows a batch that a restarting broker refuses is out of order, and
                # librdkafka then takes a new epoch, under which nobody tells what is there already (its
                # issue 4953).
                "max.in.flight.requests.per.connection": 1,
                "linger.ms": gather_ms,
                "batch.num.messages": 10_000,
                "message.timeout.ms": DELIVERY_TIMEOUT_MS,
            },
            logger=logger,
        )
        self._failure: str | None = None

    async def send(
        self, topic: str, rows: Sequence[Row], headers: Headers = (), *, partition: int | None = None
    ) -> None:
        place = _ANY_PARTITION if partition is None else partition
        produce, poll = self._producer.produce, self._producer.poll
        extra: Any = list(headers) or None
        for row in rows:
            # Only a label needs to know later where its row went.
            note = self._note_failure if row.label is None else partial(self._note, row)
            while True:
                try:
                    produce(topic, row.value, row.key, place, on_delivery=note, headers=extra)
                    break
                except BufferError:  # its queue is full: brokers are the slower side
                    poll(0)
                    await asyncio.sleep(self._WAIT_SECONDS)
                    self._check()
        poll(0)
        self._check()

    def _note(self, row: Row, error: Any, message: Any) -> None:
        if error is not None:
            self._failure = self._failure or error.str()
        else:
            row.partition, row.offset = message.partition(), message.offset()

    def _note_failure(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failure = self._failure or error.str()

    async def flush(self) -> None:
        while len(self._producer):
            self._producer.poll(0)
            self._check()
            await asyncio.sleep(self._WAIT_SECONDS)
        self._check()

    async def close(self) -> None:
        self._producer.purge()
        self._producer.poll(0)

    def _check(self) -> None:
        if self._failure is not None:
            raise StoreUnavailable("kafka", self._failure)  # noqa: EM101 - the store's name


class _AiokafkaSender:
    _UNDER_WAY_MAX = 64
    _BATCH_BYTES = 512 * 1024

    def __init__(self, settings: Settings) -> None:
        self._producer = AIOKafkaProducer(
            **kafka_options(settings),
            acks="all",
            enable_idempotence=True,
            max_batch_size=self._BATCH_BYTES,
            request_timeout_ms=DELIVERY_TIMEOUT_MS,
        )
        self._under_way: deque[tuple[asyncio.Future[Any], list[Row]]] = deque()
        self._keyless = itertools.count()

    async def start(self) -> None:
        try:
            await self._producer.start()
        except KafkaError as exc:
            await self._producer.stop()
            raise StoreUnavailable("kafka", repr(exc)) from exc  # noqa: EM101 - the store's name

    async def send(
        self, topic: str, rows: Sequence[Row], headers: Headers = (), *, partition: int | None = None
    ) -> None:
        try:
            by_partition = (
                {partition: list(rows)} if partition is not None else await self._by_key(topic, rows)
            )
            for number, group in by_partition.items():
                await self._send(topic, number, group, headers)
        except KafkaError as exc:
            raise StoreUnavailable("kafka", repr(exc)) from exc  # noqa: EM101 - the store's name

    async def _by_key(self, topic: str, rows: Sequence[Row]) -> dict[int, list[Row]]:
        count = len(await self._producer.partitions_for(topic))
        by_partition: dict[int, list[Row]] = {}
        spare = next(self._keyless) % count
        for row in rows:
            partition = spare if row.key is None else (murmur2(row.key) & 0x7FFFFFFF) % count
            by_partition.setdefault(partition, []).append(row)
        return by_partition

    async def _send(self, topic: str, partition: int, group: list[Row], headers: Headers) -> None:
        batch = self._producer.create_batch()
        taken: list[Row] = []
        for row in group:
            place = {"key": row.key, "value": row.value, "timestamp": None, "headers": list(headers)}
            if batch.append(**place) is None:
                await self._dispatch(batch, topic, partition, taken)
                batch, taken = self._producer.create_batch(), []
                batch.append(**place)  # the first record of a batch always fits
            taken.append(row)
        await self._dispatch(batch, topic, partition, taken)

    async def _dispatch(self, batch: Any, topic: str, partition: int, rows: list[Row]) -> None:
        batch.close()
        future = await self._producer.send_batch(batch, topic, partition=partition)
        self._under_way.append((future, rows))
        while len(self._under_way) > self._UNDER_WAY_MAX or (
            self._under_way and self._under_way[0][0].done()
        ):
            await self._settle()

    async def _settle(self) -> None:
        future, rows = self._under_way.popleft()
        taken = await future
        for place, row in enumerate(rows):
            row.partition, row.offset = taken.partition, taken.offset + place

    async def flush(self) -> None:
        try:
            while self._under_way:
                await self._settle()
        except KafkaError as exc:
            raise StoreUnavailable("kafka", repr(exc)) from exc  # noqa: EM101 - the store's name

    async def close(self) -> None:
        await self._producer.stop()
