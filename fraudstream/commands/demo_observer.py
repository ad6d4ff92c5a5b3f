"""Reads what the workers of a demo publish and store. It takes part in nothing: no group, no commits."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from fraudstream.commands.demo_state import DemoState, Seen
from fraudstream.connections import kafka_reading_options
from fraudstream.core.dead_letters import DeadLetter
from fraudstream.core.snapshot import decode_snapshot
from fraudstream.delivery.records import is_claim
from fraudstream.settings import Settings
from fraudstream.topics import Topics

STORES_EVERY_SECONDS = 0.5
"""How often the stores are asked; each question costs them about a millisecond for every 20,000 rows."""

_ARCHIVED = "SELECT count(*) FROM classifications"

_COUNTED = """
SELECT coalesce(sum(count), 0), count(DISTINCT window_start) FROM window_counts
WHERE population = 'all' AND dimension = 'decision'
"""

_decode = msgspec.json.Decoder(Seen).decode


class TopicsObserver:
    """Follows the topics the workers write, from their beginning, and notes what it reads.

    Classifications and alerts are read on different partitions, so an alert may be noted a moment before or
    after its classification.
    """

    def __init__(self, settings: Settings, topics: Topics, state: DemoState) -> None:
        self._state = state
        self._transactions = topics.transactions.name
        self._notes: dict[str, Callable[[ConsumerRecord[bytes, bytes]], None]] = {
            topics.classifications.name: self._classification,
            topics.alerts.name: lambda record: state.alert(),
            topics.dead_letters.name: self._dead_letter,
            topics.training_examples.name: self._example,
            topics.model_snapshots.name: self._snapshot,
        }
        self._partitions = [
            TopicPartition(topic.name, number)
            for topic in topics
            if topic.name in self._notes
            for number in range(topic.partitions)
        ]
        self._options: dict[str, Any] = kafka_reading_options(settings)

    async def run(self) -> None:
        """Follow until cancelled."""
        consumer = AIOKafkaConsumer(
            **self._options,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        try:
            consumer.assign(self._partitions)
            while True:
                for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                    note = self._notes[partition.topic]
                    for record in records:
                        if record.value is not None and not is_claim(record):
                            note(record)
        finally:
            await consumer.stop()

    def _classification(self, record: ConsumerRecord[bytes, bytes]) -> None:
        self._state.classification(_decode(record.value or b""))

    def _dead_letter(self, record: ConsumerRecord[bytes, bytes]) -> None:
        self._state.dead_letter(DeadLetter.from_headers(record.headers), self._transactions)

    def _example(self, record: ConsumerRecord[bytes, bytes]) -> None:
        self._state.labelled += 1

    def _snapshot(self, record: ConsumerRecord[bytes, bytes]) -> None:
        snapshot = decode_snapshot(record.value or b"")
        self._state.model(snapshot.version, snapshot.learned)


class StoresObserver:
    """Asks both SQLite stores how much they hold, reading only."""

    def __init__(self, archive: Path, counts: Path, state: DemoState) -> None:
        self._archive = archive
        self._counts = counts
        self._state = state

    async def run(self) -> None:
        """Ask again and again until cancelled."""
        while True:
            await asyncio.to_thread(self.ask)
            await asyncio.sleep(STORES_EVERY_SECONDS)

    def ask(self) -> None:
        """Ask once. A store whose file or tables the workers have not made yet holds nothing."""
        if found := _first_row(self._archive, _ARCHIVED):
            (self._state.archived,) = found
        if found := _first_row(self._counts, _COUNTED):
            self._state.counted, self._state.windows = found


def _first_row(path: Path, query: str) -> tuple[int, ...] | None:
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
            row: tuple[int, ...] = connection.execute(query).fetchone()
            return row
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) or "unable to open" in str(error):
            return None
        raise
