"""Reading ends of logs on a real broker: claims and markers of transactions are no messages."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer

from fraudstream.delivery.logs import Bounds, LogReader
from fraudstream.delivery.records import CLAIM_HEADER, CLAIM_KEY


@pytest.fixture
async def reader(kafka_bootstrap: str) -> AsyncIterator[LogReader]:
    made = LogReader({"bootstrap_servers": kafka_bootstrap})
    yield made
    await made.stop()


@pytest.fixture
async def producer(kafka_bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    await made.start()
    yield made
    await made.stop()


async def write(producer: AIOKafkaProducer, topic: str, *values: bytes | None) -> None:
    """Write messages, and a claim for each ``None``."""
    for value in values:
        if value is None:
            await producer.send_and_wait(
                topic, None, key=CLAIM_KEY, partition=0, headers=[(CLAIM_HEADER, b"1-1")]
            )
        else:
            await producer.send_and_wait(topic, value, partition=0)


async def test_an_empty_log_has_no_last_message(reader: LogReader, made_topic: str) -> None:
    assert await reader.bounds(made_topic, 0) == Bounds(0, 0)
    assert await reader.last_record(made_topic, 0) is None
    assert await reader.record_at(made_topic, 0, 0) is None


@pytest.mark.parametrize("claims", [0, 1, 20], ids=["none", "one", "more than one step back"])
async def test_the_last_message_lies_before_any_number_of_claims(
    reader: LogReader, producer: AIOKafkaProducer, made_topic: str, claims: int
) -> None:
    await write(producer, made_topic, b"first", b"last", *[None] * claims)
    found = await reader.last_record(made_topic, 0)
    assert found is not None
    assert (found.value, found.offset) == (b"last", 1)


async def test_a_log_of_claims_alone_has_no_last_message(
    reader: LogReader, producer: AIOKafkaProducer, made_topic: str
) -> None:
    await write(producer, made_topic, None, None)
    assert await reader.last_record(made_topic, 0) is None


async def test_the_last_message_of_a_transaction_lies_before_its_marker_and_an_aborted_one_is_none(
    kafka_bootstrap: str, reader: LogReader, made_topic: str, unique_name: str
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=unique_name)
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(made_topic, b"committed", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(made_topic, b"aborted", partition=0)
        await producer.abort_transaction()
        found = await reader.last_record(made_topic, 0)
        assert found is not None
        assert found.value == b"committed"
        assert await reader.record_at(made_topic, 0, 2) is None
    finally:
        await producer.stop()


async def test_messages_are_read_from_start_to_before_the_end(
    reader: LogReader, producer: AIOKafkaProducer, made_topic: str
) -> None:
    await write(producer, made_topic, b"0", b"1", None, b"3", b"4")
    assert [record.value async for record in reader.read(made_topic, 0, 1, 4)] == [b"1", b"3"]
    assert [record.value async for record in reader.read(made_topic, 0, 0, 99)] == [b"0", b"1", b"3", b"4"]
    assert [record.value async for record in reader.read(made_topic, 0, 9, 99)] == []


async def test_a_reader_that_was_stopped_connects_again(reader: LogReader, made_topic: str) -> None:
    await reader.bounds(made_topic, 0)
    await reader.stop()
    await reader.stop()
    assert await reader.bounds(made_topic, 0) == Bounds(0, 0)
