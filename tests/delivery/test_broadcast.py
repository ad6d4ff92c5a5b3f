"""Topics that every process reads whole and then follows, on a real broker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from fraudstream.delivery.broadcast import Broadcast


@pytest.fixture
async def producer(kafka_bootstrap: str, unique_name: str) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def follow(kafka_bootstrap: str) -> AsyncIterator[Callable[..., Any]]:
    started: list[Broadcast] = []

    async def start(topic: str) -> tuple[Broadcast, list[bytes]]:
        heard: list[bytes] = []
        made = Broadcast(
            {"bootstrap_servers": kafka_bootstrap}, {topic: lambda record: heard.append(record.value)}
        )
        await made.start()
        started.append(made)
        return made, heard

    yield start
    for one in started:
        await one.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def test_every_process_is_caught_up_with_what_was_there_and_then_follows(
    producer: AIOKafkaProducer, follow: Callable[..., Any], made_topic: str
) -> None:
    for value in (b"1", b"2"):
        await producer.send_and_wait(made_topic, value, partition=0)
    followers = [await follow(made_topic) for _ in range(2)]
    for broadcast, heard in followers:
        async with asyncio.timeout(30):
            await broadcast.wait_until_caught_up()
        assert broadcast.is_caught_up
        assert heard == [b"1", b"2"]
    await producer.send_and_wait(made_topic, b"3", partition=0)
    for _, heard in followers:
        await until(lambda heard=heard: heard == [b"1", b"2", b"3"])


async def test_an_empty_topic_is_caught_up_with_at_once(follow: Callable[..., Any], made_topic: str) -> None:
    broadcast, heard = await follow(made_topic)
    async with asyncio.timeout(30):
        await broadcast.wait_until_caught_up()
    assert heard == []


async def test_a_log_that_ends_with_a_marker_of_a_transaction_is_caught_up_with(
    kafka_bootstrap: str, follow: Callable[..., Any], made_topic: str, unique_name: str
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=unique_name)
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(made_topic, b"committed", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(made_topic, b"aborted", partition=0)
        await producer.abort_transaction()
    finally:
        await producer.stop()
    broadcast, heard = await follow(made_topic)
    async with asyncio.timeout(30):
        await broadcast.wait_until_caught_up()
    assert heard == [b"committed"]


async def test_catching_up_is_told_once_after_all_that_was_there(
    kafka_bootstrap: str, producer: AIOKafkaProducer, made_topic: str
) -> None:
    for value in (b"1", b"2"):
        await producer.send_and_wait(made_topic, value, partition=0)
    heard: list[object] = []
    broadcast = Broadcast(
        {"bootstrap_servers": kafka_bootstrap},
        {made_topic: lambda record: heard.append(record.value)},
        on_caught_up=lambda: heard.append("caught up"),
    )
    await broadcast.start()
    try:
        async with asyncio.timeout(30):
            await broadcast.wait_until_caught_up()
        await producer.send_and_wait(made_topic, b"3", partition=0)
        await until(lambda: heard == [b"1", b"2", "caught up", b"3"])
    finally:
        await broadcast.stop()
