"""The epoch guard, on a real broker: results of another life of the source are refused with both offsets."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import EpochMismatch, InvalidMessage, StoreUnavailable


class Topics:
    """A source and an output with one partition, and what is in them."""

    def __init__(self, producer: AIOKafkaProducer, reader: LogReader, source: str, output: str) -> None:
        self.source, self.output = source, output
        self._producer, self._reader = producer, reader

    async def send(self, *ids: str) -> None:
        for one in ids:
            await self._producer.send_and_wait(self.source, one.encode(), partition=0)

    async def publish(self, offset: int, transaction_id: str, epoch: int = 1) -> None:
        value = {
            "source": {"epoch": epoch, "partition": 0, "offset": offset},
            "transaction": {"transaction_id": transaction_id},
        }
        await self._producer.send_and_wait(self.output, json.dumps(value).encode(), partition=0)

    def guard(self, epoch: int = 1, **options: Any) -> EpochGuard:
        options = {"transaction_id": lambda record: record.value.decode()} | options
        return EpochGuard(self._reader, epoch=epoch, source=self.source, outputs=[self.output], **options)


@pytest.fixture
async def topics(kafka_bootstrap: str, make_topic: Callable[..., str]) -> AsyncIterator[Topics]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    reader = LogReader({"bootstrap_servers": kafka_bootstrap})
    await producer.start()
    yield Topics(producer, reader, make_topic("source"), make_topic("output"))
    await producer.stop()
    await reader.stop()


async def test_results_of_the_log_as_it_is_are_accepted(topics: Topics) -> None:
    await topics.send("a", "b", "c")
    await topics.publish(1, "b")
    await topics.guard().check([0])
    assert await topics.guard().published_tail(topics.output, 0) == 1


async def test_where_nothing_is_published_the_tail_is_before_the_first_record(topics: Topics) -> None:
    await topics.guard().check([0])
    assert await topics.guard().published_tail(topics.output, 0) == -1


async def test_results_beyond_the_end_of_the_log_are_refused_with_both_offsets(topics: Topics) -> None:
    await topics.send("a", "b")
    await topics.publish(5, "f")
    with pytest.raises(EpochMismatch, match=r"up to offset 5, but that log ends at 2.*FRAUDSTREAM_EPOCH=2"):
        await topics.guard().check([0])


async def test_another_transaction_at_the_tail_is_refused_with_both_ids(topics: Topics) -> None:
    await topics.send("x", "y", "z")
    await topics.publish(1, "b")
    with pytest.raises(EpochMismatch, match=r"transaction 'b' of source offset 1, but .* holds 'y'"):
        await topics.guard().check([0])


async def test_a_record_at_the_tail_that_is_no_transaction_is_refused(topics: Topics) -> None:
    def refuse(_: object) -> str:
        fault = "not JSON"
        raise InvalidMessage(fault)

    await topics.send("x", "y")
    await topics.publish(1, "b")
    with pytest.raises(EpochMismatch, match="holds 'no transaction'"):
        await topics.guard(transaction_id=refuse).check([0])


async def test_results_of_a_newer_epoch_are_refused(topics: Topics) -> None:
    await topics.publish(0, "a", epoch=3)
    with pytest.raises(EpochMismatch, match="set FRAUDSTREAM_EPOCH=3"):
        await topics.guard(epoch=2).check([0])


async def test_results_of_an_older_epoch_are_no_tail_and_no_reason_to_refuse(topics: Topics) -> None:
    await topics.publish(99, "a", epoch=1)
    await topics.guard(epoch=2).check([0])
    assert await topics.guard(epoch=2).published_tail(topics.output, 0) == -1


async def test_a_store_ahead_of_the_log_is_refused_where_nothing_is_published(topics: Topics) -> None:
    async def stored(epoch: int) -> dict[int, int]:
        return {0: 7} if epoch == 1 else {}

    await topics.send("a", "b")
    guard = topics.guard(stored=stored, store_name="the archive")
    with pytest.raises(EpochMismatch, match=r"the archive holds .* up to offset 7, but that log ends at 2"):
        await guard.check([0])
    await topics.guard(epoch=2, stored=stored, store_name="the archive").check([0])


async def test_a_store_that_is_down_stops_nobody_at_take_over_but_its_own_writer(topics: Topics) -> None:
    async def stored(_: int) -> dict[int, int]:
        store, reason = "archive", "connection refused"
        raise StoreUnavailable(store, reason)

    guard = topics.guard(stored=stored, store_name="the archive")
    await guard.check([0])
    with pytest.raises(StoreUnavailable):
        await guard.check_store([0])


async def test_a_store_with_another_transaction_where_it_ends_is_refused_with_both_ids(
    topics: Topics,
) -> None:
    async def stored(_: int) -> dict[int, int]:
        return {0: 1}

    async def stored_result(epoch: int, partition: int, offset: int) -> bytes | None:
        source = {"epoch": epoch, "partition": partition, "offset": offset}
        return json.dumps({"source": source, "transaction": {"transaction_id": "b"}}).encode()

    options = {"stored": stored, "stored_result": stored_result, "store_name": "the archive"}
    await topics.send("x", "y", "z")
    with pytest.raises(EpochMismatch, match=r"the archive ends with transaction 'b' .* holds 'y'"):
        await topics.guard(**options).check([0])


async def test_a_store_that_ends_with_the_log_s_own_transaction_is_accepted(topics: Topics) -> None:
    async def stored(_: int) -> dict[int, int]:
        return {0: 1}

    async def stored_result(epoch: int, partition: int, offset: int) -> bytes | None:
        source = {"epoch": epoch, "partition": partition, "offset": offset}
        return json.dumps({"source": source, "transaction": {"transaction_id": "b"}}).encode()

    await topics.send("a", "b", "c")
    await topics.guard(stored=stored, stored_result=stored_result, store_name="the archive").check([0])
