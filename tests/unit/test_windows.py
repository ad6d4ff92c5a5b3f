"""Windows against brute force: replayed, restarted, late, misdated and across midnight."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.core.counted import (
    DIMENSIONS,
    CountedClassification,
    CountedTransaction,
    decode_counted,
)
from fraudstream.core.messages import Classification, Decision, Position, Transaction
from fraudstream.core.window import MAX_SUM_MINOR, MAX_VALUE_CHARS
from fraudstream.core.window_cells import WindowCells
from fraudstream.core.windows import MAX_AHEAD_WINDOWS, WindowCounts, window_start
from fraudstream.errors import InvalidMessage, InvalidSettings

NOON = int(datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp())
MIDNIGHT = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
LATER_MS = (NOON + 10 * 86_400) * 1000


def classification(
    offset: int, second: float = NOON, *, decision: str = "approve", epoch: int = 1, **transaction: object
) -> CountedClassification:
    return CountedClassification(
        source=Position(epoch, 0, offset),
        event_time=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second),
        decision=decision,
        transaction=msgspec.convert(transaction, CountedTransaction),
    )


def counted_in(counts: WindowCounts) -> dict[int, int]:
    """Transactions counted in each window."""
    return {
        cells.window_start: sum(
            count
            for (population, dimension, _), count in cells.cells.items()
            if (population, dimension) == ("all", "decision")
        )
        for cells in counts.view().values()
    }


def cells_of(counts: WindowCounts, start: int = NOON) -> WindowCells:
    return next(cells for cells in counts.view().values() if cells.window_start == start)


def test_a_window_includes_its_start_and_excludes_its_end() -> None:
    counts = WindowCounts(0)
    for offset, second in enumerate((NOON - 0.001, NOON, NOON + 299.999999, NOON + 300)):
        counts.fold(classification(offset, second), LATER_MS)
    assert counted_in(counts) == {NOON - 300: 1, NOON: 2, NOON + 300: 1}


def test_midnight_splits_nothing_but_the_windows_it_borders() -> None:
    # 23:54  23:59:59.999999 | 00:00:00  00:04:59.9
    counts = WindowCounts(0, grace_seconds=600)
    for offset, second in enumerate((MIDNIGHT + 299.9, MIDNIGHT, MIDNIGHT - 0.000001, MIDNIGHT - 360)):
        assert counts.fold(classification(offset, second), LATER_MS)
    assert counted_in(counts) == {MIDNIGHT - 600: 1, MIDNIGHT - 300: 1, MIDNIGHT: 2}


def test_every_dimension_is_counted_for_all_and_only_review_and_above_for_fraud() -> None:
    counts = WindowCounts(0)
    said = {name: f"a {name}" for name in DIMENSIONS if name != "decision"}
    counts.fold(classification(0, decision="approve", amount_minor=500, currency="GBP", **said), LATER_MS)
    counts.fold(classification(1, decision="review", amount_minor=70, currency="GBP", **said), LATER_MS)
    counts.fold(classification(2, decision="decline", amount_minor=9, currency="USD", **said), LATER_MS)

    found = cells_of(counts)

    expected = {("all", name, value): 3 for name, value in said.items()}
    expected |= {("fraud", name, value): 2 for name, value in said.items()}
    expected |= {("all", "decision", decision): 1 for decision in ("approve", "review", "decline")}
    expected |= {("fraud", "decision", decision): 1 for decision in ("review", "decline")}
    assert found.cells == expected
    assert found.amounts == {
        ("all", "GBP"): (2, 570),
        ("all", "USD"): (1, 9),
        ("fraud", "GBP"): (1, 70),
        ("fraud", "USD"): (1, 9),
    }
    assert (found.epoch, found.source_partition, found.applied_offset) == (1, 0, 2)


def test_a_transaction_that_states_nothing_counts_as_unknown_and_adds_no_amount() -> None:
    counts = WindowCounts(0)
    counts.fold(classification(0, bank=""), LATER_MS)
    found = cells_of(counts)
    assert found.cells == {
        ("all", name, "approve" if name == "decision" else "unknown"): 1 for name in DIMENSIONS
    }
    assert found.amounts == {}


def test_an_amount_without_currency_is_summed_apart() -> None:
    counts = WindowCounts(0)
    counts.fold(classification(0, amount_minor=5), LATER_MS)
    counts.fold(classification(1, amount_minor=7, currency="EUR"), LATER_MS)
    assert cells_of(counts).amounts == {("all", "unknown"): (1, 5), ("all", "EUR"): (1, 7)}


def test_invented_values_share_one_cell_once_the_dimension_is_full() -> None:
    counts = WindowCounts(0, values_per_dimension=3)
    for offset in range(10):
        counts.fold(classification(offset, merchant_group=f"shop {offset}", decision="review"), LATER_MS)
    counts.fold(classification(10, merchant_group="shop 1"), LATER_MS)
    groups = {
        value: count for (_, name, value), count in cells_of(counts).cells.items() if name == "merchant_group"
    }
    expected = {"shop 0": 1, "shop 1": 2, "shop 2": 1, "other": 7}
    cells = cells_of(counts).cells
    assert {v: n for (p, d, v), n in cells.items() if (p, d) == ("all", "merchant_group")} == expected
    assert groups == {"shop 0": 1, "shop 1": 1, "shop 2": 1, "other": 7}


def test_a_value_too_long_to_read_or_with_a_nul_counts_as_other() -> None:
    counts = WindowCounts(0)
    counts.fold(classification(0, bank="b" * MAX_VALUE_CHARS), LATER_MS)
    counts.fold(classification(1, bank="b" * (MAX_VALUE_CHARS + 1)), LATER_MS)
    counts.fold(classification(2, bank="b\0b"), LATER_MS)
    banks = {value: n for (_, name, value), n in cells_of(counts).cells.items() if name == "bank"}
    assert banks == {"b" * MAX_VALUE_CHARS: 1, "other": 2}


def test_amounts_of_invented_currencies_are_numbered_but_never_added_up() -> None:
    counts = WindowCounts(0, values_per_dimension=2)
    for offset in range(5):
        counts.fold(classification(offset, amount_minor=10, currency=f"X{offset}"), LATER_MS)
    assert cells_of(counts).amounts == {
        ("all", "X0"): (1, 10),
        ("all", "X1"): (1, 10),
        ("all", "other"): (3, 0),
    }


def test_a_sum_stops_where_64_bits_end() -> None:
    counts = WindowCounts(0)
    for offset in range(2000):
        counts.fold(classification(offset, amount_minor=2**53, currency="GBP"), LATER_MS)
    assert cells_of(counts).amounts == {("all", "GBP"): (2000, MAX_SUM_MINOR)}
    restored = restart(counts.take_changes())
    assert cells_of(restored).amounts == {("all", "GBP"): (2000, MAX_SUM_MINOR)}


def test_a_record_within_the_grace_period_counts_and_one_after_it_is_late() -> None:
    # window [12:00, 12:05), grace 60 s: closed when the watermark reaches 12:06:00
    counts = WindowCounts(0, grace_seconds=60)
    counts.fold(classification(0, NOON + 359), LATER_MS)
    assert counts.fold(classification(1, NOON + 1), LATER_MS)
    counts.fold(classification(2, NOON + 360), LATER_MS)
    assert not counts.fold(classification(3, NOON + 2), LATER_MS)
    assert counted_in(counts) == {NOON: 1, NOON + 300: 2}
    assert counts.late_records == 1


def test_whoever_claims_to_come_from_the_future_makes_nobody_late() -> None:
    counts = WindowCounts(0, grace_seconds=60)
    now = NOON + 10
    for offset, ahead in enumerate((61, 3600, 14 * 3600, 20 * 365 * 86_400)):
        assert counts.fold(classification(offset, now + ahead), now * 1000)
    assert counts.fold(classification(9, NOON), now * 1000)
    assert counts.late_records == 0


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3600), st.integers(-400, 90_000)), min_size=1, max_size=60),
)
def test_a_record_that_arrives_while_its_window_lasts_is_never_late(steps: list[tuple[int, int]]) -> None:
    counts = WindowCounts(0)
    now = NOON
    for offset, (passed, claimed_ahead) in enumerate(steps):
        now += passed
        counts.fold(classification(2 * offset, now + claimed_ahead), now * 1000)
        on_time = classification(2 * offset + 1, window_start(now, 300))
        assert counts.fold(on_time, now * 1000)


def test_invented_dates_cannot_open_windows_without_end() -> None:
    counts = WindowCounts(0)
    counts.fold(classification(0), NOON * 1000)
    outcomes = Counter(
        counts.fold(classification(1 + i, NOON + 86_400 + 300 * i), NOON * 1000)
        for i in range(MAX_AHEAD_WINDOWS + 5)
    )
    assert outcomes == {True: MAX_AHEAD_WINDOWS, False: 5}
    assert counts.misdated_records == 5
    assert counts.open_windows == MAX_AHEAD_WINDOWS + 1
    assert counts.fold(classification(9_999, NOON + 300), (NOON + 300) * 1000)


def test_windows_ahead_make_room_when_time_reaches_them() -> None:
    counts = WindowCounts(0, grace_seconds=0)
    for i in range(MAX_AHEAD_WINDOWS):
        counts.fold(classification(i, NOON + 86_400 + 300 * i), NOON * 1000)
    there = NOON + 86_400 + 300 * 10
    counts.fold(classification(5_000, there), there * 1000)
    far = [counts.fold(classification(6_000 + i, NOON + 2**31 + 300 * i), there * 1000) for i in range(12)]
    assert far == [True] * 11 + [False]
    assert counts.misdated_records == 1


def test_a_new_epoch_counts_anew_and_closes_the_windows_of_the_old_one() -> None:
    counts = WindowCounts(0)
    counts.fold(classification(70, epoch=1), LATER_MS)
    assert not counts.flush_is_due
    assert counts.fold(classification(0, epoch=2), LATER_MS)
    assert counts.flush_is_due
    assert not counts.fold(classification(71, epoch=1), LATER_MS)
    assert counts.late_records == 0, "seen before"
    assert [(cells.epoch, cells.applied_offset) for cells in counts.unflushed()] == [(1, 70), (2, 0)]
    assert counts.applied == (2, 0)


def restart(entries: list[tuple[bytes, bytes | None]], **options: int) -> WindowCounts:
    counts = WindowCounts(0, **options)
    for key, value in entries:
        counts.restore(key, value)
    return counts


def test_nothing_is_written_when_nothing_changed() -> None:
    counts = WindowCounts(0)
    assert counts.take_changes() == []
    counts.fold(classification(0), LATER_MS)
    assert [key for key, _ in counts.take_changes()] == [b"0/1/%d" % NOON, b"0"]
    counts.fold(classification(0), LATER_MS)
    assert counts.take_changes() == []


def test_windows_are_written_before_the_row_that_says_they_are_done_with() -> None:
    counts = WindowCounts(0, grace_seconds=0)
    counts.fold(classification(0, NOON), LATER_MS)
    log = counts.take_changes()
    counts.fold(classification(1, NOON + 300), LATER_MS)
    counts.acknowledge(counts.unflushed())
    log += counts.take_changes()
    assert log[-1][0] == b"0", "the row that closes the window goes out first"
    assert counts.open_windows == 2
    log += counts.take_changes()
    assert log[-1] == (b"0/1/%d" % NOON, None)
    assert counts.open_windows == 1
    assert restart(log, grace_seconds=0).view() == counts.view()


def test_a_window_is_kept_until_its_last_flush_is_acknowledged() -> None:
    counts = WindowCounts(0, grace_seconds=0)
    counts.fold(classification(0, NOON), LATER_MS)
    early = counts.unflushed()
    counts.fold(classification(1, NOON + 1), LATER_MS)
    counts.fold(classification(2, NOON + 300), LATER_MS)
    counts.take_changes()
    counts.acknowledge(early)
    counts.take_changes()
    assert counts.open_windows == 2
    counts.acknowledge(counts.unflushed())
    counts.take_changes()
    assert counts.open_windows == 1


def test_an_acknowledgement_that_comes_after_a_window_was_let_go_changes_nothing() -> None:
    counts = WindowCounts(0, grace_seconds=0)
    counts.fold(classification(0, NOON), LATER_MS)
    counts.fold(classification(1, NOON + 300), LATER_MS)
    counts.take_changes()
    twice = counts.unflushed()
    counts.acknowledge(twice)
    counts.take_changes()
    before = counts.view()
    counts.acknowledge(twice)
    assert counts.view() == before
    assert counts.unflushed() == []


def test_a_flush_is_due_once_for_each_window_that_closes() -> None:
    counts = WindowCounts(0, grace_seconds=0)
    counts.fold(classification(0, NOON), LATER_MS)
    assert not counts.flush_is_due
    counts.fold(classification(1, NOON + 300), LATER_MS)
    assert counts.flush_is_due
    assert [cells.window_start for cells in counts.unflushed()] == [NOON, NOON + 300]
    assert not counts.flush_is_due, "its cells are on their way"
    assert [cells.window_start for cells in counts.unflushed()] == [NOON, NOON + 300], "but not acknowledged"


def test_a_longer_grace_does_not_reopen_windows_that_were_let_go() -> None:
    counts = WindowCounts(0, grace_seconds=0)
    counts.fold(classification(0, NOON), LATER_MS)
    counts.fold(classification(1, NOON + 300), LATER_MS)
    patient = restart(counts.take_changes(), grace_seconds=3600)
    assert not patient.fold(classification(2, NOON), LATER_MS)
    assert patient.late_records == 1


def test_windows_of_another_size_are_refused_by_name() -> None:
    counts = WindowCounts(3)
    counts.fold(classification(0), LATER_MS)
    [*_, (key, value)] = counts.take_changes()
    with pytest.raises(InvalidSettings, match=r"partition 3 are 300 seconds long, settings say 600"):
        WindowCounts(3, size_seconds=600).restore(key, value)


@pytest.mark.parametrize("options", [{"size_seconds": 0}, {"grace_seconds": -1}, {"values_per_dimension": 0}])
def test_impossible_windows_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InvalidSettings):
        WindowCounts(0, **options)


@pytest.mark.parametrize(
    ("key", "value"), [(b"x", b""), (b"0/1", b""), (b"0/a/b", b""), (b"0/1/0", b"?"), (b"0", b"?")]
)
def test_a_foreign_changelog_entry_is_refused(key: bytes, value: bytes) -> None:
    with pytest.raises(InvalidMessage):
        WindowCounts(0).restore(key, value)


def test_a_deleted_partition_row_changes_nothing() -> None:
    counts = WindowCounts(0)
    counts.fold(classification(0), LATER_MS)
    counts.restore(b"0", None)
    assert counts.applied == (1, 0)


def test_counting_reads_what_scoring_writes() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    written = Classification(
        source=Position(1, 2, 3),
        transaction=Transaction(
            transaction_id="t", event_time=at, amount_minor=5, currency="GBP", bank="Monzo"
        ),
        event_time=at,
        keys=(1, 2),
        features=None,
        score=0.5,
        decision=Decision.REVIEW,
        reasons=(),
        model_version=1,
        scored_at=at,
    )
    read = decode_counted(msgspec.json.encode(written))
    assert (read.source, read.event_time, read.decision) == (Position(1, 2, 3), at, "review")
    assert read.transaction == CountedTransaction(amount_minor=5, currency="GBP", bank="Monzo")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"{}",
        b"[" * 5000,
        b'{"source":{"epoch":1,"partition":0,"offset":7},"event_time":"2026-03-01T12:00:00","decision":"review",'
        b'"transaction":{}}',
    ],
)
def test_what_is_no_classification_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_counted(value)


# Oracle: what the windows must hold, from the log alone.

Record = tuple[int, int, str, str]  # event second, record second, decision, merchant group


def brute_force(log: list[Record], *, size: int, grace: int) -> tuple[Counter[tuple[int, str, str]], int]:
    """Count (window start, decision, merchant group) and late records, in the plainest way there is."""
    found: Counter[tuple[int, str, str]] = Counter()
    late = 0
    for index, (second, _, decision, group) in enumerate(log):
        believed = [event for event, arrived, _, _ in log[: index + 1] if event <= arrived + grace]
        start = second // size * size
        if believed and start + size + grace <= max(believed):
            late += 1
        else:
            found[start, decision, group] += 1
    return found, late


def as_counted(offset: int, record: Record) -> tuple[CountedClassification, int]:
    second, arrived, decision, group = record
    return classification(offset, second, decision=decision, merchant_group=group), arrived * 1000


logs = st.lists(
    st.tuples(
        st.integers(MIDNIGHT - 900, MIDNIGHT + 1500),
        st.integers(MIDNIGHT - 300, MIDNIGHT + 1800),
        st.sampled_from(["approve", "review"]),
        st.sampled_from(["food", "fuel"]),
    ),
    max_size=40,
)


def groups_in(cells: dict[tuple[str, str, str], int]) -> dict[tuple[str, str], int]:
    return {(p, value): n for (p, name, value), n in cells.items() if name == "merchant_group"}


def expected_groups(found: Counter[tuple[int, str, str]]) -> dict[int, dict[tuple[str, str], int]]:
    windows: dict[int, Counter[tuple[str, str]]] = {}
    for (start, decision, group), count in found.items():
        window = windows.setdefault(start, Counter())
        window["all", group] += count
        if decision == "review":
            window["fraud", group] += count
    return {start: dict(window) for start, window in windows.items()}


class Store:
    """A store of counts as its port promises it: cumulative, never backwards."""

    def __init__(self) -> None:
        self.windows: dict[int, WindowCells] = {}

    def flush(self, windows: list[WindowCells]) -> None:
        for cells in windows:
            known = self.windows.get(cells.window_start)
            if known is None or cells.applied_offset >= known.applied_offset:
                self.windows[cells.window_start] = cells


class Crash(msgspec.Struct):
    """After how many records of a slice's changelog entries the process died."""

    kept: int


