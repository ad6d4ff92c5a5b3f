"""The table of a source partition, written to its changelog and recovered from it."""

import msgspec
import pytest

from fraudstream.core.history import NEVER
from fraudstream.core.messages import Position
from fraudstream.core.policy import Policy
from fraudstream.core.scoring import PartitionState, classify
from fraudstream.core.serving import ServingModel
from fraudstream.errors import InvalidMessage
from tables.card_history import changes, restore_entry
from tests.model_building import NOON, transaction


def played(state: PartitionState, offsets: range) -> list[tuple[bytes, bytes | None]]:
    """Score transactions of three cards under a budget; return the entries a checkpoint writes."""
    for offset in offsets:
        spent = transaction(offset / 50, card_id=f"card-{offset % 3}", amount_minor=1_000 + 37 * offset)
        classify(spent, Position(1, 0, offset), NOON, state, ServingModel(), Policy(budget=20))
    return changes(state, epoch=1)


def recovered(entries: list[tuple[bytes, bytes | None]], epoch: int = 1) -> PartitionState:
    state = PartitionState()
    for key, value in entries:
        restore_entry(state, key, value, epoch)
    return state


def test_a_recovered_partition_goes_on_as_if_nothing_had_happened() -> None:
    whole, first = PartitionState(), PartitionState()
    played(whole, range(400))

    again = recovered(played(first, range(250)))
    played(again, range(230, 400))

    assert again.cards == whole.cards
    assert again.means == whole.means
    assert again.review == whole.review


def test_only_what_was_touched_is_written() -> None:
    state = PartitionState()

    assert len(played(state, range(30))) == 5, "three cards, one currency, one review budget"
    assert len(played(state, range(30, 31))) == 3
    assert changes(state, epoch=1) == []


def test_offsets_of_another_epoch_do_not_count() -> None:
    entries = played(PartitionState(), range(30))

    state = recovered(entries, epoch=2)

    assert state.review is not None
    assert state.review.applied == -1
    assert {history.applied for history in state.cards.values()} == {-1}


def test_a_deleted_entry_is_forgotten() -> None:
    entries = played(PartitionState(), range(30))

    state = recovered([*entries, *((key, None) for key, _ in entries)])

    assert (state.cards, state.means, state.review) == ({}, {}, None)


@pytest.mark.parametrize("key", [b"ccard-1", b"mEUR", b"r"])
def test_something_else_is_no_entry(key: bytes) -> None:
    with pytest.raises(InvalidMessage, match="card-history"):
        restore_entry(PartitionState(), key, b"\xc0", 1)


def test_a_history_from_before_pace_was_counted_is_read_with_none() -> None:
    state = PartitionState()
    written = msgspec.msgpack.encode((1, [7, 3, 3.0, 0.0, -1e9, 0.1, 0.2]))

    restore_entry(state, b"cfirst", written, 1)

    history = state.cards["first"]
    assert (history.count, history.recent, history.seen_at) == (3, 0.0, NEVER)


def test_means_from_before_hours_were_counted_are_read_with_none() -> None:
    state = PartitionState()

    restore_entry(state, b"mEUR", msgspec.msgpack.encode((1, [7, 20.0, 3, 0.5])), 1)

    assert (state.means["EUR"].mean, sum(state.means["EUR"].hours)) == (20.0, 0)


def test_a_row_with_a_number_missing_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="card-history"):
        restore_entry(PartitionState(), b"mEUR", msgspec.msgpack.encode((1, [7, 20.0, 3])), 1)
