"""The watch over the model on real services: what it measures, tells and remembers."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fraudstream.core.codec import decode_training_example
from fraudstream.core.watching import (
    LABELS_KEY,
    TRAFFIC_KEY,
    Detector,
    LabelWatch,
    TrafficWatch,
    decode_alarm,
    decode_label_watch,
    decode_traffic_watch,
)
from tests.stack import Stack, wait_until

START = datetime(2026, 1, 1, tzinfo=UTC)
A_DAY = 60


@pytest.fixture
def stack(
    tmp_path: Path, kafka_url: str, mongo_url: str, mariadb_url: str, topic_prefix: str
) -> Iterator[Stack]:
    stack = Stack(
        tmp_path,
        kafka_url,
        mongo_url,
        mariadb_url,
        topic_prefix,
        PARTITIONS=2,
        WATCH_INTERVAL_SECONDS=1,
        LABEL_WAIT="1000d",
    )
    yield stack
    stack.close()


def send_days(stack: Stack, first: int, last: int, *, huge_every: int) -> int:
    """Send small amounts, every so often a huge one, and their labels an hour later: the huge are fraud."""
    for number in range(first * A_DAY, last * A_DAY):
        at = START + timedelta(days=number / A_DAY)
        huge = number % huge_every == 0
        card = f"card-{number % 20}"
        stack.send(
            "transactions",
            {
                "transaction_id": f"t-{number}",
                "event_time": at.isoformat(),
                "amount_minor": 90_000 if huge else 1_000 + number % 300,
                "currency": "EUR",
                "card_id": card,
                "terminal_id": f"terminal-{number % 7}",
                "entry_mode": "Tap" if number % 2 else "CVC",
            },
            key=card,
        )
        stack.send(
            "labels",
            {
                "transaction_id": f"t-{number}",
                "label": "fraud" if huge else "genuine",
                "source": "analyst",
                "labelled_at": (at + timedelta(hours=1)).isoformat(),
            },
            key=card,
        )
    stack.flush()
    return (last - first) * A_DAY


def watches(stack: Stack) -> tuple[LabelWatch, TrafficWatch]:
    labels, traffic = LabelWatch(), TrafficWatch()
    for record in stack.records("model-watch"):
        if record.key() == LABELS_KEY:
            labels = decode_label_watch(record.value())
        elif record.key() == TRAFFIC_KEY:
            traffic = decode_traffic_watch(record.value())
    return labels, traffic


def labelled(stack: Stack) -> set[bytes]:
    """Positions of the transactions whose label has come; an example may come twice after a crash."""
    return {record.key() for record in stack.records("training-examples")}


@pytest.mark.adversity
@pytest.mark.timeout(240)
def test_a_killed_watch_goes_on_where_it_was_and_tells_each_alarm_once(stack: Stack) -> None:
    stack.create_topics()
    stack.start("scoring")
    stack.start("sinks")
    learning = stack.start("learning")
    sent = send_days(stack, 0, 20, huge_every=30)
    wait_until(lambda: watches(stack)[0].offset >= sent // 2, "half of the labels are watched", 90)
    learning.send_signal(signal.SIGKILL)
    learning.wait()
    sent += send_days(stack, 20, 40, huge_every=30)
    learning = stack.start("learning")
    wait_until(lambda: len(labelled(stack)) == sent, "every label found its transaction", 90)
    sent += send_days(stack, 40, 48, huge_every=3)
    wait_until(lambda: bool(stack.records("model-alarms")), "an alarm is told", 60)
    learning.send_signal(signal.SIGKILL)
    learning.wait()
    stack.start("learning")
    wait_until(lambda: len(labelled(stack)) == sent, "the last labels found their transactions", 90)
    wait_until(
        lambda: watches(stack)[0].offset == stack.records("training-examples")[-1].offset(),
        "the last labels are watched",
        60,
    )

    expected, told = LabelWatch(), []
    labels, _ = watches(stack)
    for record in stack.records("training-examples")[: labels.offset + 1]:
        example = decode_training_example(record.value())
        told += expected.note(example, record.offset(), ("entry_mode", "card_type"))
    assert labels == expected, "the watch is a function of its log, whatever killed it"
    alarms = [
        (record.key().decode(), decode_alarm(record.value())) for record in stack.records("model-alarms")
    ]
    by_labels = [key for key, alarm in alarms if alarm.detector is not Detector.ALERT_RATE]
    assert Counter(by_labels) == Counter(alarm.key for alarm in told)
    repeated = Counter((key, alarm.told_at) for key, alarm in alarms)
    assert set(repeated.values()) == {1}
    shown = json.loads(stack.run("drift", "report", "--json").stdout)
    assert shown["quality"]["labels"] == pytest.approx(labels.quality.all.measure(1.0).labels)
    assert {row["value"] for row in shown["by_segment"]} == {"Tap", "CVC"}
    told_to_people = stack.run("drift", "report").stdout
    print(told_to_people)
    assert "OPEN ALARM" in told_to_people
    assert "Calibration by score" in told_to_people
