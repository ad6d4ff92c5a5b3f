"""Scores against the truth as curves and bins: what a report draws."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fraudstream.core.evaluation import checked, steps

RELIABILITY_EDGES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Lower edges of score bins: narrow where nearly all transactions are, wide where few."""

_NINETY_FIVE = 1.959963984540054
"""Standard deviations of a 95 % interval."""


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Transactions with scores in [``score_from``, ``score_to``), the last bin including 1.

    ``predicted`` is their mean score, ``observed`` their fraud rate, with a 95 % interval (Wilson's).
    """

    score_from: float
    score_to: float
    transactions: int
    frauds: int
    predicted: float
    observed: float
    observed_low: float
    observed_high: float


def reliability(scores: ArrayLike, frauds: ArrayLike) -> tuple[ReliabilityBin, ...]:
    """Return score and fraud rate side by side in every bin that holds a transaction.

    >>> found = reliability([0.35, 0.4, 0.95], [True, False, True])
    >>> [(b.score_from, b.transactions, b.observed) for b in found]
    [(0.3, 2, 0.5), (0.9, 1, 1.0)]
    """
    s, y = checked(scores, frauds)
    bins = np.searchsorted(RELIABILITY_EDGES, s, "right") - 1
    found = []
    edges = (*RELIABILITY_EDGES, 1.0)
    for at in np.unique(bins).tolist():
        held = bins == at
        count, hits = int(held.sum()), int(y[held].sum())
        low, high = wilson(hits, count)
        found.append(
            ReliabilityBin(
                score_from=edges[at],
                score_to=edges[at + 1],
                transactions=count,
                frauds=hits,
                predicted=float(s[held].mean()),
                observed=hits / count,
                observed_low=low,
                observed_high=high,
            )
        )
    return tuple(found)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate of which ``hits`` in ``count`` were seen.

    Source: E. B. Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> [round(edge, 3) for edge in wilson(0, 10)]
    [0.0, 0.278]
    """
    z = _NINETY_FIVE
    rate = hits / count
    centre = rate + z * z / (2 * count)
    spread = z * float(np.sqrt(rate * (1.0 - rate) / count + z * z / (4 * count * count)))
    scale = 1.0 + z * z / count
    low = (centre - spread) / scale if hits else 0.0
    return low, (centre + spread) / scale if hits < count else 1.0


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Precision and recall if every score of at least ``score`` were an alert."""

    score: float
    precision: float
    recall: float


def precision_recall(scores: ArrayLike, frauds: ArrayLike, points: int = 200) -> tuple[CurvePoint, ...]:
    """Return the precision-recall curve at about so many steps of recall, highest scores first.

    Empty without any fraud.
    """
    s, y = checked(scores, frauds)
    if not y.any():
        return ()
    found, shown = steps(s, y)
    recall = found / found[-1]
    wanted = np.linspace(0.0, 1.0, points)
    at = np.unique(np.append(0, np.searchsorted(recall, wanted[1:], "left")))
    ranked = np.sort(s)[::-1]
    return tuple(
        CurvePoint(
            score=float(ranked[int(shown[i]) - 1]),
            precision=float(found[i] / shown[i]),
            recall=float(recall[i]),
        )
        for i in at.tolist()
    )


class HistogramBin(msgspec.Struct, frozen=True, kw_only=True):
    """Transactions whose log odds lie in [``logit_from``, ``logit_from + 0.5``); the ends hold the rest."""

    logit_from: float
    genuine: int
    fraud: int


def score_histogram(scores: ArrayLike, frauds: ArrayLike) -> tuple[HistogramBin, ...]:
    """Count genuine and fraudulent transactions by the log odds of their score, from -10 to 10."""
    s, y = checked(scores, frauds)
    p = np.clip(s, 1e-12, 1.0 - 1e-12)
    place = np.clip(np.floor((np.log(p) - np.log1p(-p)) * 2.0), -20, 19).astype(np.int64) + 20
    genuine, fraud = np.bincount(place[~y], minlength=40), np.bincount(place[y], minlength=40)
    return tuple(
        HistogramBin(logit_from=at / 2.0 - 10.0, genuine=int(genuine[at]), fraud=int(fraud[at]))
        for at in range(40)
    )


class BudgetPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Precision and recall if the highest scores of each day were alerts, so many a day."""

    alerts_a_day: int
    precision: float | None
    recall: float | None


def within_budgets(
    days: NDArray[np.int64], scores: ArrayLike, frauds: ArrayLike, budgets: Sequence[int]
) -> tuple[BudgetPoint, ...]:
    """Return what the highest scores of each day find, for several numbers of alerts a day.

    Hindsight: nobody knows a day's highest scores before it is over. It bounds what any threshold reaches.

    >>> days = np.array([1, 1, 1, 2, 2])
    >>> [point] = within_budgets(days, [0.9, 0.1, 0.5, 0.2, 0.3], [True, True, False, False, True], [1])
    >>> point.precision, round(point.recall, 3)
    (1.0, 0.667)
    """
    s, y = checked(scores, frauds)
    order = np.lexsort((-s, days))
    at = np.arange(len(s))
    begins = np.append(True, np.diff(days[order]) != 0)
    ranks = at - np.maximum.accumulate(np.where(begins, at, 0)) if len(s) else at
    ranked = y[order]
    total = int(y.sum())
    points = []
    for budget in budgets:
        shown = ranks < budget
        alerts, hits = int(shown.sum()), int(ranked[shown].sum())
        points.append(
            BudgetPoint(
                alerts_a_day=budget,
                precision=hits / alerts if alerts else None,
                recall=hits / total if total else None,
            )
        )
    return tuple(points)
