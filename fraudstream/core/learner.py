"""The model: online logistic regression over keys.

The steps are those of River's ``LogisticRegression(FTRLProximal)`` without penalties, shortened by algebra
(:func:`~fraudstream.core.ftrl.move_weight`) and with lists for tables. So both give the same numbers but for
rounding: scores agree to twelve digits.

One thing differs: River works a weight out when its key is learned *again*, so that its predictions lag one
gradient behind. Here a weight is up to date at once, as River's is after a step of gradient zero.
"""

from typing import Any

from river import base
from river.base.typing import ClfTarget, FeatureName

from fraudstream.core.ftrl import learn_step, log_loss_gradient, logit_of, move_weight, probability
from fraudstream.core.terms import KEYS

PRIOR_LOGIT = -5.0
"""Log odds before anything is learned: a fraud rate of 0.67 %."""


class KeyedFTRL(base.Classifier):
    """Logistic regression by FTRL-Proximal, for sparse features named by integers.

    As a River classifier it takes any mapping of features; integers below ``keys`` index the weights
    directly, and every other name is given a place of its own. :meth:`learn_keys` and :meth:`score_keys`
    are the fast way for the keys of a transaction: plain ones are features worth 1 each, leaning ones and
    their twins worth a share, see :mod:`~fraudstream.core.ftrl`.

    Parameters
    ----------
    alpha
        Learning rate; 0.2 and 0.5 score alike on transactions.
    beta
        Damps the first steps.
    intercept_init
        Log odds before anything is learned.
    intercept_lr
        Learning rate of the intercept, constant.
    keys
        How many integer keys index the weights directly.

    Examples
    --------
    >>> model = KeyedFTRL(keys=10)
    >>> for _ in range(50):
    ...     model.learn_keys((1, 4), fraud=True)
    ...     model.learn_keys((2, 4), fraud=False)
    >>> model.score_keys((1, 4)) > 0.5 > model.score_keys((2, 4))
    True
    >>> round(model.predict_proba_one({3: 1})[True], 4) == round(model.score_keys((3,)), 4)
    True

    References
    ----------
    H. B. McMahan et al. 2013, "Ad click prediction: a view from the trenches", algorithm 1, with neither L1
    nor L2 penalty.
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 1.0,
        intercept_init: float = PRIOR_LOGIT,
        intercept_lr: float = 0.005,
        keys: int = KEYS,
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.intercept_init = intercept_init
        self.intercept_lr = intercept_lr
        self.keys = keys
        self.intercept = intercept_init
        self.weights = [0.0] * keys
        self.squares = [0.0] * keys
        self._places: dict[FeatureName, int] = {}

    def learn_keys(self, keys: tuple[int, ...], fraud: bool, weight: float = 1.0) -> None:
        """Learn one example of a transaction's keys, by a step of a length. Keys must differ."""
        gradient = learn_step(
            self.weights,
            self.squares,
            keys,
            self.intercept,
            fraud,
            weight,
            self.alpha,
            self.beta,
        )
        self.intercept -= self.intercept_lr * gradient

    def logit_keys(self, keys: tuple[int, ...]) -> float:
        """Return the log odds of a transaction's keys."""
        return logit_of(self.weights, keys) + self.intercept

    def score_keys(self, keys: tuple[int, ...]) -> float:
        """Return the estimated probability of fraud for a transaction's keys."""
        return probability(self.logit_keys(keys))

    def learn_one(self, x: dict[FeatureName, Any], y: ClfTarget) -> None:
        """Learn one example of any features, as River does."""
        places = [self._place(name) for name in x]
        values = list(x.values())
        logit = 0.0
        for place, value in zip(places, values, strict=True):
            logit += self.weights[place] * value
        gradient = log_loss_gradient(logit + self.intercept, bool(y))
        self.intercept -= self.intercept_lr * gradient
        for place, value in zip(places, values, strict=True):
            move_weight(self.weights, self.squares, place, value * gradient, self.alpha, self.beta)

    def predict_proba_one(self, x: dict[FeatureName, Any], **_kwargs: Any) -> dict[ClfTarget, float]:
        """Return the probabilities for any features, as River does. Changes nothing."""
        logit = 0.0
        for name, value in x.items():
            place = self._known_place(name)
            if place is not None:
                logit += self.weights[place] * value
        p = probability(logit + self.intercept)
        return {False: 1.0 - p, True: p}

    def _known_place(self, name: FeatureName) -> int | None:
        if type(name) is int and 0 <= name < self.keys:
            return name
        return self._places.get(name)

    def _place(self, name: FeatureName) -> int:
        place = self._known_place(name)
        if place is None:
            place = self._places[name] = len(self.weights)
            for table in (self.weights, self.squares):
                table.append(0.0)
        return place
