"""The steps of the model, over plain lists: the sum of some weights, and one step along the gradient.

Apart from the estimator, because these few lines are half of what learning costs, and because they are
compiled where a compiler is at hand.
"""

from collections.abc import Sequence
from math import exp
from math import pow as power


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


def logit_of(weights: list[float], keys: Sequence[int]) -> float:
    """Return the sum of the weights of some keys, added up in their order."""
    logit = 0.0
    for key in keys:
        logit += weights[key]
    return logit


def learn_step(  # noqa: PLR0913, PLR0917  plain values, so that compiled they are plain numbers
    weights: list[float],
    gradients: list[float],
    squares: list[float],
    keys: Sequence[int],
    gradient: float,
    alpha: float,
    beta: float,
) -> None:
    """Move the weights of keys that are each worth 1, and differ, along one gradient.

    ``pow`` for roots and reciprocals, as River has it: ``sqrt`` and a division are nearer by a last bit in
    one of a thousand.
    """
    squared = power(gradient, 2.0)
    for key in keys:
        square = squares[key]
        newer = square + squared
        squares[key] = newer
        root = power(newer, 0.5)
        total = gradients[key] + (gradient - (root - power(square, 0.5)) / alpha * weights[key])
        gradients[key] = total
        if total:
            weights[key] = -power((beta + root) / alpha, -1.0) * total
