"""Challengers on real services: promoted by a person, taken back by the guard, exact through kills."""

import json
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from fraudstream.core.challengers import KeyedChallenger, catching_up
from fraudstream.core.codec import decode_training_example
from fraudstream.core.contest_state import decode_kept
from fraudstream.core.handover import decode_handover
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Limits
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.snapshot import decode_snapshot
from tests.contest_playing import bad_terminals
from tests.stack import Stack, wait_until

POOR = ("terminal", "card and terminal")
FILE = """
[[challenger]]
name = "poor"
without = ["terminal", "card and terminal"]

[[challenger]]
name = "twin"
without = ["terminal", "card and terminal"]

[[challenger]]
name = "stiff"
without = ["terminal", "card and terminal"]
alpha = 0.001

[[challenger]]
name = "bayes"
estimator = "river.naive_bayes:BernoulliNB"
"""
A_DAY = 100


class Days:
    """Sends one day of transactions after another, and its labels when all of them are archived."""

    def __init__(self, stack: Stack, days: int) -> None:
        self._stack = stack
        self._transactions = list(bad_terminals(days, A_DAY))
        self.sent = 0

    def play(self, days: int) -> None:
        for _ in range(days):
            today = self._transactions[self.sent : self.sent + A_DAY]
            for one in today:
                self._stack.send("transactions", _message(one), key=one.card_id)
            self._stack.flush()
            self.sent += A_DAY
            wait_until(lambda: self._stack.count_archived() == self.sent, "the day is archived")
            for one in today:
                self._stack.send("labels", _label(one), key=one.card_id)
            self._stack.flush()
            wait_until(lambda: learned(self._stack) == self.sent, "the day is learned")


def _message(one: Transaction) -> dict[str, object]:
    return {
        "transaction_id": one.transaction_id,
        "event_time": one.event_time.isoformat(),
        "amount_minor": one.amount_minor,
        "currency": one.currency,
        "card_id": one.card_id,
        "terminal_id": one.terminal_id,
    }


def _label(one: Transaction) -> dict[str, object]:
    assert one.label is not None
    return {
        "transaction_id": one.transaction_id,
        "label": one.label.value,
        "source": "chargeback" if one.label is LabelValue.FRAUD else "analyst",
        "labelled_at": (one.event_time + timedelta(days=1)).isoformat(),
    }


def learned(stack: Stack) -> int:
    snapshots = stack.records("model-snapshots")
    return decode_snapshot(snapshots[-1].value()).learned if snapshots else 0


def served(stack: Stack) -> list[str]:
    """Who has served since the beginning, by the learner's answers."""
    return [decode_handover(record.value()).serving for record in stack.records("model-handovers")]


def standings(stack: Stack) -> dict[str, dict[str, object]]:
    return {one["name"]: one for one in json.loads(stack.run("challenger", "list", "--json").stdout)}


def states(stack: Stack) -> dict[str, int]:
    """Up to which label each challenger has been stored, of those that take part."""
    return {name: one["training_offset"] for name, one in standings(stack).items() if one["takes_part"]}  # type: ignore[misc] # a number


