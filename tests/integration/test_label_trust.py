"""Labels that lie, and labels that never come, on real services and through kills."""

import json
import random
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fraudstream.core.codec import decode_training_example
from fraudstream.core.label_trust import LabelTrust
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Outcome
from fraudstream.core.snapshot import Snapshot, decode_snapshot
from tests.stack import Stack, wait_until

START = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """Transactions at a few terminals, one of them bad; honest labels, and those of a source that lies."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.rng = random.Random(3)
        self.sent = 0

    def send(self, number: int, label: Callable[[int, bool], dict[str, Any] | None]) -> None:
        """Send transactions a quarter of an hour apart, each with the label it is given."""
        for _ in range(number):
            at = START + timedelta(minutes=15 * self.sent)
            bad = self.rng.random() < 0.1
            card = f"card-{self.rng.randrange(30)}"
            self.stack.send(
                "transactions",
                {
                    "transaction_id": f"t-{self.sent}",
                    "event_time": at.isoformat(),
                    "amount_minor": 80_000 if bad else 1_000 + self.rng.randrange(400),
                    "currency": "EUR",
                    "card_id": card,
                    "terminal_id": f"terminal-{self.rng.randrange(8)}",
                },
                key=card,
            )
            given = label(self.sent, bad)
            if given is not None:
                said = {
                    "transaction_id": f"t-{self.sent}",
                    "labelled_at": (at + timedelta(hours=1)).isoformat(),
                    **given,
                }
                self.stack.send("labels", said, key=card)
            self.sent += 1
        self.stack.flush()

    def newest_model(self) -> Snapshot | None:
        records = self.stack.records("model-snapshots")
        return decode_snapshot(records[-1].value()) if records else None

    def learned(self) -> int:
        """Training examples that the newest model has seen."""
        newest = self.newest_model()
        return 0 if newest is None else newest.training_offset + 1

    def wait_until_learned(self, number: int) -> None:
        """Wait until the newest model has seen labels of so many transactions, and nothing is behind."""

        def caught_up() -> bool:
            records = self.stack.records("training-examples")
            return len({record.key() for record in records}) >= number and self.learned() == len(records)

        wait_until(caught_up, f"labels of {number} transactions are seen by the learner", 120)

    def trust(self) -> LabelTrust:
        newest = self.newest_model()
        assert newest is not None
        return LabelTrust.from_bytes(newest.trust)

    def learned_again(self) -> tuple[Learner, list[Outcome]]:
        """Learn the whole log in this process."""
        learner, outcomes = Learner(), []
        for record in self.stack.records("training-examples"):
            outcomes.append(learner.learn(decode_training_example(record.value()), record.offset()))
        return learner, outcomes


def honest(number: int, bad: bool) -> dict[str, Any]:
    return {"label": "fraud" if bad else "genuine", "source": "analyst", "labelled_by": f"ada-{number % 2}"}


def every_fourth_a_lie(number: int, bad: bool) -> dict[str, Any]:
    if number % 4:
        return honest(number, bad)
    return {"label": "genuine" if bad else "fraud", "source": "analyst", "labelled_by": "mallory"}


@pytest.mark.adversity
@pytest.mark.timeout(300)
def test_a_source_that_lies_is_quarantined_through_a_kill_told_once_and_learned_when_released(
    stack: Callable[..., Stack],
) -> None:
    world = World(stack(PARTITIONS=2))
    world.stack.start("scoring")
    world.stack.start("sinks")
    learning = world.stack.start("learning")
    world.send(300, honest)
    world.wait_until_learned(300)
    world.send(900, honest)
    world.wait_until_learned(1200)
    assert world.trust().quarantined() == {}

    world.send(40, every_fourth_a_lie)
    world.wait_until_learned(1240)
    learning.send_signal(signal.SIGKILL)
    learning.wait()
    assert world.trust().quarantined() == {}, "the lies begin before the kill, the quarantine comes after it"
    assert world.trust().accounts["analyst:mallory"].labels > 0
    world.send(760, every_fourth_a_lie)
    learning = world.stack.start("learning")
    world.wait_until_learned(2000)
    assert list(world.trust().quarantined()) == ["analyst:mallory"]
    learning.send_signal(signal.SIGKILL)
    learning.wait()
    world.stack.start("learning")
    world.send(40, every_fourth_a_lie)
    world.wait_until_learned(2040)

    again, outcomes = world.learned_again()
    assert again.trust == world.trust(), "who is believed is a function of the log, whatever was killed"
    held = world.stack.records("quarantined-labels")
    assert len(held) == outcomes.count(Outcome.HELD) == len({record.key() for record in held}) > 50
    alarms = [json.loads(record.value()) for record in world.stack.records("model-alarms")]
    assert [one["subject"] for one in alarms if one["detector"] == "label_source"] == ["analyst:mallory"]

    (listed,) = map(json.loads, world.stack.run("labels", "quarantine", "list", "--json").stdout.splitlines())
    assert (listed["source"], listed["quarantined"]) == ("analyst:mallory", "invents_frauds")
    assert listed["waiting"] == len(held)
    print(world.stack.run("labels", "quarantine", "list").stdout)
    before = world.newest_model()
    assert before is not None
    released = world.learned() + len(held)
    print(world.stack.run("labels", "quarantine", "release", "analyst:mallory").stdout)
    wait_until(lambda: world.learned() >= released, "what was released is seen by the learner")
    after = world.newest_model()
    assert after is not None
    assert after.learned == before.learned + len(held)
    assert "No source" in world.stack.run("labels", "quarantine", "list").stdout


#: The server of the tests looks through all documents at an update with a condition; MongoDB uses its index.
SENT = 900


@pytest.mark.adversity
@pytest.mark.timeout(300)
def test_what_has_no_label_is_presumed_genuine_once_and_corrected_by_a_late_one(
    stack: Callable[..., Stack],
) -> None:
    world = World(stack(PARTITIONS=2, LABEL_WAIT="2d"))
    labelled = SENT // 10
    world.stack.start("scoring")
    world.stack.start("sinks")
    learning = world.stack.start("learning")
    world.send(SENT, lambda number, bad: honest(number, bad) if number % 10 == 0 else None)
    world.wait_until_learned(labelled)
    last = START + timedelta(minutes=15 * (SENT - 1))
    due = {
        f"t-{number}"
        for number in range(SENT)
        if number % 10 and START + timedelta(minutes=15 * number) <= last - timedelta(days=2)
    }
    wait_until(lambda: world.stack.count_archived() == SENT, "all is archived")
    for _ in range(4):
        before = world.learned()
        learning.send_signal(signal.SIGKILL)
        learning.wait()
        learning = world.stack.start("learning", PRESUME_GENUINE="true")
        wait_until(
            lambda before=before: world.learned() > min(before, labelled + len(due) - 1), "presuming goes on"
        )

    def presumed() -> set[str]:
        return {
            one["transaction"]["transaction_id"]
            for one in world.stack.archived("transaction.transaction_id", "label")
            if (one["label"] or {}).get("source") == "presumed"
        }

    wait_until(lambda: len(presumed()) >= len(due), "everything that is due is presumed", 90)
    assert presumed() == due, "nothing that has a label, nothing before its time"
    model = world.newest_model()
    assert model is not None
    expected = len(due) + labelled
    wait_until(lambda: (world.newest_model() or model).learned == expected, "each is learned once", 60)

    late = sorted(due)[0]
    world.stack.send(
        "labels",
        {"transaction_id": late, "label": "fraud", "source": "chargeback", "labelled_at": last.isoformat()},
    )
    world.stack.flush()
    wait_until(
        lambda: json.loads(world.stack.records("training-examples")[-1].value()).get("replaces") == "genuine",
        "the chargeback corrects what was presumed",
    )
    assert late not in presumed()
