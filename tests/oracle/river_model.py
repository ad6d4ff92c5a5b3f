"""The model put together from River's parts: its regression for plain keys, its optimizer for the rest."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any

from river import linear_model, optim

from fraudstream.core.terms import TWINS

ALPHA, BETA = 0.3, 1.0


def river_ftrl() -> optim.base.Optimizer:
    """Return River's own optimizer."""
    return optim.FTRLProximal(alpha=ALPHA, beta=BETA, l1=0.0, l2=0.0)


class ShortFTRL(optim.base.Optimizer):
    """The same steps in exact arithmetic, written without the sum ``z``: what is left differs by rounding."""

    def __init__(self) -> None:
        super().__init__(ALPHA)
        self.squares: defaultdict[Any, float] = defaultdict(float)

    def _step_with_dict(self, w: Any, g: Any) -> Any:
        for key, gradient in g.items():
            self.squares[key] += gradient * gradient
            w[key] = w.get(key, 0.0) - ALPHA * gradient / (BETA + sqrt(self.squares[key]))
        return w


class RiverModel:
    """Scores and learns with River's own code, each weight brought up to date by a step of gradient zero.

    River's FTRL works a weight out when its key is learned again; a step of gradient zero does it now.
    """

    def __init__(self, optimizer: Callable[[], optim.base.Optimizer] = river_ftrl) -> None:
        self.model: Any = linear_model.LogisticRegression(
            optimizer(), intercept_init=-5.0, intercept_lr=0.005
        )
        self.rest = optimizer()
        self.leaning: dict[int, float] = {}

    def _seen(self, keys: Sequence[int]) -> tuple[dict[int, int], dict[int, float], float]:
        """Return what the regression is given, what each leaning weight is worth, and the log odds."""
        plain = {key: 1 for key in keys if not TWINS[key]}
        told = 0.0
        for key in plain:
            told += self.model.weights.get(key, 0.0)
        share = min(max((told + 1.0) / 6.0, 0.0), 1.0)
        first = {key: 1.0 - share for key in keys if TWINS[key]}
        second = {key + TWINS[key]: share for key in keys if TWINS[key]}
        sums = [sum(self.leaning.get(key, 0.0) for key in some) for some in (first, second)]
        logit = told + ((1.0 - share) * sums[0] + share * sums[1]) + self.model.intercept
        return plain, first | second, logit

    def score(self, keys: Sequence[int]) -> float:
        """Return the probability of fraud."""
        return float(optim.losses.Log().mean_func(self._seen(keys)[2]))

    def learn(self, keys: Sequence[int], fraud: bool) -> None:
        """Learn a label: the regression as if it were alone, the rest what it leaves."""
        plain, values, logit = self._seen(keys)
        gradient = optim.losses.Log().gradient(fraud, logit)
        self.model.learn_one(plain, fraud)
        self.model.optimizer.step(self.model._weights, dict.fromkeys(plain, 0.0))
        steps = {key: gradient * value for key, value in values.items() if value}
        self.leaning |= dict.fromkeys(steps.keys() - self.leaning.keys(), 0.0)
        self.rest.step(self.leaning, steps)
        self.rest.step(self.leaning, dict.fromkeys(steps, 0.0))
