"""Labels reach the model whatever order, number or truth they come in."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.stack import Stack, wait_until

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def transaction(number: int | str, minutes: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"tx-{number}",
        "event_time": (NOON + timedelta(minutes=minutes)).isoformat(),
        "amount_minor": 1250,
        "currency": "GBP",
        "card_id": "card-1",
        "terminal_id": "terminal-1",
        **changes,
    }


def label(number: int | str, value: str = "fraud", **changes: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"tx-{number}",
        "label": value,
        "source": "analyst",
        "labelled_at": (NOON + timedelta(days=1)).isoformat(),
        **changes,
    }


class Labels:
    """The stack with everything that learns, and shortcuts."""

    def __init__(self, stack: Callable[..., Stack], **settings: object) -> None:
        self.stack = stack(**settings)
        for role in ("scoring", "sinks", "learning"):
            self.stack.start(role)

    def send(self, *transactions: dict[str, Any]) -> None:
        for one in transactions:
            self.stack.send("transactions", one, key=one["card_id"])
        self.stack.flush()

    def label(self, *labels: dict[str, Any]) -> None:
        for one in labels:
            self.stack.send("labels", one, key=one.get("transaction_id", "by-position"))
        self.stack.flush()

    def examples(self) -> list[dict[str, Any]]:
        return [json.loads(record.value()) for record in self.stack.records("training-examples")]

    def refused(self) -> list[str]:
        letters = self.stack.records("dead-letters")
        return [dict(letter.headers())["fraudstream-dead-letter-fault"].decode() for letter in letters]

    def wait_for_archived(self, number: int) -> None:
        wait_until(lambda: self.stack.count_archived() == number, f"{number} transactions are archived")

    def wait_for_examples(self, number: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.examples()) >= number, f"{number} training examples")
        return self.examples()

    def learned(self) -> int:
        """How many examples the newest model has learned."""
        from fraudstream.core.snapshot import decode_snapshot

        snapshots = self.stack.records("model-snapshots")
        return decode_snapshot(snapshots[-1].value()).learned if snapshots else 0


def test_a_label_by_id_and_one_by_position_become_training_examples(stack: Callable[..., Stack]) -> None:
    labels = Labels(stack)
    labels.send(transaction(1), transaction(2))
    labels.wait_for_archived(2)
    by_id = {one["transaction"]["transaction_id"]: one for one in labels.stack.archived()}
    position = by_id["tx-2"]["source"]
    labels.label(label(1), {**label(2, "genuine"), "transaction_id": None, "position": position})
    examples = labels.wait_for_examples(2)
    assert {(one["source"]["offset"], one["label"]) for one in examples} == {
        (by_id["tx-1"]["source"]["offset"], "fraud"),
        (position["offset"], "genuine"),
    }
    assert examples[0]["keys"] == by_id["tx-1"]["keys"] or examples[1]["keys"] == by_id["tx-1"]["keys"]
    wait_until(lambda: labels.learned() == 2, "both are learned")


def test_a_label_before_its_transaction_waits_for_it(stack: Callable[..., Stack]) -> None:
    labels = Labels(stack)
    labels.label(label(1))
    wait_until(lambda: sum(labels.stack.ends("labels")) == 1, "the label is there")
    labels.send(transaction(1))
    (example,) = labels.wait_for_examples(1)
    assert example["label"] == "fraud"
    assert labels.refused() == []


def test_an_ambiguous_id_is_refused_with_its_candidates_unless_card_or_time_tells(
    stack: Callable[..., Stack],
) -> None:
    labels = Labels(stack)
    labels.send(transaction(1), transaction(1, minutes=5), transaction(1, card_id="card-2"))
    labels.wait_for_archived(3)
    labels.label(label(1))
    wait_until(lambda: len(labels.refused()) == 1, "the ambiguous label is refused")
    (fault,) = labels.refused()
    assert "3 transactions have this id" in fault
    assert fault.count("of 2026-03-01T12:") == 3
    labels.label(
        label(1, card_id="card-2"),
        label(1, card_id="card-1", event_time=transaction(1, minutes=5)["event_time"]),
    )
    examples = labels.wait_for_examples(2)
    assert {one["event_time"] for one in examples} == {"2026-03-01T12:00:00Z", "2026-03-01T12:05:00Z"}


def test_an_unknown_id_is_refused_after_the_deadline(stack: Callable[..., Stack]) -> None:
    labels = Labels(stack, LABEL_DEADLINE="2s")
    labels.label(label("nowhere"))
    wait_until(lambda: len(labels.refused()) == 1, "the unknown label is refused")
    assert "no such transaction was archived within 2 seconds" in labels.refused()[0]
    assert labels.examples() == []


def test_the_same_label_twice_is_learned_once_and_a_contradiction_corrects(
    stack: Callable[..., Stack],
) -> None:
    labels = Labels(stack)
    labels.send(transaction(1), transaction(2))
    labels.wait_for_archived(2)
    labels.label(label(1, "genuine"))
    labels.wait_for_examples(1)
    labels.label(label(1, "genuine"), label(1, "genuine"), label(2))
    labels.wait_for_examples(2)
    labels.label(label(1, "fraud"))
    examples = labels.wait_for_examples(3)
    assert [one["label"] for one in examples] == ["genuine", "fraud", "fraud"]
    assert examples[2].get("replaces") == "genuine"
    wait_until(lambda: labels.learned() == 3, "the correction is learned")

    def states() -> dict[str, str | None]:
        archived = labels.stack.archived()
        return {one["transaction"]["transaction_id"]: (one["label"] or {}).get("label") for one in archived}

    wait_until(lambda: states() == {"tx-1": "fraud", "tx-2": "fraud"}, "the archive knows the last labels")


def test_a_label_that_is_none_is_refused_with_field_and_fault(stack: Callable[..., Stack]) -> None:
    labels = Labels(stack)
    labels.label(label(1, "perhaps"), {**label(1), "transaction_id": None})
    wait_until(lambda: len(labels.refused()) == 2, "both are refused")


def test_labels_inside_messages_are_learned_when_that_is_switched_on(stack: Callable[..., Stack]) -> None:
    labels = Labels(stack, LEARN_FROM_MESSAGES="true", MESSAGE_LABEL_DELAY="2s")
    labels.send(transaction(1, label="fraud"), transaction(2, label="genuine"), transaction(3))
    examples = labels.wait_for_examples(2)
    assert sorted(one["label"] for one in examples) == ["fraud", "genuine"]
