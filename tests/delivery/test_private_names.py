"""Private names of Faust and aiokafka that ``fraudstream.delivery`` leans on, with the behaviour it expects.

A new version that breaks one of these breaks a promise of delivery without any error: look at the module
that is named before raising a pin in ``setup.cfg``.
"""

import inspect
import re
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.errors import ProducerFenced
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.tables.manager import TableManager
from faust.transport.consumer import Consumer
from faust.types import TP

import fraudstream.delivery.consumer
import fraudstream.delivery.fencing
import fraudstream.delivery.fetching
import fraudstream.delivery.unpacking
from fraudstream.delivery import unpacking
from fraudstream.delivery.fetching import Fetching, SliceConsumerThread
from fraudstream.delivery.slices import read_in_slices
from tests.delivery.faust_consumer import PARTITION, Message, consumer, thread_of

PINNED = {
    "Consumer._acked",
    "Consumer._acked_index",
    "Consumer._add_gap",
    "Consumer._committed_offset",
    "Consumer._get_active_partitions",
    "Consumer._is_changelog_tp",
    "Consumer._new_consumer_thread",
    "Consumer._new_offset",
    "AIOKafkaConsumerThread._create_worker_consumer",
    "AIOKafkaConsumerThread._gather_remaining_tasks",
    "AIOKafkaConsumerThread._serve",
    "AIOKafkaConsumer._fetch_max_wait_ms",
    "AIOKafkaConsumer._fetch_min_bytes",
    "AIOKafkaConsumer._key_deserializer",
    "PartitionRecords._consumer_record",
    "PartitionRecords._records_iterator",
    "AIOKafkaProducer._txn_manager",
}


def test_every_private_name_listed_in_a_docstring_is_pinned_here() -> None:
    listed: set[str] = set()
    for module in (
        fraudstream.delivery.consumer,
        fraudstream.delivery.fencing,
        fraudstream.delivery.fetching,
        fraudstream.delivery.unpacking,
    ):
        listed |= set(re.findall(r"``([A-Z]\w+\._\w+)``", module.__doc__ or ""))
    assert listed == PINNED


def test_no_private_name_of_a_library_is_used_without_being_listed() -> None:
    own = {"_slice_from", "_done", "_room", "_serving", "_ended"}
    used = set()
    for module in (
        fraudstream.delivery.consumer,
        fraudstream.delivery.fetching,
        fraudstream.delivery.unpacking,
    ):
        source = Path(module.__file__).read_text()
        names = re.findall(r"(?:\b(?:self|consumer|service)\.|super\(\)\.|def )(_[a-z]\w*)", source)
        used |= set(names) - own
    assert used == {name.partition(".")[2] for name in PINNED if not name.startswith("AIOKafkaProducer")}


async def test_a_commit_asks_for_the_new_offset_of_each_partition_with_something_acknowledged() -> None:
    made = consumer()
    assert list(made._filter_tps_with_pending_acks()) == []
    assert Consumer.ack(made, Message("nothing", offset=9))
    assert list(made._filter_tps_with_pending_acks()) == [PARTITION]
    assert (made._acked[PARTITION], made._acked_index[PARTITION]) == ([9], {9})
    assert "self._new_offset(tp)" in inspect.getsource(Consumer._filter_committable_offsets)


async def test_a_delivery_that_jumps_tells_where_the_hole_begins() -> None:
    source = inspect.getsource(Consumer._drain_messages)
    assert "await self._add_gap(tp, r_offset + 1, offset)" in source


async def test_the_active_partitions_are_one_set_that_fetches_read() -> None:
    made = consumer()
    made._set_active_tps({PARTITION})
    assert made._get_active_partitions() == {PARTITION}
    made._get_active_partitions().discard(PARTITION)
    assert made._get_active_partitions() == set()


async def test_a_changelog_is_told_from_a_source() -> None:
    made = consumer()
    made.app.tables._changelogs = {"a-changelog": None}
    assert made._is_changelog_tp(TP("a-changelog", 0))
    assert not made._is_changelog_tp(PARTITION)


async def test_the_consumer_makes_its_thread_through_the_name_we_override() -> None:
    made = consumer()
    assert isinstance(thread_of(made), SliceConsumerThread)


