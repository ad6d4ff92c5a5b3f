"""What the agents of one worker process share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from prometheus_client import CollectorRegistry

from fraudstream.connections import kafka_options, kafka_reading_options
from fraudstream.core.messages import Label, LabelSource, LabelValue, Position
from fraudstream.delivery.dead_letters import DeadLetters
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import StoreUnavailable
from fraudstream.health import Health
from fraudstream.metrics import Metrics, create_registry
from fraudstream.ports import Archive, CountStore
from fraudstream.settings import Settings
from fraudstream.topics import Topics


@dataclass
class WorkerContext:
    """Settings, metrics, health and connections of one process. Making one connects to nothing."""

    settings: Settings
    registry: CollectorRegistry = field(default_factory=create_registry)
    health: Health = field(default_factory=Health)
    #: Called every second with the time, to set gauges that nothing else sets.
    gauges: list[Callable[[float], None]] = field(default_factory=list)
    #: Opens each store that the agents of this process write to; repeated calls do nothing.
    openers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @cached_property
    def metrics(self) -> Metrics:
        """Every metric of this process."""
        return Metrics(self.registry)

    @cached_property
    def topics(self) -> Topics:
        """Names of the topics, with their prefix."""
        return Topics(self.settings)

    @cached_property
    def kafka(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client."""
        return kafka_options(self.settings)

    @cached_property
    def kafka_reading(self) -> dict[str, Any]:
        """Keyword arguments of every consumer outside of groups."""
        return kafka_reading_options(self.settings)

    @cached_property
    def log_reader(self) -> LogReader:
        """Looks at ends of logs."""
        return LogReader(self.kafka_reading)

    @cached_property
    def archive(self) -> Archive:
        """The archive, not opened yet."""
        from fraudstream.adapters import connect_archive  # noqa: PLC0415 - drivers take 0.3 s to import

        return connect_archive(self.settings.mongo_url.get_secret_value())

    @cached_property
    def count_store(self) -> CountStore:
        """The store of counts, not opened yet."""
        from fraudstream.adapters import connect_count_store  # noqa: PLC0415 - as above

        return connect_count_store(self.settings.mariadb_url.get_secret_value())

    def dead_letters(self) -> DeadLetters:
        """Return an agent's way to set messages aside."""
        settings = self.settings
        return DeadLetters(
            self.metrics,
            self.topics.dead_letters.name,
            settings.dead_letter_brake,
            settings.dead_letter_brake_records,
        )

    async def stored_offsets(self, epoch: int) -> dict[int, int]:
        """Return the highest source offset the archive holds, a partition.

        For workers that do not write to the archive: connects, looks and lets go.
        """
        await self.archive.open()
        try:
            return await self.archive.highest_offsets(epoch)
        finally:
            await self.archive.close()

    async def stored_result(self, epoch: int, partition: int, offset: int) -> bytes | None:
        """Return the classification the archive holds of a source position, encoded; None for none.

        Connects, looks and lets go, like :meth:`stored_offsets`.
        """
        await self.archive.open()
        try:
            (found,) = await self.archive.find([_anything_about(Position(epoch, partition, offset))])
        finally:
            await self.archive.close()
        return found[0].classification if found else None

    def refresh(self, now: float) -> None:
        """Bring gauges up to date that follow the clock; ``now`` in seconds since 1970."""
        for gauge in self.gauges:
            gauge(now)

    @contextlib.asynccontextmanager
    async def using(self, store: str) -> AsyncIterator[None]:
        """Tell metrics and health whether the store used inside answers.

        Raises
        ------
        StoreUnavailable
            As it came; the condition ``<store>`` of health does not hold until the store answers again.
        """
        try:
            yield
        except StoreUnavailable as exc:
            self.metrics.store_up.labels(store=store).set(0)
            self.metrics.store_retries.labels(store=store).inc()
            self.health.deny(store, exc.reason)
            raise
        self.metrics.store_up.labels(store=store).set(1)
        self.health.affirm(store)

    def opener(self, store: str, open_store: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Return a call that opens a store when it is first awaited, and does nothing once that succeeded.

        A worker makes this call when it starts, before there is anything to store (see :attr:`openers`).
        """
        self.health.expect(store, "not opened yet")
        opened = False
        opening = asyncio.Lock()

        async def opened_once() -> None:
            nonlocal opened
            if opened:
                return
            async with opening:
                if not opened:
                    async with self.using(store):
                        await open_store()
                    opened = True

        self.openers.append(opened_once)
        return opened_once


def _anything_about(position: Position) -> Label:
    """Return a label that asks the archive for one position; what it says is never looked at."""
    return Label(
        label=LabelValue.GENUINE,
        source=LabelSource.PRESUMED,
        labelled_at=datetime.now(UTC),
        position=position,
    )
