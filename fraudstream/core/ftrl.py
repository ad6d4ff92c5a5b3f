"""The steps of the model, over plain lists: the sum of some weights, and one step along the gradient.

Keys are plain or leaning. A plain key has one weight, worth 1. A leaning one has two, its own and that of its
twin: the first counts where the plain keys speak against fraud, the second where they speak for it, and in
between both by shares that follow their sum. So what an hour, a place or an amount says may differ between a
suspect and anybody, which a sum of weights cannot tell, at the price of two weights and no further feature.

Apart from the estimator, because these few lines are half of what learning costs, and because they are
compiled where a compiler is at hand.
"""

from math import exp, sqrt
from typing import Final

from fraudstream.core.terms import FIRST_LEANING, TWINS

_TWINS: Final = TWINS
_UNLEANING: Final = FIRST_LEANING

LEAN_FROM: Final = -1.0
LEAN_SPAN: Final = 6.0
"""Of the log odds that plain keys add to the intercept: where the second weight begins to count, and how much
further it counts alone. With the prior's intercept these are odds of 1 to 400 and of 1 to 1; a unit more or
less, or two, scores alike."""


def log_loss_gradient(logit: float, fraud: bool) -> float:
    """Return the derivative of the log loss by the logit, written as River writes it."""
    sign = 1 if fraud else -1
    margin = logit * sign
    if margin > 18.0:
        return exp(-margin) * -sign
    if margin < -18.0:
        return float(-sign)
    return -sign / (exp(margin) + 1.0)


def probability(logit: float) -> float:
    """Return the probability of log odds, without overflow at either end.

    >>> probability(0.0), probability(-1000.0), probability(1000.0)
    (0.5, 0.0, 1.0)
    """
    return 1.0 / (1.0 + exp(-logit)) if logit > -700.0 else 0.0


def lean(plain: float) -> float:
    """Return the share of the second weights of leaning keys, from what all other keys add to the log odds.

    >>> lean(-9.0), lean(-1.0), lean(2.0), lean(5.0), lean(9.0)
    (0.0, 0.0, 0.5, 1.0, 1.0)
    """
    share = (plain - LEAN_FROM) / LEAN_SPAN
    if share <= 0.0:
        return 0.0
    return share if share < 1.0 else 1.0


def weigh(weights: list[float], keys: tuple[int, ...]) -> tuple[float, float, float]:
    """Return what plain keys add up to, in their order, the share that gives, and what leaning keys add."""
    plain = first = second = 0.0
    for key in keys:
        if key >= _UNLEANING and _TWINS[key]:
            first += weights[key]
            second += weights[key + _TWINS[key]]
        else:
            plain += weights[key]
    share = lean(plain)
    return plain, share, (1.0 - share) * first + share * second


def logit_of(weights: list[float], keys: tuple[int, ...]) -> float:
    """Return what some keys add to the log odds."""
    plain, _, leaning = weigh(weights, keys)
    return plain + leaning


def worth(weights: list[float], key: int, share: float) -> float:
    """Return what one key adds to the log odds, at a share as :func:`lean` gives it."""
    apart = _TWINS[key]
    if apart:
        return (1.0 - share) * weights[key] + share * weights[key + apart]
    return weights[key]


def move_weight(  # noqa: PLR0913, PLR0917  plain values, so that compiled they are plain numbers
    weights: list[float], squares: list[float], key: int, gradient: float, alpha: float, beta: float
) -> None:
    """Move one weight down its gradient: one step of FTRL-Proximal without penalties.

    For a gradient *g* that algorithm takes, *n* being the sum of squared gradients,

    | ``n' = n + g**2``
    | ``z' = z + g - (sqrt(n') - sqrt(n)) / alpha * w``
    | ``w' = -alpha * z' / (beta + sqrt(n'))``

    The last line held at the step before: ``z = -w * (beta + sqrt(n)) / alpha``. Put into the second, that
    gives ``z' = g - w * (beta + sqrt(n')) / alpha``, and so ``w' = w - alpha * g / (beta + sqrt(n'))``.

    References
    ----------
    H. B. McMahan et al. 2013, "Ad click prediction: a view from the trenches", algorithm 1.
    """
    square = squares[key] + gradient * gradient
    squares[key] = square
    weights[key] -= alpha * gradient / (beta + sqrt(square))


def learn_step(  # noqa: PLR0913, PLR0917  as above
    weights: list[float],
    squares: list[float],
    keys: tuple[int, ...],
    intercept: float,
    fraud: bool,
    length: float,
    alpha: float,
    beta: float,
) -> float:
    """Learn the label of some keys, which differ; return the gradient of the plain ones.

    Plain keys learn as if there were no others, so that what leaning keys lean on does not lean on them.
    These learn what is left, each twin by its share.
    """
    plain, share, leaning = weigh(weights, keys)
    gradient = log_loss_gradient(plain + intercept, fraud) * length
    left = log_loss_gradient(plain + leaning + intercept, fraud) * length
    for key in keys:
        if key < _UNLEANING or not _TWINS[key]:
            move_weight(weights, squares, key, gradient, alpha, beta)
            continue
        if share < 1.0:
            move_weight(weights, squares, key, left * (1.0 - share), alpha, beta)
        if share:
            move_weight(weights, squares, key + _TWINS[key], left * share, alpha, beta)
    return gradient
