"""Logs and a publisher in memory, for what is tested without a broker."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from fraudstream.core.handover import Handover, decode_handover
from fraudstream.core.registry import Entry, Refusal, decode_record
from fraudstream.delivery.atomic import AtomicRecord, Send


class Bounds(NamedTuple):
    low: int
    end: int


class Record(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None


class MemoryLogs:
    """Logs whose records stand at even offsets, as transactions leave markers between them."""

    def __init__(self) -> None:
        self.logs: dict[str, dict[int, Record]] = {}
        self.reads = 0

    def append(self, topic: str, value: bytes, key: bytes | None = None) -> int:
        log = self.logs.setdefault(topic, {})
        offset = 2 * len(log)
        log[offset] = Record(offset, key, value)
        return offset

    async def bounds(self, topic: str, partition: int) -> Bounds:
        log = self.logs.get(topic, {})
        return Bounds(min(log, default=0), max(log, default=-2) + 2)

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Any]:
        self.reads += 1
        for offset, record in sorted(self.logs.get(topic, {}).items()):
            if start <= offset < end:
                yield record


class MemoryPublisher:
    """Keeps what is published, transaction by transaction."""

    def __init__(self) -> None:
        self.transactions: list[list[AtomicRecord]] = []
        self._ends: dict[str, int] = {}

    async def start(self) -> None:
        """Nobody else publishes here."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Send]:
        sent: list[AtomicRecord] = []

        async def send(records: Sequence[AtomicRecord]) -> list[int]:
            offsets = []
            for record in records:
                offsets.append(self._ends.get(record.topic, 0))
                self._ends[record.topic] = offsets[-1] + 1
                sent.append(record)
            return offsets

        yield send
        self.transactions.append(sent)
        for topic in {record.topic for record in sent}:
            self._ends[topic] += 1  # the marker

    def last(self, topic: str) -> list[AtomicRecord]:
        return [record for record in self.transactions[-1] if record.topic == topic]

    def entry(self) -> Entry | Refusal:
        return decode_record(self.last("model-registry")[0].value)

    def handover(self) -> Handover:
        (told,) = self.last("model-handovers")
        return decode_handover(told.value)

    def risks(self) -> dict[str, bool]:
        """Return the terminals whose risk went out last, and whether it was taken away."""
        return {record.key.decode(): record.value is None for record in self.last("entity-risk")}
