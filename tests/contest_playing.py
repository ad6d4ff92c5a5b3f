"""The stream with challengers in one process: scorer, labels, learner and contest, by the core's own code."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import msgspec

from fraudstream.core.challengers import KeyedChallenger
from fraudstream.core.comparison import Guard
from fraudstream.core.contest import Contest
from fraudstream.core.contest_state import Report
from fraudstream.core.handover import handed_over
from fraudstream.core.labels import example_of
from fraudstream.core.learning import Learner
from fraudstream.core.messages import (
    Classification,
    Label,
    LabelPosition,
    LabelSource,
    LabelValue,
    Position,
    TrainingExample,
    Transaction,
)
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.policy import Policy
from fraudstream.core.registry import Demote, ModelCommand, Promote, command_name
from fraudstream.core.scoring import PartitionState, classify
from fraudstream.core.serving import ServingModel
from fraudstream.core.snapshot import Snapshot, decode_snapshot
from fraudstream.core.weighing import Explainer
from tests.model_building import transaction

DELAY = timedelta(days=2)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def bad_terminals(days: int, a_day: int = 100, seed: int = 1) -> Iterator[Transaction]:
    """Make a stream in which frauds come at three terminals of forty, and amounts tell little."""
    random = Random(seed)
    for number in range(days * a_day):
        terminal = random.randrange(40)
        fraud = random.random() < (0.7 if terminal < 3 else 0.005)
        yield transaction(
            number / a_day,
            transaction_id=f"t-{number}",
            amount_minor=round(random.lognormvariate(8.0 + 0.4 * fraud, 0.6)),
            card_id=f"card-{random.randrange(60)}",
            terminal_id=f"terminal-{terminal}",
            label=LabelValue.FRAUD if fraud else LabelValue.GENUINE,
        )


class PlayedStream:
    """Scores transactions by all that is learned, learns labels two days later, and runs a contest.

    The guard promotes by itself; ``served`` lists who has served, with the day of event time it began, and
    ``commands`` what was obeyed.
    """

    def __init__(self, serving: ModelDesign, *challengers: KeyedChallenger, days: int = 10) -> None:
        self.learner = Learner(design=serving)
        self.serving = ServingModel()
        self.state = PartitionState(1)
        self.contest = Contest(
            Guard(days=days), budget=20, settle_seconds=DELAY.total_seconds(), most_awaited=100_000
        )
        self.contest.state.serving = serving.name
        for challenger in challengers:
            self.contest.join(challenger)
        self.waiting: deque[Classification] = deque()
        self.truths: dict[int, LabelValue] = {}
        self.served: list[tuple[str, int]] = []
        self.commands: list[str] = []
        self.listeners: list[Callable[[TrainingExample, int], object]] = []
        self.reports: list[Report] = []
        self.rows = self.labels = 0
        self._handovers = 0

    def play(
        self,
        transactions: Iterator[Transaction],
        each_day: Callable[[int], None] = lambda day: None,
    ) -> None:
        day = -1
        for one in transactions:
            if one.event_time.toordinal() != day:
                day = one.event_time.toordinal()
                each_day(day)
            self._learn_until(one.event_time)
            self.follow_learner()
            position = Position(1, 0, self.rows)
            made = classify(one, position, one.event_time, self.state, self.serving, Policy())
            self.contest.score(position, made.keys)
            assert one.label is not None
            self.truths[self.rows] = one.label
            self.waiting.append(made)
            self.rows += 1

    def _learn_until(self, now: datetime) -> None:
        while self.waiting and self.waiting[0].event_time + DELAY <= now:
            made = self.waiting.popleft()
            label = Label(
                label=self.truths.pop(made.source.offset),
                source=LabelSource.CHARGEBACK,
                labelled_at=made.event_time + DELAY,
                position=made.source,
            )
            example = example_of(made, label, LabelPosition(0, self.labels), None)
            reports = self.contest.note(example, self.labels)
            self.learner.learn(example, self.labels)
            for listen in self.listeners:
                listen(example, self.labels)
            self.labels += 1
            self.reports += reports
            if leader := self.contest.leader(reports):
                self.promote(leader, now)

    def follow_learner(self) -> None:
        """Serve what the learner knows at every moment: a publication that takes no time."""
        serving, learner = self.serving, self.learner
        if serving.weights is not learner.model.weights:
            serving.weights = learner.model.weights
            serving.explainer = Explainer(serving.weights, learner.typical)
        serving.tables, serving.risk = learner.tables, learner.risks
        serving.intercept = learner.model.intercept
        serving.version = max(1, learner.version)

    def promote(self, name: str, now: datetime) -> None:
        """Do what the learner does when it is told to go on with a challenger."""
        self.obey(self.contest.command(name, now), now)

    def obey(self, command: ModelCommand, now: datetime, go_back_to: Snapshot | None = None) -> None:
        """Do what the learner does: go on with a command's model, or at a rollback with an earlier state."""
        former = self.learner.state(now)
        if isinstance(command, Promote | Demote):
            weights = decode_snapshot(command.snapshot)
        else:
            weights = go_back_to or former
        here = self.learner.training_offset
        self.learner = self.learner.with_model(msgspec.structs.replace(weights, training_offset=here))
        handover = handed_over(command, former, self.learner.snapshot(now))
        self.contest.take_handover(handover, self._handovers, {})
        self._handovers += 1
        self.served.append((handover.serving, now.toordinal()))
        self.commands.append(command_name(command))
        self.follow_learner()
