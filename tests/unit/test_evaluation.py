"""Measures, on cases worked out by hand and against brute force."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.core.evaluation import (
    average_precision,
    card_precision,
    evaluate,
    expected_calibration_error,
    log_loss,
    roc_auc,
)
from fraudstream.errors import InvalidInput

scored = st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.booleans()), min_size=1, max_size=40)


def test_average_precision_is_the_mean_precision_where_a_fraud_is_found() -> None:
    #   score  .9 fraud   .8   .7 fraud   .6   → precision 1 and 2/3
    assert average_precision([0.7, 0.9, 0.6, 0.8], [True, True, False, False]) == pytest.approx(
        (1 + 2 / 3) / 2
    )


def test_equal_scores_are_shown_together() -> None:
    assert average_precision([0.5, 0.5, 0.5, 0.5], [True, False, False, False]) == 0.25


@given(scored)
def test_average_precision_and_auc_agree_with_brute_force(cases: list[tuple[float, bool]]) -> None:
    scores, frauds = zip(*cases, strict=True)
    found = [s for s, fraud in cases if fraud]
    spared = [s for s, fraud in cases if not fraud]
    if found:
        precisions = [
            sum(fraud for s, fraud in cases if s >= at) / sum(s >= at for s, _ in cases) for at in found
        ]
        assert average_precision(scores, frauds) == pytest.approx(np.mean(precisions))
    else:
        assert math.isnan(average_precision(scores, frauds))
    if found and spared:
        wins = [1.0 if f > g else 0.5 if f == g else 0.0 for f, g in product(found, spared)]
        assert roc_auc(scores, frauds) == pytest.approx(np.mean(wins))
    else:
        assert math.isnan(roc_auc(scores, frauds))


def test_log_loss_is_the_mean_surprise_and_finite_for_a_certain_mistake() -> None:
    assert log_loss([0.5, 0.25], [True, False]) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert log_loss([0.0], [True]) == pytest.approx(-math.log(1e-15))
    assert math.isnan(log_loss([], []))


def test_calibration_error_is_the_gap_of_score_and_rate_in_each_bin() -> None:
    #   bin [.2,.3): mean .25, rate .5, half of all   bin [.9,1]: mean 1, rate 1
    scores, frauds = [0.25, 0.25, 1.0, 1.0], [True, False, True, True]
    assert expected_calibration_error(scores, frauds) == pytest.approx(0.125)
    assert math.isnan(expected_calibration_error([], []))


def test_a_found_card_leaves_room_for_another_on_later_days() -> None:
    #   day 1: a fraud .9, b .8, c .1     day 2: a fraud .9, b fraud .5, c .7
    shares = card_precision(
        [1, 1, 1, 2, 2, 2],
        ["a", "b", "c", "a", "b", "c"],
        [0.9, 0.8, 0.1, 0.9, 0.5, 0.7],
        [True, False, False, True, True, False],
        top=2,
    )
    assert shares.tolist() == [0.5, 0.5]


def test_a_card_counts_once_a_day_by_its_highest_score() -> None:
    shares = card_precision([1, 1, 1], ["a", "a", "b"], [0.9, 0.8, 0.7], [False, True, True], top=2)
    assert shares.tolist() == [1.0]


def test_all_measures_come_together() -> None:
    measured = evaluate([0.9, 0.1, 0.2], [True, False, False])
    assert (measured.transactions, measured.frauds) == (3, 1)
    assert (measured.average_precision, measured.roc_auc) == (1.0, 1.0)
    assert measured.log_loss < 0.2
    assert measured.calibration_error == pytest.approx(0.4 / 3)


@pytest.mark.parametrize(("scores", "frauds"), [([0.1], [True, False]), ([float("nan")], [True])])
def test_scores_that_cannot_be_measured_are_refused(scores: list[float], frauds: list[bool]) -> None:
    with pytest.raises(InvalidInput):
        evaluate(scores, frauds)
