"""Publishing several records so that readers see all of them or none.

Slices do not need this (see ``lane``), and could not afford it. The learner does: weights and terminal
risks are one state in two topics, published a few times a second.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from fraudstream.delivery.records import Headers


class AtomicRecord(NamedTuple):
    """One record of a transaction."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers = ()


Send = Callable[[Sequence[AtomicRecord]], Awaitable[list[int]]]
"""Sends records within a transaction and returns their offsets, once the broker has them."""


class AtomicPublisher:
    """The one process that may publish under a transactional id.

    Parameters
    ----------
    transactional_id
        Whoever starts last with it fences all others and aborts what they left open.
    options
        Keyword arguments of aiokafka that name the brokers and how to get in.
    """

    def __init__(self, transactional_id: str, options: dict[str, Any]) -> None:
        self._transactional_id = transactional_id
        self._options = options
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Become the publisher. When this returns, no earlier one can publish anything any more."""
        await self.stop()
        producer = AIOKafkaProducer(
            **self._options,
            transactional_id=self._transactional_id,
            max_request_size=8 << 20,
            max_batch_size=1 << 20,
            # Readers of committed records wait for an open transaction; that of a dead learner ends after
            # this.
            transaction_timeout_ms=10_000,
        )
        await producer.start()
        self._producer = producer

    async def stop(self) -> None:
        """Close the connection. Idempotent."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    async def publish(self, records: Sequence[AtomicRecord]) -> list[int]:
        """Publish records in their order, in a transaction of their own; return their offsets."""
        async with self.transaction() as send:
            return await send(records)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Send]:
        """Publish whatever is sent within the block together when it is left, or nothing after any error.

        Raises
        ------
        aiokafka.errors.ProducerFenced
            Another process is the publisher now.
        aiokafka.errors.KafkaError
            The broker did not take it in time.
        """
        producer = self._producer
        assert producer is not None, "start() comes first"  # noqa: S101 - a fault of ours

        async def send(records: Sequence[AtomicRecord]) -> list[int]:
            sent = [
                await producer.send(
                    record.topic, record.value, key=record.key, partition=0, headers=list(record.headers)
                )
                for record in records
            ]
            return [int((await future).offset) for future in sent]

        async with producer.transaction():
            yield send