@pytest.mark.adversity
@pytest.mark.timeout(420)
def test_a_poor_model_promoted_by_a_person_is_taken_back_by_the_guard_through_kills(
    stack: Callable[..., Stack], tmp_path: Path
) -> None:
    file = tmp_path / "challengers.toml"
    file.write_text(FILE)
    installation = stack(
        PARTITIONS=2,
        CHALLENGERS=file,
        CHALLENGER_GUARD="true",
        CHALLENGER_DAYS=5,
        LABEL_WAIT="1h",
        REVIEW_BUDGET=10,
    )
    for role in ("scoring", "sinks"):
        installation.start(role)
    learning, challenging = installation.start("learning"), installation.start("challenging")
    days = Days(installation, 40)
    days.play(7)
    wait_until(
        lambda: states(installation).get("poor", -1) >= days.sent - 1, "the challengers have learned it all"
    )
    assert served(installation) == [], "nobody is better yet"
    refused = installation.run("challenger", "promote", "bayes", "--reason", "a try", check=False)
    assert refused.returncode == 1
    assert "has no weights that belong to keys" in refused.stderr

    told = installation.run("challenger", "promote", "poor", "--reason", "a mistake").stdout
    assert told.startswith("poor serves from version"), told
    learning.send_signal(signal.SIGKILL)
    challenging.send_signal(signal.SIGKILL)
    learning.wait()
    challenging.wait()
    learning, challenging = installation.start("learning"), installation.start("challenging")
    days.play(3)
    challenging.send_signal(signal.SIGKILL)
    challenging.wait()
    days.play(1)
    installation.start("challenging")
    for _ in range(25):
        if len(served(installation)) > 1:
            break
        days.play(1)
    print(installation.run("challenger", "list").stdout)
    assert served(installation) == ["poor", "standard"], installation.log_of(learning)
    days.play(2)

    wait_until(
        lambda: states(installation).get("poor", -1) >= days.sent - 1, "the challengers have caught up"
    )
    print(installation.run("challenger", "list").stdout)
    print(installation.run("challenger", "guard").stdout)
    print(installation.run("challenger", "show", "poor").stdout)
    assert served(installation) == ["poor", "standard"], "neither the twin nor the stiff one has ever served"
    newest = decode_snapshot(installation.records("model-snapshots")[-1].value())
    expected = Learner()
    for record in installation.records("training-examples"):
        expected.learn(decode_training_example(record.value()), record.offset())
    again = expected.state(newest.created_at)
    assert newest.design.name == "standard"
    assert newest.weights == again.weights, "it has gone on learning while it was a challenger"
    assert newest.intercept == again.intercept
    assert newest.tables == again.tables


@pytest.mark.adversity
@pytest.mark.timeout(300)
def test_challengers_are_a_function_of_the_labels_whatever_killed_their_worker(
    stack: Callable[..., Stack], tmp_path: Path
) -> None:
    file = tmp_path / "challengers.toml"
    file.write_text(FILE)
    installation = stack(PARTITIONS=2, CHALLENGERS=file, LABEL_WAIT="1h")
    for role in ("scoring", "sinks", "learning"):
        installation.start(role)
    days = Days(installation, 9)
    challenging = installation.start("challenging")
    wait_until(lambda: len(states(installation)) == 4, "every challenger takes part")
    for _ in range(4):
        days.play(1)
        challenging.send_signal(signal.SIGKILL)  # its state is published every three seconds: this loses some
        challenging.wait()
        challenging = installation.start("challenging")
        days.play(1)
    wait_until(
        lambda: set(states(installation).values()) == {days.sent - 1} and len(states(installation)) == 4,
        "every challenger has learned everything",
        90,
    )
    examples = [
        (decode_training_example(record.value()), record.offset())
        for record in installation.records("training-examples")
    ]
    stored = stored_snapshots(installation)
    for name, alpha in (("poor", 0.3), ("stiff", 0.001)):
        expected = KeyedChallenger(ModelDesign(name, alpha=alpha, without=POOR))
        hearing = catching_up(expected, Limits())
        for example, offset in examples:
            hearing.learn(example, offset)
            expected.offset = offset
        assert stored[name] == expected.snapshot()
    # The first hundred were scored before there was a model; the day the next ones begin on is no whole one.
    for name in ("poor", "stiff", "twin"):
        told = standings(installation)[name]["days"]
        assert sum(day["comparison"]["labels"] for day in told) == days.sent - 150, "each once"  # type: ignore[attr-defined] # rows


def stored_snapshots(stack: Stack) -> dict[str, object]:
    found = {}
    for record in stack.records("challenger-states"):
        if record.key().startswith(b"challenger/") and record.value() is not None:
            kept = decode_kept(record.value())
            found[kept.name] = kept.snapshot and decode_snapshot(kept.snapshot)
    return found
