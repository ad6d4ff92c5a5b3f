"""Alarms about the model: raised once, named after a day, over by themselves; and what people are told."""

import io
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from rich.console import Console

from fraudstream.commands.drift import print_report
from fraudstream.core.messages import LabelPosition, Position
from fraudstream.core.terms import terms_checksum
from fraudstream.core.watch_report import watch_report
from fraudstream.core.watching import (
    OPEN_DAYS,
    RECENT_LABELS,
    WARM_UP_DAYS,
    Alarm,
    Detector,
    LabelWatch,
    TrafficWatch,
    decode_alarm,
    decode_label_watch,
    decode_traffic_watch,
    encode_alarm,
    encode_watch,
    follow,
)
from fraudstream.errors import InvalidMessage
from tests.model_building import NOON, example

A_DAY = 300


def labels(days: range, *, fraud_rate: float = 0.02, score: float = 0.02, seed: int = 3) -> Iterator[Any]:
    """Yield examples of 300 labels a day that come an hour after their transaction."""
    rng = random.Random(seed + days.start)
    for number in range(days.start * A_DAY, days.stop * A_DAY):
        at = NOON + timedelta(days=number / A_DAY)
        yield example(
            number,
            "fraud" if rng.random() < fraud_rate else "genuine",
            event_time=at,
            labelled_at=at + timedelta(hours=1),
            score=score,
            segments={"entry_mode": "Tap", "bank": "RBS"},
            alert=False,
        )


def taken(watch: LabelWatch, examples: Iterator[Any]) -> list[Alarm]:
    alarms = []
    for one in examples:
        alarms += watch.note(one, one.label_position.offset, ("entry_mode",))
    return alarms


def traffic(watch: TrafficWatch, days: range, rate: float, seed: int = 5) -> list[Alarm]:
    """Watch 300 transactions a day of which so many score high."""
    rng = random.Random(seed + days.start)
    alarms = []
    for number in range(days.start * A_DAY, days.stop * A_DAY):
        at = NOON + timedelta(days=number / A_DAY)
        score = 0.9 if rng.random() < rate else 0.01
        alarms += watch.note(at, (10, 400), score, amount_minor=1_000, hour=None, segments={"bank": "RBS"})
    return alarms


def test_a_change_is_told_when_it_is_found_and_again_with_its_features_a_day_later() -> None:
    watch = LabelWatch()
    assert taken(watch, labels(range(60))) == []

    alarms = taken(watch, labels(range(60, 70), fraud_rate=0.3))

    by_detector = {one.detector for one in alarms}
    assert by_detector == {Detector.LOG_LOSS, Detector.CALIBRATION}
    loss = [one for one in alarms if one.detector is Detector.LOG_LOSS]
    assert len(loss) == 2
    first, named = loss
    assert first.key == named.key
    assert first.raised_at == first.told_at < NOON + timedelta(days=61)
    assert timedelta(days=1) <= named.told_at - named.raised_at < timedelta(days=1.1)
    assert first.before < first.after
    assert "surprise the model" in first.text


def test_a_model_that_gets_better_is_no_reason_for_an_alarm() -> None:
    watch = LabelWatch()
    taken(watch, labels(range(60), fraud_rate=0.1, score=0.1))

    alarms = taken(watch, labels(range(60, 70), fraud_rate=0.001, score=0.001))

    assert [one for one in alarms if one.detector is Detector.LOG_LOSS] == []
    assert watch.loss.width < 40 * A_DAY, "the change itself was seen"


def test_nothing_is_raised_while_the_model_still_learns_what_is_usual() -> None:
    watch = LabelWatch()

    first_weeks = taken(watch, labels(range(14))) + taken(watch, labels(range(14, 27), fraud_rate=0.3))

    assert WARM_UP_DAYS >= 27
    assert first_weeks == []


def test_an_alarm_is_over_when_nothing_was_detected_for_a_week() -> None:
    watch = TrafficWatch()
    traffic(watch, range(50), 0.02)

    raised = traffic(watch, range(50, 54), 0.4)
    assert Detector.ALERT_RATE in watch.alarms.open
    later = traffic(watch, range(54, 70), 0.4)

    assert raised
    assert later == []
    assert watch.alarms.open == {}
    assert NOON + timedelta(days=50) < raised[0].raised_at < NOON + timedelta(days=50.5)


def test_a_detection_while_an_alarm_is_open_keeps_it_open_and_tells_nothing() -> None:
    watch = TrafficWatch()
    traffic(watch, range(50), 0.02)
    traffic(watch, range(50, 53), 0.4)
    until = watch.alarms.open[Detector.ALERT_RATE].until

    again = traffic(watch, range(53, 56), 0.01)

    assert again == []
    assert watch.alarms.open[Detector.ALERT_RATE].until > until
    assert until < watch.alarms.open[Detector.ALERT_RATE].raised_at + (OPEN_DAYS + 1) * 86_400


