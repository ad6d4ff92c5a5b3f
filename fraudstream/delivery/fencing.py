"""Producers that only the present owner of a partition can use.

A worker that lost its partitions without knowing it (stopped, cut off) would write old state over new, for
ever. A broker refuses any batch whose producer epoch is older than the newest its log has seen. So each new
owner takes an id and epoch through ``InitProducerId`` of the transactional id ``<app>-<partition>``, gives
them to a plain idempotent producer, and writes one claim to every log it owns: from then on older owners
get ``ProducerFenced``. No transaction is used, and a slice costs nothing more.

Private names relied on (pinned by a test): aiokafka's ``AIOKafkaProducer._txn_manager`` and its
``set_pid_and_epoch``.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from fraudstream.delivery.records import CLAIM_HEADER, CLAIM_KEY, OutRecord

#: Bytes of one batch at most, below the broker's default ``message.max.bytes`` (1,048,588) with room for
#: the header.
BATCH_BYTES = 1_000_000


class FencedProducers:
    """One producer for each owned source partition.

    Parameters
    ----------
    app_id
        Prefix of the transactional ids; every worker of an app must use the same.
    options
        Keyword arguments of aiokafka that name the brokers and how to get in.
    timeout_seconds
        How long a send may wait for the broker before the worker gives up and restarts.
    """

    def __init__(self, app_id: str, options: dict[str, Any], timeout_seconds: float = 60.0) -> None:
        self._app_id = app_id
        self._options = options
        self._timeout_ms = int(timeout_seconds * 1000)
        self._producers: dict[int, AIOKafkaProducer] = {}

    def _new(self, **kwargs: Any) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            max_request_size=BATCH_BYTES * 4,
            request_timeout_ms=self._timeout_ms,
            **kwargs,
        )

    async def claim(
        self, partition: int, logs: Sequence[str], changelogs: Sequence[str] = ()
    ) -> dict[str, int]:
        """Become the only one who can write a partition of these topics, and return each claim's offset.

        When this returns, no older owner's record can appear behind the claims any more. To be called with
        nothing of this process in flight to the partition.
        """
        old = self._producers.pop(partition, None)
        if old is not None:
            await old.stop()
        init = self._new(transactional_id=f"{self._app_id}-{partition}")
        await init.start()
        manager = init._txn_manager
        await manager.wait_for_pid()
        producer_id, epoch = manager.producer_id, manager.producer_epoch
        await init.stop()
        producer = self._new()
        producer._txn_manager.set_pid_and_epoch(
            producer_id, epoch
        )  # before start(), so that it asks for none of its own
        await producer.start()
        headers = [(CLAIM_HEADER, f"{producer_id}-{epoch}".encode())]
        # In a compacted log an empty value is kept where a null would be a deletion; outputs take null, so
        # that readers which decode every value meet nothing they could take for a message.
        claims = [(topic, None) for topic in logs] + [(topic, b"") for topic in changelogs]
        sent = await asyncio.gather(
            *(
                producer.send_and_wait(topic, value, key=CLAIM_KEY, partition=partition, headers=headers)
                for topic, value in claims
            )
        )
        self._producers[partition] = producer
        return {topic: metadata.offset for (topic, _), metadata in zip(claims, sent, strict=True)}

    async def release(self, partitions: Iterable[int]) -> None:
        """Close the producers of partitions that are no longer ours. Idempotent."""
        gone = [
            self._producers.pop(partition) for partition in list(partitions) if partition in self._producers
        ]
        await asyncio.gather(*(producer.stop() for producer in gone))

    async def stop(self) -> None:
        """Close every producer. Idempotent."""
        await self.release(list(self._producers))

    async def send(
        self, partition: int, topic: str, records: Sequence[OutRecord], *, to_partition: int | None = None
    ) -> int | None:
        """Write records in order and return the offset of the last one once the broker has them all.

        Raises
        ------
        aiokafka.errors.ProducerFenced
            Another worker owns the partition now.
        aiokafka.errors.KafkaError
            The broker did not take them in time; any part of them may have been written.
        """
        if not records:
            return None
        producer = self._producers[partition]
        target = partition if to_partition is None else to_partition
        pending = []
        batch = producer.create_batch()
        for record in records:
            if not self._append(batch, record):
                batch.close()
                pending.append(await producer.send_batch(batch, topic, partition=target))
                batch = producer.create_batch()
                self._append(
                    batch, record
                )  # an empty batch takes a record of any size; the topic's limit decides
        in_last_batch = batch.record_count()
        batch.close()
        pending.append(await producer.send_batch(batch, topic, partition=target))
        done = await asyncio.gather(*pending)
        return int(done[-1].offset + in_last_batch - 1)  # aiokafka tells the offset of a batch's first record

    @staticmethod
    def _append(batch: Any, record: OutRecord) -> bool:
        return (
            batch.append(
                key=record.key,
                value=record.value,
                timestamp=record.timestamp_ms,
                headers=list(record.headers),
            )
            is not None
        )