steps = st.lists(
    st.one_of(
        st.integers(1, 9),  # a slice of so many records, checkpointed and committed
        st.builds(Crash, st.integers(0, 12)),  # a slice that died while its entries were written
        st.sampled_from(["flush", "flush, not acknowledged", "rewind"]),
    ),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(logs, steps)
def test_windows_are_exact_whatever_is_killed_replayed_or_flushed_when(
    log: list[Record], script: list[object]
) -> None:
    changelog: list[tuple[bytes, bytes | None]] = []
    store = Store()
    counts = WindowCounts(0)
    committed = position = 0

    def fold(length: int) -> None:
        nonlocal position
        for offset in range(position, min(position + length, len(log))):
            counts.fold(*as_counted(offset, log[offset]))
        position = min(position + length, len(log))

    for step in [*script, len(log)]:
        if isinstance(step, int):
            fold(step)
            changelog += counts.take_changes()
            committed = position
            if counts.flush_is_due:
                store.flush(due := counts.unflushed())
                counts.acknowledge(due)
        elif isinstance(step, Crash):
            fold(5)
            changelog += counts.take_changes()[: step.kept]
            counts, position = restart(changelog), committed
        elif step == "rewind":
            position = committed = committed // 2
        else:
            store.flush(due := counts.unflushed())
            if step == "flush":
                counts.acknowledge(due)
    fold(len(log))
    store.flush(counts.unflushed())

    found, late = brute_force(log, size=300, grace=60)
    assert {start: groups_in(cells.cells) for start, cells in store.windows.items()} == expected_groups(found)
    assert counts.late_records == late


@settings(deadline=None)
@given(st.lists(st.integers(NOON, NOON + 899), max_size=40), st.randoms(use_true_random=False))
def test_counts_are_the_same_in_any_order_of_arrival_within_the_grace_period(
    seconds: list[int], random: object
) -> None:
    shuffled = list(seconds)
    random.shuffle(shuffled)
    counted = []
    for order in (seconds, shuffled):
        counts = WindowCounts(0, grace_seconds=900)
        for offset, second in enumerate(order):
            counts.fold(classification(offset, second, bank=str(second % 3), amount_minor=second), LATER_MS)
        counted.append(
            {
                start: (cells.cells, cells.amounts)
                for start, cells in ((c.window_start, c) for c in counts.view().values())
            }
        )
    assert counted[0] == counted[1]
