"""River's classifiers as challengers, and what of them our learner can go on with.

A module of its own: importing River's estimators takes a second, which only those pay who run them.
"""

import math
from datetime import UTC, datetime
from typing import Any

from river import base, linear_model, optim

from fraudstream.core.challengers import ChallengerFailed, NotServable
from fraudstream.core.label_trust import LabelTrust
from fraudstream.core.look_tables import LookTables
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.snapshot import Snapshot
from fraudstream.core.terms import KEYS, TERMS, plain_features
from fraudstream.errors import InvalidInput

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""A challenger's snapshot is a function of its examples, so it carries no moment of its own."""

SEEN_SQUARES = 1.0
"""Squared gradients a weight is taken to have seen where an optimizer does not tell: about what four
surprises leave behind. Much less and the next label would move it far, much more and hardly any would."""


class RiverChallenger:
    """A River classifier: features are a mapping of each plain key to 1, classes ``True`` and ``False``.

    ``True`` is fraud. Its state is never stored, since that would take a pickle: after a restart it learns
    its examples again, which gives the same state if the estimator is a function of them (give it a seed).
    """

    def __init__(self, name: str, estimator: base.Estimator, declared: str = "") -> None:
        self.name = name
        self.declared = declared
        self.offset = -1
        self.trust = LabelTrust()
        if not isinstance(estimator, base.Classifier) and not hasattr(estimator, "predict_proba_one"):
            fault = f"challenger {name}: a {type(estimator).__name__} is no River classifier"
            raise InvalidInput(fault)
        self._estimator: Any = estimator

    def score(self, keys: tuple[int, ...]) -> float:
        """Return its probability of fraud: 0.5 where it gives none yet."""
        try:
            score = float(self._estimator.predict_proba_one(plain_features(keys)).get(True, 0.5))
        except Exception as exc:
            fault = f"challenger {self.name} could not score: {exc!r}"
            raise ChallengerFailed(fault) from exc
        if not math.isfinite(score):
            fault = f"challenger {self.name} scored {score}"
            raise ChallengerFailed(fault)
        return min(max(score, 0.0), 1.0)

    def learn(self, keys: tuple[int, ...], fraud: bool, weight: float = 1.0) -> None:
        """Learn one label, by a whole step: not every estimator knows others."""
        try:
            self._estimator.learn_one(plain_features(keys), fraud)
        except Exception as exc:
            fault = f"challenger {self.name} could not learn: {exc!r}"
            raise ChallengerFailed(fault) from exc

    def snapshot(self) -> Snapshot:
        """Return its weights, where it is a logistic regression over the keys as they are."""
        return exported(self._estimator, self.name, self.offset)


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
        squares = dict(optimizer.n)
        weights = {key: _weight(design, optimizer.z[key], square) for key, square in squares.items()}
    else:
        own = ModelDesign()
        design = ModelDesign(name, own.alpha, own.beta, model.intercept_init, own.intercept_lr)
        weights = {key: weight for key, weight in model.weights.items() if weight}
        squares = dict.fromkeys(weights, SEEN_SQUARES)
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
        weights=tuple(float(weights[key]) for key in keys),
        squares=tuple(float(squares[key]) for key in keys),
        tables=LookTables(),
        typical=(0.0,) * len(TERMS),
        design=design,
    )


def _weight(design: ModelDesign, total: float, squares: float) -> float:
    """Return the weight that River would work out of its sums when the key is learned again."""
    return -design.alpha * total / (design.beta + math.sqrt(squares))
