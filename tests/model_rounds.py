"""A small world in rounds, sent to a stack: each round is scored by one model version, then labelled.

And what the registry says of versions, worked out the plain way: by listing the training examples in each.
"""

import json
import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fraudstream.core.codec import decode_training_example
from fraudstream.core.learning import Learner
from fraudstream.core.messages import LabelPosition, Position, TrainingExample
from fraudstream.core.model_design import STANDARD, ModelDesign
from fraudstream.core.registry import Entry, Refusal, Relearn, Rollback, decode_record
from fraudstream.core.snapshot import Snapshot, decode_snapshot
from tests.stack import Stack, wait_until

START = datetime(2026, 1, 1, tzinfo=UTC)
CARDS, TERMINALS, BAD_TERMINALS = 60, 40, 4
POISONER = "shop-7"
"""Who gives a third of the labels, half of them wrong."""


class Rounds:
    """Sends rounds of transactions and their labels to a stack whose workers run.

    Parameters
    ----------
    stack
        With topics, and workers of all roles.
    size
        Transactions of one round.
    """

    def __init__(self, stack: Stack, size: int) -> None:
        self.stack = stack
        self.size = size
        self.sent = self.labelled = 0
        self._random = random.Random(11)
        self._truth: list[bool] = []

    def play(self, rounds: int) -> None:
        """Send so many rounds, each once the labels of the one before have been learned and served."""
        for _ in range(rounds):
            self.send()
            self.label()

    def send(self) -> None:
        """Send one round and return when it is archived."""
        for number in range(self.sent, self.sent + self.size):
            card, terminal = self._random.randrange(CARDS), self._random.randrange(TERMINALS)
            outsized = self._random.random() < 0.04
            fraud = outsized or (terminal < BAD_TERMINALS and self._random.random() < 0.7)
            self._truth.append(fraud)
            amount = self._random.randrange(1_000, 3_000) * (12 if outsized else 1)
            message = {
                "transaction_id": f"t-{number}",
                "event_time": (START + timedelta(minutes=7 * number)).isoformat(),
                "amount_minor": amount,
                "currency": "EUR",
                "card_id": f"card-{card}",
                "terminal_id": f"terminal-{terminal}",
            }
            self.stack.send("transactions", message, key=f"card-{card}")
        self.stack.flush()
        self.sent += self.size
        wait_until(lambda: self.stack.count_archived() == self.sent, f"{self.sent} are archived", 120)

    def label(self) -> None:
        """Label the round sent last, and return when its labels have been learned and served."""
        for number in range(self.labelled, self.sent):
            by = POISONER if number % 3 == 0 else "desk"
            lies = by == POISONER and self._random.random() < 0.5
            label = {
                "transaction_id": f"t-{number}",
                "label": "fraud" if self._truth[number] is not lies else "genuine",
                "source": "customer" if by == POISONER else "analyst",
                "labelled_by": by,
                "labelled_at": (START + timedelta(minutes=7 * number, days=1)).isoformat(),
            }
            self.stack.send("labels", label, key=f"t-{number}")
        self.stack.flush()
        self.labelled = self.sent
        wait_until(lambda: newest(self.stack).training_offset >= self._last_example(), "all is learned", 120)
        time.sleep(0.5)  # scoring workers take a moment longer

    def _last_example(self) -> int:
        found = self.stack.records("training-examples")
        return int(found[-1].offset()) if self.examples(found) == self.labelled else 2**62

    @staticmethod
    def examples(records: Sequence[Any]) -> int:
        """Count training examples, those published again after a kill once."""
        return len({record.key() for record in records})


def newest(stack: Stack) -> Snapshot:
    """Return the newest snapshot there is; an empty one before the first."""
    found = stack.records("model-snapshots")
    return decode_snapshot(found[-1].value()) if found else Learner().snapshot(START)


def registry(stack: Stack) -> list[Entry | Refusal]:
    """Return the whole registry."""
    return [decode_record(record.value()) for record in stack.records("model-registry")]


