"""Reading all partitions of a topic from offsets that the reader keeps itself, on a real broker."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from fraudstream.delivery import following
from fraudstream.delivery.following import TURN_RECORDS, Follower
from fraudstream.delivery.records import CLAIM_HEADER

Heard = list[tuple[int, int]]


@pytest.fixture
async def producer(kafka_bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def follow(kafka_bootstrap: str) -> AsyncIterator[Callable[..., Any]]:
    started: list[Follower] = []

    async def start(topic: str, taken: dict[int, int], partitions: int = 2) -> Heard:
        heard: Heard = []
        made = Follower(
            {"bootstrap_servers": kafka_bootstrap},
            topic,
            partitions,
            taken,
            lambda record: heard.append((record.partition, record.offset)),
        )
        await made.start()
        started.append(made)
        return heard

    yield start
    for one in started:
        await one.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def send(producer: AIOKafkaProducer, topic: str, partition: int, count: int) -> None:
    for _ in range(count):
        await producer.send(topic, b"1", partition=partition)
    await producer.flush()


async def test_reading_goes_on_behind_what_was_taken_of_each_partition(
    producer: AIOKafkaProducer, follow: Callable[..., Any], make_topic: Callable[..., str]
) -> None:
    topic = make_topic("followed", 2)
    await send(producer, topic, 0, 3)
    await send(producer, topic, 1, 2)

    heard = await follow(topic, {0: 1})
    await until(lambda: len(heard) == 3)
    await send(producer, topic, 1, 1)
    await until(lambda: len(heard) == 4)

    assert sorted(heard) == [(0, 2), (1, 0), (1, 1), (1, 2)]


async def test_a_topic_made_again_is_read_from_its_beginning(
    producer: AIOKafkaProducer, follow: Callable[..., Any], make_topic: Callable[..., str]
) -> None:
    topic = make_topic("followed", 2)
    await send(producer, topic, 0, 2)

    heard = await follow(topic, {0: 700, 1: 3})

    await until(lambda: heard == [(0, 0), (0, 1)])


async def test_claims_are_left_out_and_a_long_log_is_read_whole(
    producer: AIOKafkaProducer, follow: Callable[..., Any], make_topic: Callable[..., str]
) -> None:
    topic = make_topic("followed", 1)
    await producer.send_and_wait(topic, b"", partition=0, headers=[(CLAIM_HEADER, b"")])
    await send(producer, topic, 0, 3 * TURN_RECORDS)

    heard = await follow(topic, {}, 1)

    await until(lambda: len(heard) == 3 * TURN_RECORDS)
    assert heard == [(0, offset) for offset in range(1, 3 * TURN_RECORDS + 1)]


async def test_nothing_comes_twice_when_the_connection_breaks(
    producer: AIOKafkaProducer,
    follow: Callable[..., Any],
    make_topic: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.05)
    rng = random.Random(1)
    read = AIOKafkaConsumer.getmany

    async def breaking(self: AIOKafkaConsumer, *args: Any, **kwargs: Any) -> Any:
        if rng.random() < 0.4:
            raise KafkaConnectionError
        return await read(self, *args, **kwargs)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", breaking)
    topic = make_topic("followed", 1)
    heard = await follow(topic, {}, 1)

    for _ in range(20):
        await send(producer, topic, 0, 5)
        await asyncio.sleep(0.02)

    await until(lambda: len(heard) >= 100)
    assert heard == [(0, offset) for offset in range(100)]
