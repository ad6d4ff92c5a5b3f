"""Curves and bins, on cases worked out by hand and against brute force."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.core.curves import precision_recall, reliability, score_histogram, wilson, within_budgets

cases = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1000).map(lambda n: n / 1000), st.booleans()),
    min_size=1,
    max_size=60,
)


@given(cases)
def test_bins_hold_every_transaction_once(found: list[tuple[int, float, bool]]):
    _, scores, frauds = zip(*found, strict=True)

    bins = reliability(scores, frauds)

    assert sum(one.transactions for one in bins) == len(found)
    assert sum(one.frauds for one in bins) == sum(frauds)
    assert all(one.score_from <= one.predicted <= one.score_to for one in bins)
    assert all(one.observed_low <= one.observed <= one.observed_high for one in bins)


@pytest.mark.parametrize(("hits", "count", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)])
def test_intervals_are_wilson_s(hits: int, count: int, low: float, high: float):
    assert wilson(hits, count) == pytest.approx((low, high), abs=1e-4)


@given(cases)
def test_every_point_of_the_curve_is_a_threshold(found: list[tuple[int, float, bool]]):
    _, scores, frauds = (np.array(column) for column in zip(*found, strict=True))

    points = precision_recall(scores, frauds)

    assert bool(points) == bool(frauds.any())
    for point in points:
        shown = scores >= point.score
        assert point.precision == pytest.approx(frauds[shown].mean())
        assert point.recall == pytest.approx(frauds[shown].sum() / frauds.sum())


def test_a_long_curve_is_thinned_to_its_steps_of_recall():
    scores = np.linspace(0.0, 1.0, 5_000)
    points = precision_recall(scores, np.arange(5_000) % 3 == 0, points=50)

    assert 45 <= len(points) <= 51
    assert points[-1].recall == 1.0


def test_scores_are_counted_by_their_log_odds():
    #   log odds      0 in [0, .5)   2.2 in [2, 2.5)   beyond either end
    bins = score_histogram([0.5, 0.9, 0.0, 1.0], [False, True, False, True])

    held = {one.logit_from: (one.genuine, one.fraud) for one in bins if one.genuine or one.fraud}
    assert held == {0.0: (1, 0), 2.0: (0, 1), -10.0: (1, 0), 9.5: (0, 1)}
    assert math.log(0.9 / 0.1) == pytest.approx(2.197, abs=1e-3)


@given(cases, st.integers(1, 8))
def test_a_budget_takes_the_highest_scores_of_each_day(found: list[tuple[int, float, bool]], budget: int):
    days, scores, frauds = (np.array(column) for column in zip(*found, strict=True))

    (point,) = within_budgets(days, scores, frauds, [budget])

    alerts = hits = 0
    for day in set(days.tolist()):
        ranked = sorted(range(len(days)), key=lambda n: (-scores[n], n))
        top = [n for n in ranked if days[n] == day][:budget]
        alerts += len(top)
        hits += sum(bool(frauds[n]) for n in top)
    assert point.precision == pytest.approx(hits / alerts)
    assert point.recall == (pytest.approx(hits / frauds.sum()) if frauds.any() else None)
