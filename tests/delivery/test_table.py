"""Tables: recovered in slices, kept over a rebalance only where memory provably equals the changelog."""

from typing import Any

import faust
import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from fraudstream.delivery.records import CLAIM_KEY
from fraudstream.delivery.slices import PartitionId, RecordSlice, SliceScheduler
from fraudstream.delivery.table import SliceTable

Entries = dict[bytes, bytes]


def restore(state: Entries, key: bytes, value: bytes | None) -> None:
    if value is None:
        state.pop(key, None)
    else:
        state[key] = value


class Acknowledging:
    """Producers whose broker takes everything, at the offset that is next."""

    def __init__(self, next_offset: int) -> None:
        self.next_offset = next_offset

    async def send(self, partition: int, topic: str, records: list[Any]) -> int | None:
        self.next_offset += len(records)
        return self.next_offset - 1 if records else None


@pytest.fixture
async def table() -> SliceTable[Entries]:
    app = faust.App(
        "table-tests", broker="kafka://127.0.0.1:1", autodiscover=False, ConsumerScheduler=SliceScheduler
    )
    made = SliceTable(
        app, "entries", partitions=2, new=lambda _: {}, restore=restore, view=lambda state: state
    )
    app.tables.add(made)
    return made


def changelog(table: SliceTable[Entries], *entries: tuple[bytes, bytes | None], partition: int = 0) -> Any:
    records = [
        ConsumerRecord(table.changelog_topic_name, partition, offset, 0, 0, key, value, None, 1, 1, ())
        for offset, (key, value) in enumerate(entries)
    ]
    part = RecordSlice(PartitionId(table.changelog_topic_name, partition), records)
    return type("Event", (), {"value": part})()


def test_the_newest_entry_of_each_key_is_restored_and_a_deleted_one_is_gone(
    table: SliceTable[Entries],
) -> None:
    table.apply_changelog_batch(
        [changelog(table, (b"a", b"1"), (b"b", b"1"), (b"a", b"2")), changelog(table, (b"b", None))]
    )
    assert table.of(0) == {b"a": b"2"}
    assert dict(table.items()) == {b"a": b"2"}
    assert (len(table), list(table), table[b"a"]) == (1, [b"a"], b"2")
    assert (list(table.keys()), list(table.values())) == ([b"a"], [b"2"])


def test_a_claim_is_no_entry(table: SliceTable[Entries]) -> None:
    table.apply_changelog_batch([changelog(table, (CLAIM_KEY, b""), (b"a", b"1"))])
    assert table.of(0) == {b"a": b"1"}


def test_partitions_do_not_share_state(table: SliceTable[Entries]) -> None:
    table.apply_changelog_batch([changelog(table, (b"a", b"1"), partition=1)])
    assert table.of(0) == {}
    assert table.of(1) == {b"a": b"1"}


async def written_up_to(table: SliceTable[Entries], offset: int) -> None:
    table.of(0)[b"a"] = b"1"
    await table.write(0, [(b"a", b"1")], Acknowledging(offset))  # type: ignore[arg-type]


async def test_memory_is_kept_where_only_our_own_claim_came_behind_our_last_write(
    table: SliceTable[Entries],
) -> None:
    await written_up_to(table, 41)
    table.take_over({0: 42}, clean=[0])
    assert table.of(0) == {b"a": b"1"}
    # Recovery has only the claim to read.
    assert table.app.tables.recovery.active_offsets[TP(table.changelog_topic_name, 0)] == 41


@pytest.mark.parametrize(
    ("claim", "clean", "why"),
    [
        (43, [0], "somebody else wrote in between"),
        (42, [], "work was judged that never became durable"),
    ],
)
async def test_memory_is_forgotten_where_it_may_differ_from_the_changelog(
    table: SliceTable[Entries], claim: int, clean: list[int], why: str
) -> None:
    await written_up_to(table, 41)
    table.take_over({0: claim}, clean=clean)
    assert table.states == {}, why


async def test_memory_of_a_partition_that_went_away_is_forgotten(table: SliceTable[Entries]) -> None:
    await written_up_to(table, 41)
    table.take_over({1: 5}, clean=[0])
    assert table.states == {}


async def test_memory_that_was_only_recovered_and_never_written_is_kept_from_claim_to_claim(
    table: SliceTable[Entries],
) -> None:
    table.take_over({0: 7}, clean=[])
    table.apply_changelog_batch([changelog(table, (b"a", b"1"))])
    await table.on_recovery_completed({TP(table.changelog_topic_name, 0)}, set())
    table.take_over({0: 8}, clean=[0])
    assert table.of(0) == {b"a": b"1"}


async def test_a_second_rebalance_without_a_write_in_between_keeps_memory_too(
    table: SliceTable[Entries],
) -> None:
    await written_up_to(table, 41)
    table.take_over({0: 42}, clean=[0])
    table.take_over({0: 43}, clean=[0])
    assert table.of(0) == {b"a": b"1"}
    table.take_over({0: 45}, clean=[0])
    assert table.states == {}