async def test_the_fetch_wait_that_is_set_before_the_start_is_the_one_sent_to_the_broker() -> None:
    made = consumer(Fetching(min_bytes=4444, max_wait_ms=33, in_thread=True))
    inner = thread_of(made)._create_worker_consumer(made.transport)
    try:
        assert inner._fetch_min_bytes == 4444
        assert inner._fetch_max_wait_ms == 33
    finally:
        await inner.stop()
    source = inspect.getsource(AIOKafkaConsumer.start)
    assert "fetch_min_bytes=self._fetch_min_bytes" in source
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in source


async def test_only_slices_take_records_as_they_were_unpacked() -> None:
    made = consumer()
    unpacking.install()
    inner = thread_of(made)._create_worker_consumer(made.transport)
    try:
        assert inner._key_deserializer is unpacking.AS_UNPACKED
    finally:
        await inner.stop()
    assert "key_deserializer=self._key_deserializer" in inspect.getsource(AIOKafkaConsumer.start)
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10_000)
    for offset in range(3):
        builder.append(offset, 1_000 + offset, b"key", b"%d" % offset, [("name", b"text")])
    read_in_slices("cut")

    def unpack(topic: str, mark: object) -> list[Any]:
        records = fetcher.PartitionRecords(
            TP(topic, 0), MemoryRecords(bytes(builder.build())), [], 1, mark, None, True, 0
        )
        assert records.next_fetch_offset == 1
        found = list(records)
        assert records.next_fetch_offset == 3
        return found

    assert [type(record) for record in unpack("whole", unpacking.AS_UNPACKED)] == [ConsumerRecord] * 2
    assert [type(record) for record in unpack("cut", None)] == [ConsumerRecord] * 2
    assert [
        (record.offset, record.timestamp, record.timestamp_type, record.key, record.value, record.headers)
        for record in unpack("cut", unpacking.AS_UNPACKED)
    ] == [(offset, 1_000 + offset, 0, b"key", b"%d" % offset, [("name", b"text")]) for offset in (1, 2)]


def test_the_table_manager_sleeps_its_fixed_second_through_its_own_sleep() -> None:
    assert "self.sleep(1.0)" in inspect.getsource(TableManager)


def test_faust_sleeps_a_whole_second_where_every_partition_is_held() -> None:
    assert "self.sleep(1)" in inspect.getsource(Consumer)


async def test_stock_acknowledges_what_was_never_processed() -> None:
    # The reason for our ``ack``: an event that leaves a stream counts as done, whatever became of it.
    made = consumer()
    made._committed_offset[PARTITION] = 0
    assert Consumer.ack(made, Message("anything", offset=0))
    assert Consumer._new_offset(made, PARTITION) == 1


async def test_a_producer_takes_an_id_and_epoch_from_outside_and_asks_for_none_of_its_own(
    kafka_bootstrap: str, unique_name: str
) -> None:
    init = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=unique_name)
    await init.start()
    await init._txn_manager.wait_for_pid()
    taken = init._txn_manager.producer_id, init._txn_manager.producer_epoch
    await init.stop()
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all", enable_idempotence=True)
    producer._txn_manager.set_pid_and_epoch(*taken)
    await producer.start()
    try:
        assert (producer._txn_manager.producer_id, producer._txn_manager.producer_epoch) == taken
        assert taken[0] >= 0
    finally:
        await producer.stop()


@pytest.mark.parametrize("claims_first", [False, True])
async def test_a_broker_refuses_an_older_epoch_only_once_the_newer_one_has_written(
    kafka_bootstrap: str, made_topic: str, unique_name: str, claims_first: bool
) -> None:
    async def owner() -> AIOKafkaProducer:
        init = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=unique_name)
        await init.start()
        await init._txn_manager.wait_for_pid()
        taken = init._txn_manager.producer_id, init._txn_manager.producer_epoch
        await init.stop()
        producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all", enable_idempotence=True)
        producer._txn_manager.set_pid_and_epoch(*taken)
        await producer.start()
        return producer

    older = await owner()
    await older.send_and_wait(made_topic, b"mine", partition=0)
    newer = await owner()
    try:
        if claims_first:
            await newer.send_and_wait(made_topic, b"claim", partition=0)
            with pytest.raises(ProducerFenced):
                await older.send_and_wait(made_topic, b"too late", partition=0)
        else:
            await older.send_and_wait(made_topic, b"still mine", partition=0)
    finally:
        await older.stop()
        await newer.stop()


def test_the_pinned_versions_are_the_installed_ones() -> None:
    pins = Path("setup.cfg").read_text()
    assert f"faust-streaming == {faust.__version__}" in pins
