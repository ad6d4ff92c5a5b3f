"""Refusing results of another life of the source topic.

A topic that was deleted and made again starts its offsets anew. Whoever tells replays by offsets would take
every new transaction for an old one and drop it, silently. So whoever takes over a partition first compares
what was stored or published with what the source log holds: the newest result may not lie beyond the log,
and where its source record is still there, it must be the same transaction.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiokafka import ConsumerRecord

from fraudstream.delivery.logs import LogReader
from fraudstream.errors import EpochMismatch, InvalidMessage, StoreUnavailable

log = logging.getLogger(__name__)


class _Source(msgspec.Struct):
    epoch: int
    partition: int
    offset: int


class _Named(msgspec.Struct):
    transaction_id: str


class _Published(msgspec.Struct):
    """The part of a classification or alert that tells which source record it came from."""

    source: _Source
    transaction: _Named


_decode = msgspec.json.Decoder(_Published).decode

#: Reads the transaction id out of a source record; raises ``InvalidMessage`` for records that are none.
TransactionId = Callable[["ConsumerRecord[bytes, bytes]"], str]
#: Returns, a partition, the highest source offset a store holds of an epoch.
StoredOffsets = Callable[[int], Awaitable[dict[int, int]]]
#: Returns the classification a store holds of an epoch, partition and source offset, encoded; None for none.
StoredResult = Callable[[int, int, int], Awaitable[bytes | None]]


class EpochGuard:
    """Compares published and stored results with the source log.

    Parameters
    ----------
    reader
        Reads ends of logs.
    epoch
        The epoch this worker was started with.
    source
        The transaction topic.
    outputs
        Aligned topics whose newest record names its source.
    stored
        How far a store reaches, where the agent has one; ``store_name`` names it in messages.
    stored_result
        What that store holds there, where it keeps whole classifications.
    transaction_id
        Reads the id out of a source record.
    """

    def __init__(  # noqa: PLR0913 - what differs between agents, all of it by name
        self,
        reader: LogReader,
        *,
        epoch: int,
        source: str,
        outputs: Sequence[str] = (),
        stored: StoredOffsets | None = None,
        stored_result: StoredResult | None = None,
        store_name: str = "",
        transaction_id: TransactionId | None = None,
    ) -> None:
        self._reader = reader
        self._epoch = epoch
        self._source = source
        self._outputs = outputs
        self._stored = stored
        self._stored_result = stored_result
        self._store_name = store_name
        self._transaction_id = transaction_id

    async def published_tail(self, topic: str, partition: int) -> int:
        """Return the source offset of an aligned partition's newest record in this epoch; -1 without one."""
        published = await self._last_published(topic, partition)
        return -1 if published is None or published.source.epoch != self._epoch else published.source.offset

    async def check(self, partitions: Sequence[int]) -> None:
        """Raise ``EpochMismatch`` when what is published belongs to another life of the source.

        Where nothing is published yet, the outputs may have been made again together with the source; then
        the store is asked, if it answers. Whoever writes to a store compares it before its first write in
        any case.
        """
        fresh = []
        for partition in partitions:
            for topic in self._outputs:
                published = await self._last_published(topic, partition)
                if published is None:
                    fresh.append(partition)
                else:
                    await self._compare(f"{topic}[{partition}]", partition, published)
        if fresh:
            try:
                await self.check_store(fresh)
            except StoreUnavailable as exc:
                log.warning(
                    "epoch of the store not compared", extra={"store": exc.store, "reason": exc.reason}
                )

    async def check_store(self, partitions: Sequence[int]) -> None:
        """Compare what the store holds with the source log.

        Raises
        ------
        EpochMismatch
            The store is ahead, or holds another transaction than the log at the offset it has come to.
        StoreUnavailable
            It does not answer.
        """
        if self._stored is None:
            return
        highest = await self._stored(self._epoch)
        for partition in partitions:
            if partition in highest:
                await self._check_stored(partition, highest[partition])

    async def _check_stored(self, partition: int, offset: int) -> None:
        end = (await self._reader.bounds(self._source, partition)).end
        if offset >= end:
            raise EpochMismatch(self._beyond(self._store_name, partition, offset, end))
        if self._stored_result is not None:
            encoded = await self._stored_result(self._epoch, partition, offset)
            if encoded is not None:
                await self._compare(self._store_name, partition, _decode(encoded))

    async def _last_published(self, topic: str, partition: int) -> _Published | None:
        record = await self._reader.last_record(topic, partition)
        if record is None or record.value is None:
            return None
        return _decode(record.value)

    async def _compare(self, where: str, partition: int, published: _Published) -> None:
        if published.source.epoch > self._epoch:
            msg = (
                f"{where} holds results of epoch {published.source.epoch}, this worker was"
                f" started with epoch {self._epoch}: set FRAUDSTREAM_EPOCH={published.source.epoch}"
            )
            raise EpochMismatch(msg)
        if published.source.epoch < self._epoch:
            return
        bounds = await self._reader.bounds(self._source, partition)
        offset = published.source.offset
        if offset >= bounds.end:
            raise EpochMismatch(self._beyond(where, partition, offset, bounds.end))
        if self._transaction_id is None or offset < bounds.low:
            return
        record = await self._reader.record_at(self._source, partition, offset)
        if record is None:
            return
        try:
            found = self._transaction_id(record)
        except InvalidMessage:
            found = "no transaction"
        if found != published.transaction.transaction_id:
            msg = (
                f"{where} ends with transaction {published.transaction.transaction_id!r} of"
                f" source offset {offset}, but {self._source}[{partition}]@{offset} holds {found!r}: the"
                f" source topic was made again; {self._way_out()}"
            )
            raise EpochMismatch(msg)

    def _beyond(self, where: str, partition: int, offset: int, end: int) -> str:
        return (
            f"{where} holds results of {self._source}[{partition}] up to offset {offset}, but that log ends"
            f" at {end}: the source topic was made again; {self._way_out()}"
        )

    def _way_out(self) -> str:
        return f"start every worker with FRAUDSTREAM_EPOCH={self._epoch + 1} to go on beside the old results"
