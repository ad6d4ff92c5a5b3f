"""Challengers: models that score silently beside the serving one and learn from the same labels."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from fraudstream.core.label_trust import LabelTrust
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Limits, Outcome
from fraudstream.core.messages import Position, TrainingExample
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.snapshot import Snapshot
from fraudstream.errors import FraudstreamError, InvalidInput

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""A challenger's snapshot is a function of its examples, so it carries no moment of its own."""


Tell = Callable[[tuple[int, ...], bool, bool, float], None]
"""Takes keys, whether it is a fraud, whether that corrects an earlier label, and the length of the step."""


class NotServable(InvalidInput):
    """A challenger that cannot be served as data; the message says why."""


class ChallengerFailed(FraudstreamError):
    """Code of a challenger raised an error, or gave what is no score: it takes no further part."""


class Challenger(Protocol):
    """A model that scores keys and learns labels.

    ``name``: what it is known by. ``offset``: of the last training example it has seen, -1 before the first.
    ``declared``: all that was declared of it, in one form; another declaration is another challenger.
    ``trust``: which sources were believed up to its offset, while it catches up.
    """

    name: str
    offset: int
    declared: str
    trust: LabelTrust

    def score(self, keys: tuple[int, ...]) -> float:
        """Return its estimate that a transaction with these keys is fraud, without changing anything.

        Raises
        ------
        ChallengerFailed
            It gives none.
        """
        ...

    def learn(self, keys: tuple[int, ...], fraud: bool, weight: float = 1.0) -> None:
        """Learn one label, by a step of a length.

        Raises
        ------
        ChallengerFailed
            It cannot.
        """
        ...

    def snapshot(self) -> Snapshot:
        """Return what the learner can go on with.

        Raises
        ------
        NotServable
            It has no weights that belong to keys.
        """
        ...


class KeyedChallenger:
    """A model of our own with other constants or fewer terms, or one that has served before."""

    def __init__(self, design: ModelDesign, declared: str = "") -> None:
        self.name = design.name
        self.declared = declared
        self.offset = -1
        self._learner = Learner(remembered_labels=0, design=design)

    @classmethod
    def of(cls, weights: Snapshot, declared: str = "") -> "KeyedChallenger":
        """Return a challenger that goes on from the state of a model."""
        made = cls(weights.design, declared)
        made._learner = Learner.restore(weights, {}, 0)
        made.offset = weights.training_offset
        return made

    @classmethod
    def beginning_with(cls, weights: Snapshot, design: ModelDesign, declared: str = "") -> "KeyedChallenger":
        """Return one with the weights of a model and constants of its own; terms it lacks are left out."""
        kept = design.kept_keys()
        rows = [
            row
            for row in zip(weights.keys, weights.weights, weights.squares, strict=True)
            if kept is None or kept[row[0]]
        ]
        keys, learned, squares = list(zip(*rows, strict=True)) or [(), (), ()]
        begun = msgspec.structs.replace(weights, design=design, keys=keys, weights=learned, squares=squares)
        return cls.of(begun, declared)

    def score(self, keys: tuple[int, ...]) -> float:
        """Score as the serving model does: a left-out term has weight 0, which changes no sum."""
        return self._learner.model.score_keys(keys)

    @property
    def trust(self) -> LabelTrust:
        """Which sources were believed, as its snapshot tells."""
        return self._learner.trust

    @trust.setter
    def trust(self, trust: LabelTrust) -> None:
        self._learner.trust = trust

    def learn(self, keys: tuple[int, ...], fraud: bool, weight: float = 1.0) -> None:
        """Learn one label, by the learner's own code."""
        self._learner.take(keys, fraud, 0.0, None, None, weight=weight)

    def snapshot(self) -> Snapshot:
        """Return weights and constants; look tables and terminal risks are the learner's."""
        self._learner.training_offset = self.offset
        return self._learner.state(_NEVER)


class Hearing(Learner):
    """Hears training examples as the learner does, and tells others what it would learn of each.

    So whatever the learner passes over (repeated labels, old ones, those of sources that are not believed)
    everybody passes over, by the same code.
    """

    def __init__(self, tell: Tell, limits: Limits) -> None:
        super().__init__(limits=limits)
        self._tell = tell

    def learn(self, example: TrainingExample, offset: int) -> Outcome:
        """Hear one example; what is held back and who is quarantined is the learner's to tell."""
        outcome = super().learn(example, offset)
        self._held.clear()
        self._quarantines.clear()
        return outcome

    def take(  # noqa: PLR0913
        self,
        keys: tuple[int, ...],
        fraud: bool,
        at: float,
        look: tuple[float, float] | None,
        terminal_id: str | None,
        *,
        correction: bool = False,
        weight: float = 1.0,
    ) -> None:
        """Tell keys, label, whether it corrects an earlier one, and the length of the step."""
        self._tell(keys, fraud, correction, weight)

    def knows(self, source: Position) -> bool:
        """Tell whether a label of this transaction has been heard, as far back as labels are remembered."""
        return self._labels.get(source) is not None


def catching_up(challenger: Challenger, limits: Limits) -> Hearing:
    """Return a hearing that teaches one challenger from behind the last example it has seen."""
    hearing = Hearing(lambda keys, fraud, _, weight: challenger.learn(keys, fraud, weight), limits)
    hearing.training_offset, hearing.trust = challenger.offset, challenger.trust
    return hearing
