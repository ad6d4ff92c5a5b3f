"""Slices: what one fetch brought is cut in order, fairly, without losing a record."""

import dataclasses

import faust
from faust.types import TP

from fraudstream.delivery.records import CLAIM_HEADER
from fraudstream.delivery.slices import (
    PartitionId,
    RecordSlice,
    SliceScheduler,
    SliceSchema,
    is_sliced,
    read_in_slices,
    sliced_topic,
)
from tests.delivery.faust_consumer import TOPIC, record, records

ZERO, ONE, STOCK = TP(TOPIC, 0), TP(TOPIC, 1), TP("stock-topic", 0)


def scheduler(size: int) -> SliceScheduler:
    read_in_slices(TOPIC)
    made = SliceScheduler()
    made.size = size
    return made


def test_a_fetch_is_cut_into_slices_in_turn_so_that_no_partition_starves() -> None:
    fetched = {
        ZERO: [record(offset) for offset in range(5)],
        ONE: [record(offset, partition=1) for offset in range(10, 12)],
    }
    cut = [(tp, part.first, part.offset) for tp, part in scheduler(2).iterate(fetched)]
    assert cut == [(ZERO, 0, 1), (ONE, 10, 11), (ZERO, 2, 3), (ZERO, 4, 4)]


def test_every_record_is_in_exactly_one_slice() -> None:
    fetched = {ZERO: [record(offset) for offset in range(1000)]}
    parts = [part for _, part in scheduler(64).iterate(fetched)]
    assert [one.offset for part in parts for one in part.records] == list(range(1000))
    assert sum(len(part) for part in parts) == 1000


def test_records_of_other_topics_come_as_faust_orders_them() -> None:
    stock = record(7, topic="stock-topic")
    found = list(scheduler(2).iterate({ZERO: [record(0)], STOCK: [stock]}))
    assert found[-1] == (STOCK, stock)
    assert not is_sliced("stock-topic")


def test_an_empty_fetch_gives_nothing() -> None:
    assert list(scheduler(2).iterate({ZERO: []})) == []


def test_a_slice_looks_to_faust_like_its_last_record_and_is_not_processed_yet() -> None:
    part = records(3, 8)
    assert (part.first, part.offset, len(part), part.timestamp) == (3, 8, 6, 1_008)
    assert part.value is part
    assert not part.processed
    assert repr(part) == f"<slice {TOPIC}[0] 3..8>"


def test_the_schema_hands_a_slice_through_undecoded() -> None:
    app = faust.App("slices-tests", broker="kafka://127.0.0.1:1", autodiscover=False)
    topic = sliced_topic(app, "sliced-by-name")
    part = records(0, 1)
    assert isinstance(topic.schema, SliceSchema)
    assert topic.schema.loads_value(app, part) is part
    assert topic.schema.loads_key(app, part) is None
    assert is_sliced("sliced-by-name")


def test_messages_of_a_slice_are_neither_deletions_nor_changes_of_owner() -> None:
    claim = dataclasses.replace(record(3), headers=((CLAIM_HEADER, b"1"),))
    headed = dataclasses.replace(record(4), headers=(("traceparent", b"00"),))
    part = RecordSlice(PartitionId(TOPIC, 0), [record(1), record(2, value=None), claim, headed])
    assert [message.offset for message in part.messages()] == [1, 4]
