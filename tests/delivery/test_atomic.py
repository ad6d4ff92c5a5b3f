"""Publishing several records at once, on a real broker: all of them or none, by one process only."""

from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka.errors import KafkaError, ProducerFenced

from fraudstream.delivery.atomic import AtomicPublisher, AtomicRecord
from fraudstream.delivery.logs import LogReader


@pytest.fixture
async def publishers(kafka_bootstrap: str, unique_name: str) -> AsyncIterator[Callable[[], AtomicPublisher]]:
    made: list[AtomicPublisher] = []

    def make() -> AtomicPublisher:
        made.append(AtomicPublisher(unique_name, {"bootstrap_servers": kafka_bootstrap}))
        return made[-1]

    yield make
    for one in made:
        await one.stop()


@pytest.fixture
async def reader(kafka_bootstrap: str) -> AsyncIterator[LogReader]:
    made = LogReader({"bootstrap_servers": kafka_bootstrap})
    yield made
    await made.stop()


async def test_what_is_published_together_is_all_there_in_its_order_with_its_headers(
    publishers: Callable[[], AtomicPublisher], make_topic: Callable[..., str], reader: LogReader
) -> None:
    risks, models = make_topic("risks"), make_topic("models")
    publisher = publishers()
    await publisher.start()
    first = [AtomicRecord(risks, b"t%d" % number, b"risk") for number in range(3)]
    last = AtomicRecord(models, b"m", b"1", (("by", b"me"),))
    assert await publisher.publish([*first, last]) == [0, 1, 2, 0]
    found = await reader.last_record(models, 0)
    assert found is not None
    assert (found.value, dict(found.headers)) == (b"1", {"by": b"me"})
    found = await reader.last_record(risks, 0)
    assert found is not None
    assert (found.key, found.offset) == (b"t2", 2)


async def test_after_a_refusal_nothing_of_it_is_visible(
    publishers: Callable[[], AtomicPublisher], make_topic: Callable[..., str], reader: LogReader
) -> None:
    risks, models = make_topic("risks"), make_topic("models")
    publisher = publishers()
    await publisher.start()
    too_large = AtomicRecord(models, b"m", b"x" * 2_000_000)  # the topic takes one megabyte
    with pytest.raises(KafkaError):
        await publisher.publish([AtomicRecord(risks, b"t", b"risk"), too_large])
    assert await reader.last_record(risks, 0) is None
    assert await reader.last_record(models, 0) is None


async def test_whoever_starts_last_is_the_publisher(
    publishers: Callable[[], AtomicPublisher], made_topic: str
) -> None:
    older, newer = publishers(), publishers()
    await older.start()
    await newer.start()
    with pytest.raises(ProducerFenced):
        await older.publish([AtomicRecord(made_topic, b"m", b"old")])
    await newer.publish([AtomicRecord(made_topic, b"m", b"new")])


async def test_starting_again_goes_on(publishers: Callable[[], AtomicPublisher], made_topic: str) -> None:
    publisher = publishers()
    await publisher.start()
    await publisher.start()
    assert await publisher.publish([AtomicRecord(made_topic, b"m", b"1")]) == [0]


async def test_a_transaction_tells_offsets_on_the_way_and_shows_nothing_when_it_fails(
    publishers: Callable[[], AtomicPublisher], make_topic: Callable[..., str], reader: LogReader
) -> None:
    kept, models = make_topic("kept"), make_topic("models")
    publisher = publishers()
    await publisher.start()
    async with publisher.transaction() as send:
        assert await send([AtomicRecord(kept, b"part", b"1"), AtomicRecord(kept, b"head", b"2")]) == [0, 1]
        assert await send([]) == []
        assert await send([AtomicRecord(models, b"m", b"1")]) == [0]
    with pytest.raises(KafkaError):
        await send_too_much(publisher, kept)
    found = await reader.last_record(kept, 0)
    assert found is not None
    assert found.value == b"2"


async def send_too_much(publisher: AtomicPublisher, topic: str) -> None:
    async with publisher.transaction() as send:
        await send([AtomicRecord(topic, b"part", b"3")])
        await send([AtomicRecord(topic, b"part", b"x" * 2_000_000)])
