"""Challengers: models that score silently beside the serving one and learn from the same labels."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from river import base, linear_model, optim

from fraudstream.core.learning import Learner
from fraudstream.core.messages import Position
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.risk import LookTables
from fraudstream.core.snapshot import Snapshot
from fraudstream.core.terms import KEYS, TERMS
from fraudstream.errors import FraudstreamError, InvalidInput

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""A challenger's snapshot is a function of its examples, so it carries no moment of its own."""

SEEN_SQUARES = 1.0
"""Squared gradients a weight is taken to have seen where an optimizer does not tell: about what four
surprises leave behind. Much less and the next label would move it far, much more and hardly any would."""


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


class RiverChallenger:
    """A River classifier. Features are a mapping of each key to 1, classes ``True`` (fraud) and ``False``.

    Its state is never stored, since that would take a pickle: after a restart it learns its examples again,
    which gives the same state if the estimator is a function of them (give it a seed).
    """

    def __init__(self, name: str, estimator: base.Estimator, declared: str = "") -> None:
        self.name = name
        self.declared = declared
        self.offset = -1
        if not isinstance(estimator, base.Classifier) and not hasattr(estimator, "predict_proba_one"):
            fault = f"challenger {name}: a {type(estimator).__name__} is no River classifier"
            raise InvalidInput(fault)
        self._estimator: Any = estimator

    def score(self, keys: Sequence[int]) -> float:
        """Return its probability of fraud: 0.5 where it gives none yet."""
        try:
            score = float(self._estimator.predict_proba_one(dict.fromkeys(keys, 1)).get(True, 0.5))
        except Exception as exc:
            fault = f"challenger {self.name} could not score: {exc!r}"
            raise ChallengerFailed(fault) from exc
        if not math.isfinite(score):
            fault = f"challenger {self.name} scored {score}"
            raise ChallengerFailed(fault)
        return min(max(score, 0.0), 1.0)

    def learn(self, keys: Sequence[int], fraud: bool) -> None:
        """Learn one label."""
        try:
            self._estimator.learn_one(dict.fromkeys(keys, 1), fraud)
        except Exception as exc:
            fault = f"challenger {self.name} could not learn: {exc!r}"
            raise ChallengerFailed(fault) from exc

    def snapshot(self) -> Snapshot:
        """Return its weights, where it is a logistic regression over the keys as they are."""
        return exported(self._estimator, self.name, self.offset)


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


def exported(estimator: base.Estimator, name: str, training_offset: int) -> Snapshot:
    """Return the weights of a River logistic regression as the learner can go on with them.

    With ``FTRLProximal`` without penalties everything goes over: the learner goes on as River would have.
    With another optimizer the weights go over, and are learned from then on by our constants, as if each had
    seen :data:`SEEN_SQUARES`.

    Raises
    ------
    NotServable
        It is no logistic regression, has penalties, or has learned anything but keys.
    """
    if not isinstance(estimator, linear_model.LogisticRegression):
        fault = (
            f"challenger {name} cannot be served: a {type(estimator).__name__} has no weights that belong to"
            " keys, and other people's code is not loaded into scorers; a model of our own"
            " or river.linear_model.LogisticRegression can be promoted"
        )
        raise NotServable(fault)
    model: Any = estimator
    rates = model.intercept_lr
    if not isinstance(rates, optim.schedulers.Constant):
        fault = f"challenger {name} cannot be served: its intercept_lr is not constant"
        raise NotServable(fault)
    optimizer: Any = model.optimizer
    if isinstance(optimizer, optim.FTRLProximal):
        if optimizer.l1 or optimizer.l2 or model.l1 or model.l2:
            fault = f"challenger {name} cannot be served: our learner has no l1 or l2 penalty (set both to 0)"
            raise NotServable(fault)
        design = ModelDesign(name, optimizer.alpha, optimizer.beta, model.intercept_init, rates.learning_rate)
        gradients, squares = dict(optimizer.z), dict(optimizer.n)
    else:
        own = ModelDesign()
        design = ModelDesign(name, own.alpha, own.beta, model.intercept_init, own.intercept_lr)
        scale = (design.beta + SEEN_SQUARES**0.5) / design.alpha
        gradients = {key: -weight * scale for key, weight in model.weights.items() if weight}
        squares = dict.fromkeys(gradients, SEEN_SQUARES)
    learned = [key for key in squares if squares[key]]
    keys = tuple(sorted(key for key in learned if isinstance(key, int) and 0 <= key < KEYS))
    if len(keys) < len(learned):
        fault = f"challenger {name} cannot be served: it has learned features that are no keys"
        raise NotServable(fault)
    return Snapshot(
        version=0,
        training_offset=training_offset,
        created_at=_NEVER,
        learned=0,
        intercept=float(model.intercept),
        keys=keys,
        weights=tuple(_weight(design, gradients[key], squares[key]) for key in keys),
        gradients=tuple(float(gradients[key]) for key in keys),
        squares=tuple(float(squares[key]) for key in keys),
        tables=LookTables(),
        typical=(0.0,) * len(TERMS),
        design=design,
    )


def _weight(design: ModelDesign, gradients: float, squares: float) -> float:
    return float(-(((design.beta + squares**0.5) / design.alpha) ** -1) * gradients)
