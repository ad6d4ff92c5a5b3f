"""Live quality and calibration, kept in bins that outlive a restart."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.core.calibration import LEAST_DAYS, Calibration
from fraudstream.core.evaluation import average_precision, log_loss
from fraudstream.core.ftrl import probability
from fraudstream.core.quality import (
    HALF_LIFE_DAYS,
    MOST_SEGMENT_VALUES,
    OTHER,
    LiveQuality,
    ScoreBins,
)


def scored(count: int, seed: int, honest: float = 0.0) -> list[tuple[float, bool]]:
    """Scores with truths drawn from them, off by so many log odds."""
    rng = random.Random(seed)
    logits = [rng.gauss(-3.0, 2.5) for _ in range(count)]
    return [(probability(logit), rng.random() < probability(logit + honest)) for logit in logits]


def bins_of(scores: list[tuple[float, bool]], alert_at: float = 2.0) -> ScoreBins:
    bins = ScoreBins.empty()
    for score, fraud in scores:
        bins.note(score, fraud=fraud, alert=score >= alert_at)
    return bins


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_binned_precision_and_loss_are_close_to_the_exact_ones(seed: int) -> None:
    scores = scored(3_000, seed)

    measured = bins_of(scores).measure(0.05)

    s, y = zip(*scores, strict=True)
    assert measured.average_precision == pytest.approx(average_precision(s, y), abs=0.01)
    assert measured.log_loss == pytest.approx(log_loss(s, y), abs=0.01)
    assert measured.labels == 3_000
    assert measured.frauds == sum(y)


def test_the_budget_takes_the_highest_scores() -> None:
    scores = [(0.999, True)] * 30 + [(0.9, False)] * 20 + [(0.001, True)] * 10 + [(0.0001, False)] * 940

    measured = bins_of(scores, alert_at=0.95).measure(0.04)

    assert measured.precision_at_budget == pytest.approx(30 / 40)
    assert measured.recall_at_budget == pytest.approx(30 / 40)
    assert measured.alert_precision == 1.0


def test_a_calibrated_model_is_told_so_and_a_hopeful_one_too() -> None:
    honest = bins_of(scored(20_000, 5)).measure(0.01)
    hopeful = bins_of(scored(20_000, 5, honest=1.5)).measure(0.01)

    assert honest.predicted_over_observed == pytest.approx(1.0, abs=0.05)
    assert honest.calibration_error is not None
    assert honest.calibration_error < 0.01
    assert hopeful.predicted_over_observed is not None
    assert hopeful.predicted_over_observed < 0.7
    assert hopeful.calibration_error is not None
    assert hopeful.calibration_error > 0.05


def test_reliability_tells_each_unit_of_log_odds_with_its_edges() -> None:
    rows = bins_of([(0.0, False), (0.3, True), (0.3, False), (1.0, True)]).reliability()

    assert [(row.labels, row.observed) for row in rows] == [(1, 0.0), (2, 0.5), (1, 1.0)]
    assert rows[0].score_from == 0.0
    assert rows[1].score_from < 0.3 < rows[1].score_to
    assert rows[1].predicted == pytest.approx(0.3)
    assert rows[2].score_to == 1.0


def test_nothing_is_said_without_labels() -> None:
    measured = ScoreBins.empty().measure(0.5)

    told = msgspec.to_builtins(measured)
    assert {name: number for name, number in told.items() if number is not None} == {"labels": 0, "frauds": 0}
    assert ScoreBins.empty().reliability() == ()


def test_labels_of_a_half_life_ago_count_half() -> None:
    quality = LiveQuality()
    for _ in range(8):
        quality.note(100, 0.9, {"entry_mode": "Tap"}, fraud=True, alert=True)
    quality.note(100 + int(HALF_LIFE_DAYS), 0.1, {"entry_mode": "Tap"}, fraud=False, alert=False)
    quality.note(99, 0.1, {}, fraud=False, alert=None)

    measured = quality.all.measure(1.0)
    assert measured.frauds == 4.0
    assert measured.labels == 6.0
    assert quality.segments["entry_mode"]["Tap"].measure(1.0).labels == 5.0


def test_invented_values_of_a_segment_share_one_row() -> None:
    quality = LiveQuality()
    for number in range(100):
        quality.note(1, 0.5, {"bank": f"bank-{number}"}, fraud=False, alert=False)

    assert len(quality.segments["bank"]) == MOST_SEGMENT_VALUES + 1
    assert quality.segments["bank"][OTHER].measure(1.0).labels == 100 - MOST_SEGMENT_VALUES


def test_quality_written_down_and_read_back_is_the_same() -> None:
    quality = LiveQuality()
    for at, (score, fraud) in enumerate(scored(500, 9)):
        quality.note(at // 100, score, {"bank": "RBS"}, fraud=fraud, alert=score > 0.5)

    again = msgspec.msgpack.decode(msgspec.msgpack.encode(quality), type=LiveQuality)

    assert again == quality


def days_of(calibration: Calibration, days: range, frauds_a_day: int) -> list[tuple[int, float, float]]:
    """Deliver days of 50 scores of 0.2, and return the days that raised an alarm with its numbers."""
    alarms = []
    for day in days:
        for number in range(50):
            alarm = calibration.note(day, 0.2, fraud=number < frauds_a_day)
            if alarm is not None:
                alarms.append((day, *alarm))
    return alarms


def test_quiet_days_raise_nothing_and_days_of_too_many_frauds_do() -> None:
    calibration = Calibration()

    assert days_of(calibration, range(100), 10) == []
    ((day, predicted, found),) = days_of(calibration, range(100, 104), 49)

    assert day <= 103
    assert predicted == pytest.approx(10.0)
    assert found == 49.0


def test_nothing_is_raised_on_the_first_days() -> None:
    assert days_of(Calibration(), range(LEAST_DAYS), 49) == []


def test_labels_of_an_earlier_day_count_for_the_day_they_come_on() -> None:
    calibration = Calibration()
    days_of(calibration, range(5, 7), 10)

    assert calibration.note(3, 0.2, fraud=True) is None
    assert calibration.day == 6
    assert calibration.frauds == 11.0


def test_a_day_of_certain_scores_says_nothing_about_calibration() -> None:
    calibration = Calibration()
    calibration.note(1, 0.0, fraud=False)

    assert calibration.note(2, 0.0, fraud=False) is None
    assert calibration.detector.seen == 0
