"""What a worker tells of its brokers and of how far behind them it is."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from fraudstream.delivery.logs import LogReader
from fraudstream.delivery.watch import Watch
from fraudstream.embedded.cluster import EmbeddedCluster
from fraudstream.health import Health
from fraudstream.metrics import Metrics
from tests.services.process import free_port


def lane(topic: str, owned: set[int]) -> Any:
    """Return the part of a lane that is watched; its group has committed nothing."""
    app = SimpleNamespace(conf=SimpleNamespace(id=f"{topic}-readers"))
    route = SimpleNamespace(agent="scoring", source=topic, app=app)
    return SimpleNamespace(route=route, owned=owned)


class Watched:
    """A watch on brokers at an address, and what it has told."""

    def __init__(self, bootstrap: str, *lanes: Any, **reading: Any) -> None:
        kafka = {"bootstrap_servers": bootstrap}
        self.metrics = Metrics(CollectorRegistry())
        self.health = Health()
        self.reader = LogReader(kafka | reading)
        self.watch = Watch(lanes, self.metrics, self.health, self.reader, kafka)

    async def measure(self) -> None:
        try:
            await self.watch.measure_lag()
        finally:
            await self.watch.stop()
            await self.reader.stop()

    @property
    def kafka_is_up(self) -> float | None:
        return self.metrics.registry.get_sample_value("fraudstream_store_up", {"store": "kafka"})


async def test_before_the_first_answer_a_worker_is_not_ready() -> None:
    watched = Watched(f"127.0.0.1:{free_port()}")
    assert watched.health.conditions["kafka"].reason == "not asked yet"


async def test_brokers_that_answer_are_up_and_lag_counts_what_is_not_committed(
    kafka_bootstrap: str, made_topic: str
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for _ in range(3):
            await producer.send_and_wait(made_topic, b"v", partition=0)
    watched = Watched(kafka_bootstrap, lane(made_topic, {0}))
    labels = {"agent": "scoring", "topic": made_topic}
    async with asyncio.timeout(60):
        while watched.metrics.registry.get_sample_value("fraudstream_lag_records", labels) is None:
            await watched.measure()  # the coordinator of a new group takes a moment
            assert watched.health.is_ready
            assert watched.kafka_is_up == 1
    assert watched.metrics.registry.get_sample_value("fraudstream_lag_records", labels) == 3


@pytest.mark.parametrize("owned", [set(), {0}])
async def test_brokers_that_are_away_are_down_whatever_the_worker_owns(owned: set[int]) -> None:
    watched = Watched(f"127.0.0.1:{free_port()}", lane("anything", owned))
    await watched.measure()
    assert watched.kafka_is_up == 0
    assert not watched.health.is_ready
    assert "no broker answers" in watched.health.conditions["kafka"].reason
    retries = watched.metrics.registry.get_sample_value("fraudstream_store_retries_total", {"store": "kafka"})
    assert retries == 1


async def test_the_embedded_cluster_is_up_too() -> None:
    with EmbeddedCluster({"transactions": 1}) as cluster:
        watched = Watched(cluster.bootstrap, lane("transactions", {0}), check_crcs=False)
        await watched.measure()
    assert watched.health.conditions["kafka"].reason == ""
