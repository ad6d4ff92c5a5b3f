"""Producers that only the present owner of a partition can use, on a real broker."""

from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka.errors import ProducerFenced

from fraudstream.delivery.fencing import FencedProducers
from fraudstream.delivery.logs import LogReader
from fraudstream.delivery.records import CLAIM_KEY, OutRecord, is_claim

Producers = Callable[[], FencedProducers]


@pytest.fixture
async def producers(kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Producers]:
    """Make producers as another worker of the same app each time."""
    made: list[FencedProducers] = []

    def make() -> FencedProducers:
        made.append(FencedProducers(unique_name, {"bootstrap_servers": kafka_bootstrap}))
        return made[-1]

    yield make
    for one in made:
        await one.stop()


@pytest.fixture
async def reader(kafka_bootstrap: str) -> AsyncIterator[LogReader]:
    made = LogReader({"bootstrap_servers": kafka_bootstrap})
    yield made
    await made.stop()


def outputs(*offsets: int) -> list[OutRecord]:
    return [OutRecord(offset, b"k", b"v%d" % offset) for offset in offsets]


async def test_a_claim_ends_what_an_older_owner_can_write(
    producers: Producers, make_topic: Callable[..., str]
) -> None:
    out, log = make_topic("out"), make_topic("log")
    older, newer = producers(), producers()
    assert await older.claim(0, [out], [log]) == {out: 0, log: 0}
    assert await older.send(0, out, outputs(0, 1)) == 2
    assert await newer.claim(0, [out], [log]) == {out: 3, log: 1}
    with pytest.raises(ProducerFenced):
        await older.send(0, out, outputs(2))
    with pytest.raises(ProducerFenced):
        await older.send(0, log, outputs(2))
    assert await newer.send(0, out, outputs(2)) == 4


async def test_an_owner_that_claims_again_goes_on(producers: Producers, made_topic: str) -> None:
    owner = producers()
    await owner.claim(0, [made_topic])
    await owner.claim(0, [made_topic])
    assert await owner.send(0, made_topic, outputs(0)) == 2


async def test_owners_of_different_partitions_do_not_fence_each_other(
    producers: Producers, make_topic: Callable[..., str]
) -> None:
    topic = make_topic("two", partitions=2)
    first, second = producers(), producers()
    await first.claim(0, [topic])
    await second.claim(1, [topic])
    assert await first.send(0, topic, outputs(0)) == 1
    assert await second.send(1, topic, outputs(0)) == 1


async def test_a_claim_is_told_from_a_message_and_keeps_a_value_in_a_compacted_log(
    producers: Producers, make_topic: Callable[..., str], reader: LogReader
) -> None:
    out, log = make_topic("out"), make_topic("log")
    await producers().claim(0, [out], [log])
    in_output, in_log = await reader.record_at(out, 0, 0), await reader.record_at(log, 0, 0)
    assert in_output is not None
    assert in_log is not None
    assert is_claim(in_output)
    assert is_claim(in_log)
    assert (in_output.key, in_output.value) == (CLAIM_KEY, None)
    assert (in_log.key, in_log.value) == (CLAIM_KEY, b"")


async def test_more_records_than_one_batch_holds_arrive_in_order(
    producers: Producers, made_topic: str, reader: LogReader
) -> None:
    owner = producers()
    await owner.claim(0, [made_topic])
    large = [OutRecord(offset, b"k", bytes([offset]) * 300_000) for offset in range(10)]
    assert await owner.send(0, made_topic, large) == 10
    values = [record.value async for record in reader.read(made_topic, 0, 0, 11)]
    assert values == [record.value for record in large]


async def test_records_go_to_another_partition_where_asked_with_time_and_headers(
    producers: Producers, make_topic: Callable[..., str], reader: LogReader
) -> None:
    topic, single = make_topic("two", partitions=2), make_topic("single")
    owner = producers()
    await owner.claim(1, [topic])
    record = OutRecord(0, b"k", b"v", 1_700_000_000_000, (("why", b"because"),))
    await owner.send(1, single, [record], to_partition=0)
    found = await reader.last_record(single, 0)
    assert found is not None
    assert (found.timestamp, found.headers) == (1_700_000_000_000, (("why", b"because"),))


async def test_nothing_to_send_is_no_offset(producers: Producers, made_topic: str) -> None:
    owner = producers()
    await owner.claim(0, [made_topic])
    assert await owner.send(0, made_topic, []) is None


async def test_releasing_twice_is_as_good_as_once(producers: Producers, made_topic: str) -> None:
    owner = producers()
    await owner.claim(0, [made_topic])
    await owner.release([0, 5])
    await owner.release([0])
    await owner.stop()
    with pytest.raises(KeyError):
        await owner.send(0, made_topic, outputs(0))
