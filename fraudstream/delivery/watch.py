"""Gauges of lanes that nothing sets in passing: how far behind they are, and how long their work waits."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from fraudstream.delivery.lane import Lane
from fraudstream.delivery.logs import LogReader
from fraudstream.health import Health
from fraudstream.metrics import Metrics

log = logging.getLogger(__name__)

#: Brokers that have not answered after so long count as away; a client alone would wait for 40 seconds.
ANSWER_SECONDS = 5.0


class Watch:
    """Watches the lanes of one process.

    Lag is taken from the brokers, as the end of each owned partition less what the group has committed: a
    consumer knows the end only of what it fetches, and fetches nothing while its agent waits for a store.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        metrics: Metrics,
        health: Health,
        reader: LogReader,
        kafka: dict[str, Any],
    ) -> None:
        health.expect("kafka", "not asked yet")
        self._health = health
        self._lanes = lanes
        self._metrics = metrics
        self._reader = reader
        self._kafka = kafka
        self._admin: AIOKafkaAdminClient | None = None

    def refresh(self, _now: float) -> None:
        """Set what this process knows by itself; the time is not needed."""
        for lane in self._lanes:
            self._metrics.checkpoint_age_seconds.labels(agent=lane.route.agent).set(
                lane.backlog.oldest_seconds()
            )

    async def measure_lag(self) -> None:
        """Ask the brokers how far behind every lane is, and tell metrics and health whether they answer.

        Without an answer the gauges of lag stay as they are.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await (await self._connected()).describe_cluster()
        except (KafkaError, TimeoutError) as exc:
            self._metrics.store_up.labels(store="kafka").set(0)
            self._metrics.store_retries.labels(store="kafka").inc()
            self._health.deny("kafka", f"no broker answers: {exc!r}")
            await self.stop()
            return
        self._metrics.store_up.labels(store="kafka").set(1)
        self._health.affirm("kafka")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for lane in self._lanes:
                    await self._measure(lane)
        except (
            KafkaError,
            TimeoutError,
        ) as exc:  # a group's coordinator may be moving while brokers are well
            log.debug("lag not measured", extra={"reason": repr(exc)})
            await self.stop()

    async def stop(self) -> None:
        """Close the connection. Idempotent."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def _measure(self, lane: Lane) -> None:
        partitions = [TopicPartition(lane.route.source, number) for number in sorted(lane.owned)]
        lag = 0
        if partitions:
            committed = await (await self._connected()).list_consumer_group_offsets(
                str(lane.route.app.conf.id), partitions=partitions
            )
            for tp in partitions:
                bounds = await self._reader.bounds(*tp)
                done = committed[tp].offset if tp in committed else -1
                lag += bounds.end - max(done, bounds.low)
        self._metrics.lag_records.labels(agent=lane.route.agent, topic=lane.route.source).set(lag)

    async def _connected(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            admin = AIOKafkaAdminClient(**self._kafka)
            try:
                await admin.start()
            except KafkaError:
                await admin.close()
                raise
            self._admin = admin
        return self._admin
