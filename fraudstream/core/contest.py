"""All challengers of one installation: what they score, learn and are compared by.

Scores are given when a classification is read, labels are learned when their training example is read. The
score that a label is compared by was therefore given before the label was learned, by whatever state the
challenger had then; it is remembered until the label comes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from fraudstream.core.awaited_scores import AwaitedScores
from fraudstream.core.challengers import Challenger, ChallengerFailed, Hearing, KeyedChallenger, NotServable
from fraudstream.core.comparison import DayPair, Guard, compare, judge
from fraudstream.core.contest_state import ContestState, Kept, Report, ask
from fraudstream.core.handover import Handover
from fraudstream.core.label_trust import LabelTrust
from fraudstream.core.learning_outcomes import Limits, Outcome
from fraudstream.core.messages import LabelValue, Position, TrainingExample
from fraudstream.core.registry import Demote, Promote
from fraudstream.core.snapshot import Snapshot, decode_snapshot, encode_snapshot
from fraudstream.core.terms import KEYS
from fraudstream.core.watching import follow, moment

MOST_DAYS = 35
"""Days of event time whose comparison is kept, a challenger: five weeks, at 8 KB a day."""

_DAY = 86_400.0


class Contest:
    """The challengers beside a serving model. Everything follows from the records given, in their order.

    Parameters
    ----------
    guard, budget
        What :func:`~fraudstream.core.comparison.judge` goes by.
    settle_seconds
        After this long beyond a day's end its labels are taken to be complete.
    most_awaited
        Transactions whose scores are remembered until their label comes, about.
    limits
        The learner's.

    Attributes
    ----------
    failed
        What was wrong with challengers that take no further part, by name.
    """

    def __init__(
        self,
        guard: Guard,
        budget: int,
        settle_seconds: float,
        most_awaited: int,
        limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> None:
        self.guard = guard
        self.budget = budget
        self.state = ContestState()
        self.challengers: dict[str, Challenger] = {}
        self.awaited = AwaitedScores(most_awaited)
        self.hearing = Hearing(self._hear, limits)
        self._settle_seconds = settle_seconds
        self.failed: dict[str, str] = {}
        self._behind: set[str] = set()
        self._example: TrainingExample | None = None
        self._offset = -1

    def join(self, challenger: Challenger) -> None:
        """Take in a challenger; it waits aside until it has learned what the others have."""
        self.challengers[challenger.name] = challenger
        self._behind.add(challenger.name)
        self.admit(challenger)

    def admit(self, challenger: Challenger) -> bool:
        """Let a challenger take part once it has caught up; return whether it has."""
        if challenger.offset >= self.state.offset:
            self._behind.discard(challenger.name)
        return challenger.name not in self._behind

    def leave(self, name: str) -> None:
        """Forget a challenger."""
        self.challengers.pop(name, None)
        self._behind.discard(name)
        self.forget(name)

    def forget(self, name: str) -> None:
        """Forget what is known of a challenger that is declared anew."""
        self.state.days.pop(name, None)
        self.state.began.pop(name, None)
        self.awaited.forget(name)

    def fail(self, name: str, error: ChallengerFailed) -> None:
        """Let a challenger go whose code does not work."""
        self.leave(name)
        self.failed[name] = str(error)

    def behind(self) -> list[Challenger]:
        """Return the challengers that still have to learn older examples."""
        return [self.challengers[name] for name in sorted(self._behind)]

    def score(self, source: Position, keys: tuple[int, ...]) -> None:
        """Let every challenger score a transaction whose label is not known yet; none knows of the others."""
        if self.hearing.knows(source):
            return
        if keys and max(keys) >= KEYS:
            # A worker of newer code scored it, by terms appended to those known here.
            keys = tuple(key for key in keys if key < KEYS)
        scores = {}
        for challenger in self._present():
            if challenger.offset <= self.state.offset:
                try:
                    scores[challenger.name] = challenger.score(keys)
                except ChallengerFailed as error:
                    self.fail(challenger.name, error)
        if scores:
            self.awaited.put(source, scores)

    def note(self, example: TrainingExample, offset: int) -> list[Report]:
        """Compare by a label, then learn it; return a report of each challenger for a day that settles.

        Idempotent: an offset heard before changes nothing.
        """
        state = self.state
        if offset <= state.offset:
            return []
        self._example, self._offset = example, offset
        outcome = self.hearing.learn(example, offset)
        state.offset = offset
        for challenger in self._present():
            challenger.offset = max(challenger.offset, offset)
        if outcome is Outcome.REPLAYED:
            return []
        labelled_at = example.labelled_at.timestamp()
        state.clock = follow(state.clock, labelled_at, _DAY)
        settled = int((state.clock - self._settle_seconds) // _DAY) - 1
        if settled <= state.settled:
            return []
        state.settled = settled
        return [
            self.report(name)
            for name in sorted(self.challengers)
            if name not in self._behind and self.settled_days(name)
        ]

    def _present(self) -> list[Challenger]:
        return [one for name, one in self.challengers.items() if name not in self._behind]

    def _hear(self, keys: tuple[int, ...], fraud: bool, correction: bool, weight: float) -> None:
        example = self._example
        if example is not None and not correction and example.model_version >= self.state.since:
            self._compare(example)
        for challenger in self._present():
            if challenger.offset < self._offset:
                try:
                    challenger.learn(keys, fraud, weight)
                except ChallengerFailed as error:
                    self.fail(challenger.name, error)

    def _compare(self, example: TrainingExample) -> None:
        state = self.state
        day = int(example.event_time.timestamp() // _DAY)
        fraud = example.label is LabelValue.FRAUD
        for name, score in self.awaited.of(example.source).items():
            if name not in self.challengers:
                continue
            began = state.began.setdefault(name, day)
            days = state.days.setdefault(name, {})
            if day <= began:
                continue
            pair = days.get(day)
            if pair is None:
                if len(days) >= MOST_DAYS:
                    if day < min(days):
                        continue
                    del days[min(days)]
                pair = days[day] = DayPair()
            pair.note(example.score, score, fraud=fraud)

    def settled_days(self, name: str) -> dict[int, DayPair]:
        """Return the comparisons of whole days whose labels are taken to be complete."""
        return {day: pair for day, pair in self.state.days.get(name, {}).items() if day <= self.state.settled}

    def report(self, name: str) -> Report:
        """Return how a challenger stands by the settled days the guard looks at."""
        days = dict(sorted(self.settled_days(name).items())[-self.guard.days :])
        return Report(
            challenger=name,
            serving=self.state.serving,
            day=moment(max(days, default=0) * _DAY),
            told_at=moment(max(self.state.clock, 0.0)),
            comparison=compare(days, self.budget),
            verdict=judge(days, self.guard, self.budget, self.refusal(name)),
        )

    def refusal(self, name: str) -> str | None:
        """Return why a challenger cannot serve; None if it can."""
        return found if isinstance(found := self._servable(name), str) else None

    def _servable(self, name: str) -> Snapshot | str:
        try:
            return self._snapshot(name)
        except NotServable as error:
            return str(error)

    def _snapshot(self, name: str) -> Snapshot:
        found = self.challengers[name].snapshot()
        if name in self._behind:
            return found
        return msgspec.structs.replace(found, trust=self.hearing.trust.to_bytes())

    def stored_state(self) -> ContestState:
        """Return the state, complete with what is kept elsewhere while the contest runs."""
        return msgspec.structs.replace(self.state, trust=self.hearing.trust.to_bytes())

    def restore(self, state: ContestState) -> None:
        """Go on from a stored state."""
        self.state = state
        self.hearing.training_offset = state.offset
        self.hearing.trust = LabelTrust.from_bytes(state.trust)

    def kept(self) -> list[Kept]:
        """Return what each challenger goes on from after a restart."""
        found = {name: self._servable(name) for name in self.challengers}
        return [
            Kept(
                name=name,
                declared=challenger.declared,
                offset=challenger.offset,
                behind=name in self._behind,
                restorable=isinstance(challenger, KeyedChallenger),
                snapshot=None if isinstance(found[name], str) else encode_snapshot(found[name]),  # type: ignore[arg-type] # no text
                refusal=found[name] if isinstance(found[name], str) else None,  # type: ignore[arg-type] # text
            )
            for name, challenger in self.challengers.items()
        ]

    def leader(self, reports: Sequence[Report]) -> str | None:
        """Return the challenger that should take over by these reports: of several the one of lowest loss.

        None while an earlier command of the guard waits for its answer. One that a person has taken back
        does not take over by itself.
        """
        if self.state.asked:
            return None
        better = [
            one
            for one in reports
            if one.verdict.better
            and one.comparison.log_loss is not None
            and one.challenger not in self.state.taken_back
        ]
        better.sort(key=lambda one: (one.comparison.log_loss.difference, one.challenger))  # type: ignore[union-attr] # filtered above
        return better[0].challenger if better else None

    def command(self, name: str, now: datetime) -> Promote | Demote:
        """Return the guard's command to let a challenger take over; it waits for the answer to that."""
        return ask(self.state, self._snapshot(name), self.guard.days, now)

    def take_handover(self, handover: Handover, offset: int, declared: Mapping[str, str]) -> None:
        """Follow a command that was obeyed: comparisons begin anew, and who served is a challenger now.

        Comparisons begin anew after a rollback or relearning too: another state serves, if of the same name.
        ``declared``: declarations by name. Idempotent by offset.

        Raises
        ------
        InvalidSnapshot
            What the learner says has served before is no model.
        """
        state = self.state
        if offset <= state.handover:
            return
        state.handover = offset
        by_guard = handover.id == state.asked
        if by_guard:
            state.asked = ""
        if handover.refusal:
            return
        for name in list(self.challengers):
            state.days.pop(name, None)
            state.began.pop(name, None)
        state.serving, state.since = handover.serving, handover.version
        self.hearing.trust.keep_quarantines(LabelTrust.from_bytes(handover.trust))
        if not handover.former:
            return
        self.leave(handover.serving)
        self.leave(handover.former)
        both = {handover.serving, handover.former}
        state.before = [*(name for name in state.before if name not in both), handover.former]
        state.taken_back = [name for name in state.taken_back if name not in both]
        state.replaced = handover.former if handover.is_promotion else ""
        if not (handover.is_promotion or by_guard):
            state.taken_back.append(handover.former)
        former = decode_snapshot(handover.former_snapshot)
        self.join(KeyedChallenger.of(former, declared.get(former.design.name, "")))
