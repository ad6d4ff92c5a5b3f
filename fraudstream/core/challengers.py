"""Challengers: models that score silently beside the serving one and learn from the same labels."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from fraudstream.core.learning import Learner
from fraudstream.core.messages import Position
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.snapshot import Snapshot
from fraudstream.errors import FraudstreamError, InvalidInput

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""A challenger's snapshot is a function of its examples, so it carries no moment of its own."""


class NotServable(InvalidInput):
    """A challenger that cannot be served as data; the message says why."""


class ChallengerFailed(FraudstreamError):
    """Code of a challenger raised an error, or gave what is no score: it takes no further part."""


class Challenger(Protocol):
    """A model that scores keys and learns labels.

    ``name``: what it is known by. ``offset``: of the last training example it has seen, -1 before the first.
    ``declared``: all that was declared of it, in one form; another declaration is another challenger.
    """

    name: str
    offset: int
    declared: str

    def score(self, keys: Sequence[int]) -> float:
        """Return its estimate that a transaction with these keys is fraud, without changing anything.

        Raises
        ------
        ChallengerFailed
            It gives none.
        """
        ...

    def learn(self, keys: Sequence[int], fraud: bool) -> None:
        """Learn one label.

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
            (key, weight, -weight * (design.beta + square**0.5) / design.alpha, square)
            for key, weight, square in zip(weights.keys, weights.weights, weights.squares, strict=True)
            if kept is None or kept[key]
        ]
        columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
        keys, learned, gradients, squares = columns
        begun = msgspec.structs.replace(
            weights, design=design, keys=keys, weights=learned, gradients=gradients, squares=squares
        )
        return cls.of(begun, declared)

    def score(self, keys: Sequence[int]) -> float:
        """Score as the serving model does: a left-out term has weight 0, which changes no sum."""
        return self._learner.model.score_keys(keys)

    def learn(self, keys: Sequence[int], fraud: bool) -> None:
        """Learn one label, by the learner's own code."""
        self._learner.take(keys, fraud, 0.0, None, None)

    def snapshot(self) -> Snapshot:
        """Return weights and constants; look tables and terminal risks are the learner's."""
        self._learner.training_offset = self.offset
        return self._learner.state(_NEVER)


class Hearing(Learner):
    """Hears training examples as the learner does, and tells others what it would learn of each.

    So whatever the learner passes over (repeated labels, old ones) everybody passes over, by the same code.
    """

    def __init__(self, tell: Callable[[Sequence[int], bool, bool], None]) -> None:
        super().__init__()
        self._tell = tell

    def take(  # noqa: PLR0913
        self,
        keys: Sequence[int],
        fraud: bool,
        at: float,
        look: tuple[float, float] | None,
        terminal_id: str | None,
        *,
        correction: bool = False,
    ) -> None:
        """Tell keys, label and whether it corrects an earlier one."""
        self._tell(keys, fraud, correction)

    def knows(self, source: Position) -> bool:
        """Tell whether a label of this transaction has been heard, as far back as labels are remembered."""
        return source in self._labels


def catching_up(challenger: Challenger) -> Hearing:
    """Return a hearing that teaches one challenger from behind the last example it has seen."""
    hearing = Hearing(lambda keys, fraud, _: challenger.learn(keys, fraud))
    hearing.training_offset = challenger.offset
    return hearing
