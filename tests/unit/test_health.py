"""Health: ready is a conjunction of named conditions, live is not their business."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from fraudstream.errors import InvalidSettings
from fraudstream.health import Health
from fraudstream.observability import Observability


def test_a_process_is_ready_when_every_condition_holds() -> None:
    health = Health()
    health.expect("model", "no model yet")
    health.expect("tables", "not recovered yet")
    health.affirm("model")
    assert not health.is_ready

    health.affirm("tables")

    assert health.is_ready


def test_a_condition_that_is_lost_makes_it_unready_but_not_dead() -> None:
    health = Health()
    health.affirm("mongo")

    health.deny("mongo", "connection refused")

    assert not health.is_ready
    assert health.is_live
    assert health.report()["conditions"]["mongo"] == {"holds": False, "reason": "connection refused"}


def test_a_probe_is_asked_each_time() -> None:
    reasons = iter(["too old", ""])
    health = Health()
    health.watch("model", lambda: next(reasons))

    assert [health.is_ready, health.is_ready] == [False, True]


def test_a_condemned_process_is_neither_live_nor_ready_and_keeps_its_first_reason() -> None:
    health = Health()

    health.condemn("loop stuck")
    health.condemn("and more")

    assert (health.is_live, health.is_ready) == (False, False)
    assert health.report()["fatal"] == "loop stuck"


async def test_the_endpoints_show_metrics_and_each_condition() -> None:
    registry, health = CollectorRegistry(), Health()
    Counter("cakes_total", "Cakes.", registry=registry).inc(3)
    health.expect("model", "no model yet")
    async with (
        Observability(registry, health, "127.0.0.1", 0) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client,
    ):
        live, ready = await client.get("/healthz/live"), await client.get("/healthz/ready")
        body = await ready.json()
        metrics = await (await client.get("/metrics")).text()
        health.affirm("model")
        later = await client.get("/healthz/ready")

    assert (live.status, ready.status, later.status) == (200, 503, 200)
    assert body["conditions"] == {"model": {"holds": False, "reason": "no model yet"}}
    assert "cakes_total 3.0" in metrics


async def test_a_condemned_process_answers_503_on_both() -> None:
    health = Health()
    health.condemn("loop stuck")
    async with (
        Observability(CollectorRegistry(), health, "127.0.0.1", 0) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client,
    ):
        statuses = [(await client.get(f"/healthz/{path}")).status for path in ("live", "ready")]

    assert statuses == [503, 503]


async def test_a_taken_port_is_the_operators_error() -> None:
    async with Observability(CollectorRegistry(), Health(), "127.0.0.1", 0) as first:
        second = Observability(CollectorRegistry(), Health(), "127.0.0.1", first.port)

        with pytest.raises(InvalidSettings, match=f"FRAUDSTREAM_METRICS_PORT: .*:{first.port}: "):
            await second.start()
