"""The consumer's bookkeeping: a slice may be committed when it was processed, and not one offset before."""

import asyncio
import time

import faust
import pytest
from faust.tables.manager import TableManager
from faust.types import TP

from fraudstream.delivery.consumer import QuickTables
from tests.delivery.faust_consumer import (
    PARTITION,
    Message,
    committable,
    consumer,
    message_of,
    records,
    thread_of,
)

STOCK = TP("read-as-stock", 0)


async def test_a_processed_slice_is_committed_up_to_its_last_offset() -> None:
    made = consumer()
    made._committed_offset[PARTITION] = 0
    part = records(0, 9)
    part.processed = True
    assert made.ack(message_of(part))
    assert committable(made) == 10


async def test_an_unprocessed_slice_is_acknowledged_to_faust_and_never_committed() -> None:
    made = consumer()
    made._committed_offset[PARTITION] = 0
    message = message_of(records(0, 9))
    made.unacked.add(message)
    assert not made.ack(message)
    assert message.acked
    assert message not in made.unacked  # a rebalance that waits for it goes on
    assert committable(made) is None


async def test_a_slice_behind_one_that_was_given_up_is_not_committed() -> None:
    made = consumer()
    made._committed_offset[PARTITION] = 1  # Faust reads 0 as nothing committed
    given_up, done = records(1, 9), records(10, 19)
    made.ack(message_of(given_up))
    done.processed = True
    made.ack(message_of(done))
    assert committable(made) is None


async def test_slices_acknowledged_out_of_order_are_committed_once_the_first_one_is() -> None:
    made = consumer()
    made._committed_offset[PARTITION] = 1
    first, second = records(1, 9), records(10, 19)
    first.processed = second.processed = True
    made.ack(message_of(second))
    assert committable(made) is None
    made.ack(message_of(first))
    assert committable(made) == 20


async def test_the_single_record_before_a_slice_is_waited_for() -> None:
    made = consumer()
    made._committed_offset[PARTITION] = 1
    first, single, third = records(1, 9), records(10, 10), records(11, 19)
    first.processed = single.processed = third.processed = True
    made.ack(message_of(first))
    made.ack(message_of(third))
    assert committable(made) == 10
    made._committed_offset[PARTITION] = 10
    made.ack(message_of(single))
    assert committable(made) == 20


async def test_what_was_committed_is_not_remembered() -> None:
    made = consumer()
    for number in range(100):
        part = records(10 * number, 10 * number + 9)
        part.processed = True
        made.ack(message_of(part))
        made._committed_offset[PARTITION] = committable(made)
    assert made._committed_offset[PARTITION] == 1000
    assert not made._acked[PARTITION]
    assert not made._acked_index[PARTITION]
    assert not made._done[PARTITION]


async def test_a_hole_before_a_slice_is_counted_with_the_slice_and_not_at_its_delivery() -> None:
    made = consumer()
    made._committed_offset[PARTITION] = 1
    part = records(5, 9)  # offsets 1 to 4 are markers of transactions: nobody will ever deliver them
    await made._add_gap(PARTITION, 1, 9)
    assert committable(made) is None
    part.processed = True
    made.ack(message_of(part))
    assert committable(made) == 10


async def test_a_record_of_another_topic_is_acknowledged_as_stock_does() -> None:
    made = consumer()
    made._committed_offset[STOCK] = 0
    assert made.ack(Message("anything", tp=STOCK, offset=0))
    assert made._new_offset(STOCK) == 1


async def test_a_slice_is_acknowledged_once() -> None:
    made = consumer()
    made._committed_offset[PARTITION] = 0
    part = records(0, 9)
    part.processed = True
    message = message_of(part)
    assert made.ack(message)
    assert not made.ack(message)


async def test_holding_one_partition_leaves_the_others_fetched() -> None:
    made = consumer()
    other = TP(PARTITION.topic, 1)
    made._set_active_tps({PARTITION, other})
    made.app.in_recovery = False
    made.on_buffer_full(PARTITION)  # Faust's own back-pressure stops nothing
    assert made._get_active_partitions() == {PARTITION, other}
    made.hold(PARTITION)
    assert made._get_active_partitions() == {other}
    made.release(PARTITION)
    assert made._get_active_partitions() == {PARTITION, other}


async def test_faust_s_own_back_pressure_works_for_other_topics() -> None:
    made = consumer()
    made._set_active_tps({PARTITION, STOCK})
    made.app.in_recovery = False
    made.on_buffer_full(STOCK)
    assert made._get_active_partitions() == {PARTITION}


async def test_a_consumer_whose_partitions_are_all_held_wakes_up_when_one_has_room() -> None:
    made = consumer()
    made._set_active_tps({PARTITION})
    made.app.in_recovery = False
    made.hold(PARTITION)
    started = time.monotonic()
    sleeping = asyncio.ensure_future(made.sleep(1))
    await asyncio.sleep(0.01)
    made.release(PARTITION)
    await sleeping
    assert time.monotonic() - started < 0.9


@pytest.mark.parametrize(("asked", "slept"), [(1.0, 0.02), (0.5, 0.5), (2.0, 2.0)])
async def test_the_tables_cut_the_fixed_second_and_no_other_sleep(
    monkeypatch: pytest.MonkeyPatch, asked: float, slept: float
) -> None:
    taken: list[float] = []

    async def sleep(_: object, n: float, **__: object) -> None:
        taken.append(n)

    monkeypatch.setattr(TableManager, "sleep", sleep)
    app = faust.App("quick-tables-tests", broker="kafka://127.0.0.1:1", autodiscover=False)
    await QuickTables(app).sleep(asked)
    assert taken == [slept]


async def test_partitions_without_a_commit_are_sought_by_the_thread_that_unpacks_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Sought from here, a fetch that the thread is just unpacking may vanish under its hands.
    made, sought = consumer(), []

    async def committed() -> dict[TP, int]:
        return {PARTITION: 0}

    async def earliest(*tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 3)

    async def seek_wait(partitions: dict[TP, int]) -> None:
        sought.append(partitions)

    thread = thread_of(made)
    monkeypatch.setattr(thread, "seek_to_committed", committed)
    monkeypatch.setattr(thread, "assignment", lambda: {PARTITION})
    monkeypatch.setattr(thread, "earliest_offsets", earliest)
    monkeypatch.setattr(thread, "seek_wait", seek_wait)
    monkeypatch.setattr(thread, "seek", lambda *_: pytest.fail("in the wrong thread"))
    await made.seek_to_committed()
    assert sought == [{PARTITION: 3}]
