"""Two models compared by days: differences, intervals, and what the guard asks."""

from itertools import count

import pytest

from fraudstream.core.comparison import Condition, DayPair, Guard, compare, interval, judge

GUARD = Guard(days=5, margin=0.01)


def days(
    number: int = 5, *, serving: float = 0.5, challenger: float = 0.9, genuine: float = 0.02
) -> dict[int, DayPair]:
    """Days of 100 genuine transactions and about 10 frauds, scored as told; days differ a little."""
    found = {}
    for day in range(number):
        pair = found[day] = DayPair()
        for _ in range(10 + day % 2):
            pair.note(serving, challenger, fraud=True)
        for at in range(100):
            pair.note(genuine + at / 10_000, genuine + at / 10_000 + day / 100_000, fraud=False)
    return found


def conditions(found: dict[int, DayPair], refusal: str | None = None) -> dict[str, Condition]:
    return {one.name: one for one in judge(found, GUARD, 10, refusal).conditions}


def test_a_challenger_that_finds_frauds_better_has_earned_it() -> None:
    verdict = judge(days(), GUARD, 10)
    assert verdict.better, verdict


def test_an_equal_one_has_not() -> None:
    found = conditions(days(challenger=0.5))
    assert not found["log loss"].holds
    assert all(one.holds for name, one in found.items() if name != "log loss")


def test_a_difference_below_the_margin_is_not_enough() -> None:
    assert not conditions(days(challenger=0.502))["log loss"].holds


def test_a_day_too_few_is_not_enough() -> None:
    assert not judge(days(4), GUARD, 10).better
    assert not conditions(days(4))["days"].holds


def test_one_lucky_day_is_not_enough() -> None:
    found = days(5, challenger=0.5)
    found[4] = days(5, challenger=0.99)[4]
    differences = compare(found, 10).log_loss
    assert differences is not None
    assert differences.difference < -GUARD.margin * differences.serving
    assert not conditions(found)["log loss"].holds, "beyond the margin, but within chance"


def test_a_challenger_that_predicts_far_too_many_frauds_is_not_calibrated() -> None:
    found = days()
    for pair in found.values():
        for _ in range(40):
            pair.note(0.02, 0.4, fraud=False)
    assert not conditions(found)["calibrated"].holds


def test_a_challenger_that_ranks_worse_is_refused_whatever_its_loss() -> None:
    numbers = count()
    found = days()
    for pair in found.values():
        for _ in range(4):
            pair.note(0.02, 0.95 + next(numbers) / 10_000, fraud=False)
    assert not conditions(found)["average precision"].holds
    assert not conditions(found)["precision at budget"].holds


def test_what_cannot_be_served_has_not_earned_it() -> None:
    verdict = judge(days(), GUARD, 10, "a tree has no weights")
    assert not verdict.better
    assert verdict.conditions[0].found == "a tree has no weights"


def test_only_the_newest_days_count() -> None:
    found = days(20, challenger=0.9)
    for day in range(15):
        found[day] = days(20, challenger=0.1)[day]
    assert judge(found, GUARD, 10).better


def test_the_interval_is_students() -> None:
    #   mean 2, standard deviation 1, three days: t(2, 0.995) = 9.925
    assert interval([1.0, 2.0, 3.0]) == pytest.approx(9.925 / 3**0.5)
    assert interval([1.0]) is None


def test_nothing_compared_is_nothing_told() -> None:
    found = compare({}, 10)
    assert (found.days, found.labels, found.log_loss) == ((), 0, None)
    assert not judge({}, GUARD, 10).better
