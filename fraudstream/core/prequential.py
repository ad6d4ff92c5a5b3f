"""The whole stream in one process, one pass: score each transaction, then learn its label once that is due.

It runs the stream's own code, so it measures what the stream does with a learner that needs no time. It is
the base of every backtest.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Self

from fraudstream.core.ftrl import logit_of, probability
from fraudstream.core.label_delay import KnownLabel, LabelDelay, Watcher
from fraudstream.core.learning import Learner
from fraudstream.core.messages import Classification, LabelValue, Position, Transaction
from fraudstream.core.policy import Policy
from fraudstream.core.reasons import reasons
from fraudstream.core.scoring import PartitionState, classify, keys_of
from fraudstream.core.serving import ServingModel
from fraudstream.core.weighing import Explainer

_FRAUD: Final = LabelValue.FRAUD

_EXPLAINER_LASTS: Final = 1000
"""Labels learned before reasons take the newer typical weights: about what the stream learns between two
snapshots."""


class _Pending:
    __slots__ = (
        "at",
        "due",
        "fraud",
        "has_look",
        "keys",
        "numbers",
        "terminal_id",
    )

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        due: float,
        keys: tuple[int, ...],
        fraud: bool,
        at: float,
        look: tuple[float, float] | None,
        terminal_id: str | None,
    ) -> None:
        self.due = due
        self.keys = keys
        self.fraud = fraud
        self.at = at
        # Some hundred thousand wait: two numbers in place are a third of the room of a tuple of two.
        self.has_look = look is not None
        self.numbers = look or (0.0, 0.0)
        self.terminal_id = terminal_id

    @property
    def look(self) -> tuple[float, float] | None:
        return self.numbers if self.has_look else None

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        return type(self), (self.due, self.keys, self.fraud, self.at, self.look, self.terminal_id)


class OfflinePass:
    """Scores transactions in the order given, each before its label and by all labels due before it.

    Time is the highest event time so far: a transaction that comes late is scored when it comes, and its
    label waits from then. A label due at the very time of a transaction is learned before it. Transactions
    without ``label`` are scored and never learned.

    Parameters
    ----------
    delay
        How long labels take.
    partitions
        Of the source topic played: each has histories and means of its own.
    watcher
        Who follows the calls of :meth:`score`, if anybody.
    """

    def __init__(
        self,
        delay: LabelDelay = LabelDelay(),  # noqa: B008  frozen
        partitions: int = 1,
        watcher: Watcher | None = None,
    ) -> None:
        self.learner = Learner()
        self.states = [PartitionState(partitions) for _ in range(partitions)]
        self.serving = following(self.learner)
        self._seconds = delay.seconds
        self._batch_seconds = delay.batch_seconds
        self._by_count = delay.transactions is not None
        self._transactions = delay.transactions or 0
        self._pending: deque[_Pending] = deque()
        self._said: list[tuple[float, int, int, _Pending]] = []
        self._clock = float("-inf")
        self._count = 0
        self._next_due = float("inf")
        self._explained = 0
        self._watcher = watcher

    def score(
        self, transaction: Transaction, partition: int = 0, known: Sequence[KnownLabel] | None = None
    ) -> float:
        """Return the score of one transaction, without reasons or decision: the fastest way.

        ``known``: what becomes known of it and when, the earliest first, each the opposite of the one
        before, instead of its own label after the delay. The first is learned, the others correct it.
        """
        at = transaction.event_time.timestamp()
        self._advance(at)
        serving = self.serving
        state = self.states[partition]
        observation, history, risk = state.see(transaction, at, serving)
        keys = keys_of(transaction, observation)
        score = probability(logit_of(serving.weights, keys) + serving.intercept)
        watcher = self._watcher
        if watcher is not None and watcher.scored(transaction, at, keys, score):
            self._renew_explainer()
            parts = self.serving.explainer.weigh(keys)[1]
            watcher.explained(transaction, reasons(parts, transaction, observation, history, risk))
        state.fold(transaction, self._count, observation, history)
        label = transaction.label
        if known is None and label is not None:
            look = None if observation.amount is None else (observation.ratio, observation.relative_amount)
            self._await(_Pending(0.0, keys, label is _FRAUD, at, look, transaction.terminal_id))
        elif known:
            look = None if observation.amount is None else (observation.ratio, observation.relative_amount)
            for number, (due, fraud) in enumerate(known):
                pending = _Pending(due, keys, fraud, at, look, transaction.terminal_id)
                heapq.heappush(self._said, (due, self._count, number, pending))
            self._next_due = min(self._next_due, known[0].at)
        return score

    def classify(self, transaction: Transaction, policy: Policy, partition: int = 0) -> Classification:
        """Return the classification that the stream would have published at the transaction's time."""
        at = transaction.event_time.timestamp()
        self._advance(at)
        self._renew_explainer()
        position = Position(1, partition, self._count)
        made = classify(
            transaction, position, transaction.event_time, self.states[partition], self.serving, policy
        )
        if transaction.label is not None:
            look = None if made.features is None else (made.features.ratio, made.features.relative_amount)
            fraud = transaction.label is _FRAUD
            self._await(_Pending(0.0, made.keys, fraud, at, look, transaction.terminal_id))
        return made

    def __getstate__(self) -> tuple[Any, ...]:
        return (
            (self.learner, self.states, self.serving, self._pending),
            (self._seconds, self._batch_seconds, self._by_count, self._transactions),
            (self._said, self._clock, self._count, self._next_due, self._explained, self._watcher),
        )

    def __setstate__(self, kept: tuple[Any, ...]) -> None:
        (self.learner, self.states, self.serving, self._pending) = kept[0]
        (self._seconds, self._batch_seconds, self._by_count, self._transactions) = kept[1]
        (self._said, self._clock, self._count, self._next_due, self._explained, self._watcher) = kept[2]

    def keys_of_last(self) -> tuple[int, ...]:
        """Return the keys of the last transaction that waits for its label; empty when none does."""
        return self._pending[-1].keys if self._pending else ()

    def _renew_explainer(self) -> None:
        if self.learner.learned >= self._explained + _EXPLAINER_LASTS:
            self._explained = self.learner.learned
            self.serving.explainer = Explainer(self.serving.weights, self.learner.typical)

    def _await(self, pending: _Pending) -> None:
        if self._by_count:
            pending.due = float(self._count + self._transactions)
        else:
            pending.due = self._clock + self._seconds
            if self._batch_seconds:
                pending.due = -(-pending.due // self._batch_seconds) * self._batch_seconds
        if not self._pending:
            self._next_due = pending.due
        self._pending.append(pending)

    def _advance(self, at: float) -> None:
        """Move time to the next transaction and learn every label due by then."""
        self._count += 1
        self._clock = max(self._clock, at)
        now = float(self._count) if self._by_count else self._clock
        if now < self._next_due:
            return
        pending = self._pending
        learner = self.learner
        watcher = self._watcher
        while pending and pending[0].due <= now:
            due = pending.popleft()
            learner.take(due.keys, due.fraud, due.at, due.look, due.terminal_id)
            if watcher is not None:
                watcher.learned(due.keys, due.fraud)
        self._next_due = pending[0].due if pending else float("inf")
        said = self._said
        while said and said[0][0] <= self._clock:
            _, _, number, due = heapq.heappop(said)
            learner.take(due.keys, due.fraud, due.at, due.look, due.terminal_id, correction=number > 0)
            if watcher is not None:
                watcher.learned(due.keys, due.fraud)
        if said:
            self._next_due = min(self._next_due, said[0][0])
        serving = self.serving
        serving.intercept = learner.model.intercept
        serving.version = 1
        serving.training_offset = learner.learned - 1


def following(learner: Learner) -> ServingModel:
    """Return a serving model that shares the learner's tables, and so follows it without snapshots."""
    serving = ServingModel()
    serving.weights = learner.model.weights
    serving.explainer = Explainer(serving.weights, learner.typical)
    serving.tables = learner.tables
    serving.risk = learner.risks
    return serving


def offline_pass(
    transactions: Iterable[tuple[Transaction, int]],
    delay: LabelDelay = LabelDelay(),  # noqa: B008  frozen
    partitions: int = 1,
) -> Iterator[tuple[Transaction, float]]:
    """Yield each transaction with its score, given transactions with their partitions in order of arrival."""
    run = OfflinePass(delay, partitions)
    for transaction, partition in transactions:
        yield transaction, run.score(transaction, partition)
