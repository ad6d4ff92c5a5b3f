"""A day's alerts, held by a threshold that follows the scores."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.core.ftrl import probability
from fraudstream.core.messages import Decision, LabelValue
from fraudstream.core.policy import BEYOND_BUDGET, Policy
from fraudstream.core.prequential import OfflinePass
from fraudstream.core.review_budget import FARTHEST, ReviewBudget
from fraudstream.errors import InvalidMessage
from tests.model_building import DAY, handbook_transactions


def scores_of_days(
    days: int, a_day: int, shift: float = 0.0, seed: int = 1, wave: float = 0.8
) -> Iterator[tuple[float, float]]:
    """Yield times and scores: busy days, quiet nights; a few high scores among many low ones."""
    rng = random.Random(seed)
    for day in range(days):
        times = sorted(rng.random() for _ in range(a_day))
        for time in times:
            at = day + time - wave * math.sin(2 * math.pi * time) / (2 * math.pi)
            yield at * DAY, probability(rng.gauss(-6.0, 2.0) + (shift if day >= days / 2 else 0.0))


def alerts_by_day(budget: ReviewBudget, seen: Iterator[tuple[float, float]], wanted: float) -> Counter[int]:
    counts: Counter[int] = Counter()
    for offset, (at, score) in enumerate(seen):
        alerted = budget.is_exceeded_by(score)
        budget.fold(offset, at, alerted, score, wanted)
        counts[int(at // DAY)] += alerted
    return counts


@pytest.mark.parametrize("wanted", [5.0, 50.0, 400.0])
def test_every_day_brings_about_as_many_alerts_as_people_can_look_at(wanted: float) -> None:
    counts = alerts_by_day(ReviewBudget.starting_at(0.3), scores_of_days(20, 5_000), wanted)

    settled = [counts[day] for day in range(3, 20)]
    assert sum(settled) / len(settled) == pytest.approx(wanted, rel=0.02)
    assert all(abs(count - wanted) <= max(0.15 * wanted, 2) for count in settled)


def test_the_budget_holds_on_the_day_all_scores_move() -> None:
    moved = scores_of_days(20, 5_000, shift=2.0)

    counts = alerts_by_day(ReviewBudget.starting_at(0.3), moved, 100.0)

    assert counts[9] == pytest.approx(100, abs=15)
    assert counts[10] == pytest.approx(110, abs=15), "two log odds of the day's reach of twenty are 10 alerts"
    assert counts[11] == pytest.approx(100, abs=15)


def test_equal_scores_flood_nobody() -> None:
    same = ((at, 0.0067) for at, _ in scores_of_days(5, 5_000))

    counts = alerts_by_day(ReviewBudget.starting_at(0.3), same, 100.0)

    assert max(counts.values()) <= 125


def test_nothing_lowers_the_threshold_before_the_first_hour_is_counted() -> None:
    budget = ReviewBudget.starting_at(0.3)

    for offset in range(1_000):
        budget.fold(offset, offset * 3.59, False, 0.001, 10.0)

    assert probability(budget.threshold) == pytest.approx(0.3)


def test_alerts_of_rules_use_up_the_budget_of_scores() -> None:
    rng = random.Random(3)
    budget = ReviewBudget.starting_at(0.3)
    by_rule = by_score = 0
    for offset, (at, score) in enumerate(scores_of_days(12, 5_000)):
        ruled, stands_out = rng.random() < 0.01, budget.is_exceeded_by(score)
        budget.fold(offset, at, ruled or stands_out, score, 100.0)
        if at > 2 * DAY:
            by_rule += ruled
            by_score += stands_out and not ruled

    assert by_rule / 10 == pytest.approx(50, abs=6)
    assert (by_rule + by_score) / 10 == pytest.approx(100, rel=0.03)


@pytest.mark.parametrize("wrong_days", [+9_000.0, -9_000.0, +0.9, -0.9])
def test_one_wrong_event_time_changes_next_to_nothing(wrong_days: float) -> None:
    sane, misled = ReviewBudget.starting_at(0.3), ReviewBudget.starting_at(0.3)
    seen = list(scores_of_days(16, 3_000))
    wrong = list(seen)
    wrong[24_000] = (wrong[24_000][0] + wrong_days * DAY, wrong[24_000][1])

    usual = alerts_by_day(sane, iter(seen), 60.0)
    counts = alerts_by_day(misled, iter(wrong), 60.0)

    assert [day for day in range(16) if abs(counts[day] - usual[day]) > 9] == []


def test_a_first_event_time_in_the_far_future_is_forgotten() -> None:
    seen = list(scores_of_days(8, 3_000))
    seen[0] = (seen[0][0] + 9_000 * DAY, seen[0][1])

    counts = alerts_by_day(ReviewBudget.starting_at(0.3), iter(seen), 60.0)

    assert counts[7] == pytest.approx(60, abs=9)


def test_a_restored_budget_goes_on_as_if_nothing_had_happened() -> None:
    seen = list(scores_of_days(6, 2_000))
    whole, first = ReviewBudget.starting_at(0.3), ReviewBudget.starting_at(0.3)
    alerts_by_day(whole, iter(seen), 30.0)

    alerts_by_day(first, iter(seen[:7_777]), 30.0)
    restored = ReviewBudget.from_row(msgspec.msgpack.decode(msgspec.msgpack.encode(first.to_row())))
    for offset, (at, score) in enumerate(seen[7_777:], 7_777):
        restored.fold(offset, at, restored.is_exceeded_by(score), score, 30.0)

    assert restored == whole


@given(
    st.lists(
        st.tuples(st.floats(-1e12, 1e12), st.floats(0, 1), st.booleans(), st.floats(1e-3, 1e6)), max_size=200
    )
)
def test_the_threshold_stays_where_scores_are_whatever_comes(
    seen: list[tuple[float, float, bool, float]],
) -> None:
    budget = ReviewBudget.starting_at(0.5)
    for offset, (at, score, alerted, wanted) in enumerate(seen):
        budget.fold(offset, at, alerted, score, wanted)

    assert abs(budget.threshold) <= FARTHEST
    assert 0.0 <= budget.precision <= 1.0
    assert math.isfinite(budget.per_day)
    assert budget.per_day >= 0.0


def test_a_row_of_something_else_is_no_budget() -> None:
    with pytest.raises(InvalidMessage, match="ReviewBudget"):
        ReviewBudget.from_row([1, 2, 3])


def alerts_of_handbook(wanted: float, partitions: int) -> tuple[list[int], float]:
    """Return the alerts of each whole day of the test half, and the precision there."""
    run, policy = OfflinePass(partitions=partitions), Policy(budget=wanted)
    counts: Counter[datetime] = Counter()
    frauds = 0
    from_day = datetime.fromisoformat("2018-05-17T00:00:00+00:00")
    for transaction in handbook_transactions():
        made = run.classify(transaction, policy, int(transaction.card_id or 0) % partitions)
        if (
            made.decision is not Decision.APPROVE
            and BEYOND_BUDGET not in made.flags
            and transaction.event_time >= from_day
        ):
            counts[transaction.event_time.replace(hour=0, minute=0, second=0)] += 1
            frauds += transaction.label is LabelValue.FRAUD
    days = [counts[from_day + timedelta(days=day)] for day in range(45)]
    return days, frauds / sum(days)


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("wanted", "partitions", "within", "precision"),
    [(100.0, 1, 0.15, 0.66), (50.0, 1, 0.35, 0.98), (100.0, 4, 0.15, 0.65)],
)
def test_the_handbooks_days_hold_the_budget(
    wanted: float, partitions: int, within: float, precision: float
) -> None:
    days, precise = alerts_of_handbook(wanted, partitions)

    assert all(abs(count - wanted) <= within * wanted for count in days), days
    assert sum(days) / len(days) == pytest.approx(wanted, rel=0.01)
    assert precise >= precision