def entries(stack: Stack) -> list[Entry]:
    """Return every version in the registry."""
    return [one for one in registry(stack) if isinstance(one, Entry)]


def snapshots(stack: Stack) -> dict[int, Snapshot]:
    """Return every snapshot by version."""
    found = [decode_snapshot(record.value()) for record in stack.records("model-snapshots")]
    return {one.version: one for one in found}


def served_risks(stack: Stack) -> dict[str, list[float]]:
    """Return the risks a worker that starts now would read."""
    import msgspec

    rows: dict[str, list[float]] = {}
    for record in stack.records("entity-risk"):
        if record.value() is None:
            rows.pop(record.key().decode(), None)
        else:
            rows[record.key().decode()] = msgspec.msgpack.decode(record.value())
    return rows


class PlainHistory:
    """The examples in each version, as plain lists: what the registry has to come down to.

    Parameters
    ----------
    stack
        Whose registry and training log are read.
    designs
        Of challengers that were promoted, by name. They have learned the whole log.
    """

    def __init__(self, stack: Stack, designs: Mapping[str, ModelDesign] | None = None) -> None:
        self._designs = {STANDARD: ModelDesign(), **(designs or {})}
        self._names = {0: STANDARD}
        log = [
            (record.offset(), decode_training_example(record.value()))
            for record in stack.records("training-examples")
        ]
        # Labels that a kill made come again are published again: a version without the first has neither.
        firsts: dict[tuple[Position, LabelPosition], int] = {}
        for offset, example in log:
            firsts.setdefault((example.source, example.label_position), offset)
        self._log: dict[int, TrainingExample] = {
            offset: example
            for offset, example in log
            if example.released or firsts[example.source, example.label_position] == offset
        }
        self.offsets: dict[int, list[int]] = {0: []}
        self._distrusted: tuple[str, ...] = ()
        reached = {0: -1}
        for entry in entries(stack):
            self.offsets[entry.version] = self._offsets(entry, reached)
            self._names[entry.version] = entry.design
            reached[entry.version] = entry.training_offset
            if isinstance(entry.command, Relearn):
                self._distrusted = entry.command.without

    def _offsets(self, entry: Entry, reached: dict[int, int]) -> list[int]:
        command = entry.command
        if not isinstance(command, Rollback | Relearn):
            fresh = (o for o in self._log if reached[entry.parent] < o <= entry.training_offset)
            return self.offsets[entry.parent] + sorted(
                o for o in fresh if not self._is_of(o, self._distrusted)
            )
        if isinstance(command, Rollback):
            return self.offsets[command.version]
        last = entry.training_offset if command.until is None else command.until
        return [
            offset
            for offset in sorted(self._log)
            if offset <= last and not (offset >= command.since and self._is_of(offset, command.without))
        ]

    def _is_of(self, offset: int, sources: Sequence[str]) -> bool:
        return self._log[offset].labelled_by in sources

    def learner(self, version: int) -> Learner:
        """Return a learner that was given the examples of a version, one after the other."""
        learner = Learner(design=self._designs[self._names[version]])
        for offset in self.offsets[version]:
            learner.learn(self._log[offset], offset)
        return learner


def assert_same_state(published: Snapshot, learner: Learner) -> None:
    """Compare a published snapshot with a learner, to the last bit."""
    again = learner.snapshot(published.created_at)
    assert published.design == again.design
    for field in ("learned", "intercept", "keys", "weights", "squares", "tables", "typical"):
        assert getattr(published, field) == getattr(again, field), f"{field} of version {published.version}"


def explained(stack: Stack, positions: Sequence[str]) -> list[dict[str, Any]]:
    """Return what ``fraudstream explain --json`` says of decisions, whether or not they come out equal."""
    file = stack.directory / "positions"
    file.write_text("\n".join(positions))
    done = stack.run("explain", "--from", str(file), "--json", check=False, timeout=280)
    assert done.returncode in {0, 1}, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