def test_examples_seen_before_repeated_labels_and_corrections_change_nothing() -> None:
    watch = LabelWatch()
    one = next(labels(range(1)))
    watch.note(one, 5)
    before = watch.quality.all.measure(1.0)

    watch.note(one, 5)
    watch.note(one, 6)
    correction = msgspec.structs.replace(one, label_position=LabelPosition(0, 99), replaces=one.label)
    watch.note(correction, 7)

    assert watch.quality.all.measure(1.0) == before
    assert watch.offset == 7


def test_labels_remembered_are_bounded() -> None:
    watch = LabelWatch()
    for number in range(RECENT_LABELS + 50):
        one = example(number, source=Position(1, 0, number))
        watch.note(one, number)

    assert len(watch.recent[0]) == RECENT_LABELS


def test_one_wrong_time_moves_no_clock_far() -> None:
    assert follow(float("-inf"), 5.0, 10.0) == 5.0
    assert follow(5.0, 1e12, 10.0) == 15.0
    assert follow(5.0, 3.0, 10.0) == 5.0
    watch = TrafficWatch()
    traffic(watch, range(2), 0.0)
    hour = watch.traffic.hour

    watch.note(datetime(2099, 1, 1, tzinfo=UTC), (10, 400), 0.01)

    assert watch.traffic.hour == hour
    label_watch = LabelWatch()
    ahead = example(0, event_time=NOON + timedelta(days=99), labelled_at=NOON)
    label_watch.note(ahead, 0)
    assert label_watch.unexplained.cells == {}


def test_states_written_down_and_read_back_go_on_as_if_nothing_had_happened() -> None:
    whole, cut = LabelWatch(), LabelWatch()
    every = [*labels(range(35)), *labels(range(35, 40), fraud_rate=0.3)]

    told = taken(whole, iter(every))
    again = []
    for start in range(0, len(every), 997):
        again += taken(cut, iter(every[start : start + 997]))
        cut = decode_label_watch(encode_watch(cut))

    assert told
    assert again == told
    assert cut == whole
    seen = TrafficWatch()
    traffic(seen, range(5), 0.1)
    assert decode_traffic_watch(encode_watch(seen)) == seen


def test_under_other_terms_what_moved_begins_anew_and_the_detectors_go_on() -> None:
    labelled, seen = LabelWatch(), TrafficWatch()
    taken(labelled, labels(range(30)))
    traffic(seen, range(30), 0.1)
    labelled.terms = seen.terms = "another model's"

    again, seen_again = decode_label_watch(encode_watch(labelled)), decode_traffic_watch(encode_watch(seen))

    assert again.terms == seen_again.terms == terms_checksum()
    assert again.unexplained.cells == {}
    assert seen_again.traffic.cells == seen_again.alerts.cells == {}
    assert again.loss == labelled.loss
    assert seen_again.alert_rate == seen.alert_rate


def test_bytes_of_something_else_are_no_state_and_no_alarm() -> None:
    with pytest.raises(InvalidMessage, match="labels"):
        decode_label_watch(b"\\x01")
    with pytest.raises(InvalidMessage, match="traffic"):
        decode_traffic_watch(b"nothing")
    with pytest.raises(InvalidMessage, match="alarm"):
        decode_alarm(b"{}")


def test_an_alarm_is_read_back_as_it_was_told() -> None:
    watch = TrafficWatch()
    traffic(watch, range(50), 0.02)
    alarm = traffic(watch, range(50, 52), 0.4)[0]

    assert decode_alarm(encode_alarm(alarm)) == alarm


def told_to_people(labelled: LabelWatch, seen: TrafficWatch) -> str:
    console = Console(file=io.StringIO(), highlight=False)
    print_report(watch_report(labelled, seen, review_budget=10.0), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_report_tells_open_alarms_movement_quality_and_calibration() -> None:
    labelled, seen = LabelWatch(), TrafficWatch()
    taken(labelled, labels(range(60)))
    taken(labelled, labels(range(60, 62), fraud_rate=0.3))
    traffic(seen, range(60), 0.02)
    traffic(seen, range(60, 62), 0.4)
    seen.offsets[0] = 17

    text = told_to_people(labelled, seen)

    assert "OPEN ALARM log_loss since 2026-04-30" in text
    assert "OPEN ALARM alert_rate" in text
    assert "300 in the last day" in text
    assert "entry_mode Tap" in text
    assert "Calibration by score" in text
    assert "same terminal" in text


def test_a_report_before_anything_came_says_so() -> None:
    text = told_to_people(LabelWatch(), TrafficWatch())

    assert "until none yet" in text
    assert "No alarm is open." in text
