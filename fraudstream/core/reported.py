"""History with labels as people report them: several a transaction, at their own times, some of them wrong.

Like :class:`~fraudstream.core.prequential.OfflinePass` it runs the stream's own code in one process, but
labels take the whole way of the live stream: judged against the label before, made a training example, and
handed to :meth:`Learner.learn <fraudstream.core.learning.Learner.learn>`, which believes their source or not.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import NamedTuple

from fraudstream.core.ftrl import logit_of, probability
from fraudstream.core.labels import TAUGHT, KnownLabel, LabelOutcome, judge_label
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Outcome
from fraudstream.core.messages import (
    Features,
    Label,
    LabelPosition,
    LabelSource,
    LabelValue,
    Position,
    TrainingExample,
    Transaction,
)
from fraudstream.core.prequential import following
from fraudstream.core.scoring import PartitionState, keys_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Report(NamedTuple):
    """What one source says of a transaction, so many seconds after it."""

    delay_seconds: float
    label: LabelValue
    source: LabelSource = LabelSource.ANALYST
    labelled_by: str | None = None


class Scored(NamedTuple):
    """A transaction as its labels will find it, and when it was scored in the pass's time."""

    source: Position
    event_time: datetime
    terminal_id: str | None
    keys: tuple[int, ...]
    look: tuple[float, float, float] | None
    score: float
    at: float


class ReportedPass:
    """Scores transactions in the order given, each after every label reported by then.

    Time is the highest event time so far. Labels due at the same time come in the order they were given.

    ``scored`` is the last transaction scored; ``learner`` and ``serving`` are up to date.

    Parameters
    ----------
    partitions
        Of the source topic played.
    learned
        Called with every example that went to the learner, its offset and what became of it.
    """

    def __init__(
        self, partitions: int = 1, learned: Callable[[TrainingExample, int, Outcome], None] | None = None
    ) -> None:
        self.states = [PartitionState(partitions) for _ in range(partitions)]
        self.offset = -1
        self._learned = learned
        self._waiting: list[tuple[float, int, Report, Scored]] = []
        self._known: dict[Position, KnownLabel] = {}
        self._labels = 0
        self._count = 0
        self.clock = float("-inf")
        self.follow(Learner())

    def follow(self, learner: Learner) -> None:
        """Score and learn with this learner from now on."""
        self.learner = learner
        self.serving = following(learner)
        self.serving.intercept = learner.model.intercept

    def score(self, transaction: Transaction, reports: Sequence[Report], partition: int = 0) -> float:
        """Return the score of one transaction, and have its labels come when they are due."""
        at = transaction.event_time.timestamp()
        self.clock = max(self.clock, at)
        self._hear()
        serving, state = self.serving, self.states[partition]
        observation, history, _ = state.see(transaction, at, serving)
        keys = keys_of(transaction, observation)
        logit = logit_of(serving.weights, keys) + serving.intercept
        score = probability(logit)
        state.fold(transaction, self._count, observation, history)
        look = None
        if observation.amount is not None:
            look = (observation.ratio, observation.relative_amount, observation.spike)
        source = Position(1, partition, self._count)
        self.scored = Scored(
            source, transaction.event_time, transaction.terminal_id, keys, look, score, self.clock
        )
        for report in reports:
            self.report(self.scored, report)
        self._count += 1
        return score

    def report(self, scored: Scored, report: Report) -> None:
        """Have a label of an earlier transaction come when it is due."""
        self._labels += 1
        heappush(self._waiting, (scored.at + report.delay_seconds, self._labels, report, scored))

    def _hear(self) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= self.clock:
            due, number, report, scored = heappop(waiting)
            self._take(_EPOCH + timedelta(seconds=due), LabelPosition(0, number), report, scored)
        self.serving.intercept = self.learner.model.intercept

    def _take(self, at: datetime, position: LabelPosition, report: Report, scored: Scored) -> None:
        label = Label(
            label=report.label, source=report.source, labelled_at=at, labelled_by=report.labelled_by
        )
        known = self._known.get(scored.source)
        outcome = judge_label(label, position, known)
        if outcome not in TAUGHT:
            return
        self._known[scored.source] = KnownLabel(report.label, position, report.source, report.labelled_by)
        replaces = known.label if known is not None and outcome is not LabelOutcome.ACCEPTED else None
        example = TrainingExample(
            source=scored.source,
            label_position=position,
            label=report.label,
            label_source=report.source,
            labelled_at=at,
            event_time=scored.event_time,
            terminal_id=scored.terminal_id,
            keys=scored.keys,
            features=scored.look
            and Features(ratio=scored.look[0], relative_amount=scored.look[1], spike=scored.look[2]),
            score=scored.score,
            model_version=1,
            labelled_by=report.labelled_by,
            replaces=replaces,
        )
        self.offset += 1
        became = self.learner.learn(example, self.offset)
        if self._learned is not None:
            self._learned(example, self.offset, became)
