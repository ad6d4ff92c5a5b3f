"""How good scores are, once the truth is known."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fraudstream.errors import InvalidInput

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def checked(scores: ArrayLike, frauds: ArrayLike) -> tuple[Floats, Flags]:
    """Return scores and labels as arrays of one length.

    Raises
    ------
    InvalidInput
        They differ in number, or a score is not finite.
    """
    s = np.asarray(scores, np.float64)
    y = np.asarray(frauds, np.bool_)
    if s.ndim != 1 or s.shape != y.shape:
        fault = f"expected as many labels as scores, got {y.shape} and {s.shape}"
        raise InvalidInput(fault)
    if not bool(np.all(np.isfinite(s))):
        fault = "expected finite scores, got others"
        raise InvalidInput(fault)
    return s, y


def average_precision(scores: ArrayLike, frauds: ArrayLike) -> float:
    """Return the area under the precision-recall steps: the mean precision at each fraud found.

    Equal scores are one step. 1 is a perfect ranking, the fraud rate a random one; NaN without any fraud.

    >>> average_precision([0.9, 0.8, 0.1], [True, False, True])
    0.8333333333333333
    """
    s, y = checked(scores, frauds)
    if not y.any():
        return float("nan")
    found, shown = steps(s, y)
    recall = found / found[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * (found / shown)))


def steps(s: Floats, y: Flags) -> tuple[Floats, Floats]:
    """Return frauds found and transactions shown at each distinct score, from the highest down."""
    order = np.argsort(-s, kind="stable")
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    return np.cumsum(y[order], dtype=np.float64)[last], (last + 1).astype(np.float64)


def roc_auc(scores: ArrayLike, frauds: ArrayLike) -> float:
    """Return the probability that a fraud scores higher than a genuine transaction, ties counting half.

    NaN unless both occur.

    >>> roc_auc([0.9, 0.8, 0.1], [True, False, True])
    0.5
    """
    s, y = checked(scores, frauds)
    if y.all() or not y.any():
        return float("nan")
    found, shown = steps(s, y)
    missed = shown - found
    return float(np.trapezoid(np.append(0.0, found / found[-1]), np.append(0.0, missed / missed[-1])))


def log_loss(scores: ArrayLike, frauds: ArrayLike) -> float:
    """Return the mean negative log likelihood in nats; NaN for nothing.

    Scores are kept 1e-15 away from 0 and 1, so that one certain mistake does not count for ever.
    """
    s, y = checked(scores, frauds)
    if not len(s):
        return float("nan")
    p = np.clip(s, 1e-15, 1.0 - 1e-15)
    return float(-np.mean(np.where(y, np.log(p), np.log1p(-p))))


def expected_calibration_error(scores: ArrayLike, frauds: ArrayLike, bins: int = 10) -> float:
    """Return how far scores and fraud rates lie apart, over equally wide bins of the score.

    Each bin's gap counts by its number of transactions. NaN for nothing.
    """
    s, y = checked(scores, frauds)
    if not len(s):
        return float("nan")
    place = np.minimum((s * bins).astype(np.int64), bins - 1)
    gaps = np.abs(np.bincount(place, s, bins) - np.bincount(place, y, bins))
    return float(gaps.sum() / len(s))


def card_precision(
    days: Sequence[int] | NDArray[np.int64],
    cards: Sequence[object],
    scores: ArrayLike,
    frauds: ArrayLike,
    top: int = 100,
) -> Floats:
    """Return for each day the share of truly defrauded cards among the ``top`` cards of that day.

    A card's score is its highest of the day, ties going to the card seen first; it is defrauded if any of
    its transactions that day is. A defrauded card that was in the top of a day is found, and left out of
    later days.

    Source: Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection", chapter 4.

    Parameters
    ----------
    days, cards, scores, frauds
        One entry a transaction, days in rising order.
    """
    s, y = checked(scores, frauds)
    found: set[object] = set()
    shares = []
    numbers = np.asarray(days)
    edges = np.flatnonzero(np.diff(numbers)) + 1
    for part in np.split(np.arange(len(s)), edges):
        best: dict[object, list[float]] = {}
        for i in part.tolist():
            card = cards[i]
            if card in found:
                continue
            entry = best.get(card)
            if entry is None:
                best[card] = [s[i], y[i]]
            else:
                entry[0] = max(entry[0], s[i])
                entry[1] = max(entry[1], y[i])
        ranked = sorted(best, key=lambda card: -best[card][0])[:top]
        hits = [card for card in ranked if best[card][1]]
        shares.append(len(hits) / top)
        found.update(hits)
    return np.array(shares)


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How good the scores of some transactions are."""

    transactions: int
    frauds: int
    average_precision: float
    roc_auc: float
    log_loss: float
    calibration_error: float


def evaluate(scores: ArrayLike, frauds: ArrayLike) -> Evaluation:
    """Return every measure that needs only scores and truth.

    Raises
    ------
    InvalidInput
        Scores and labels differ in number, or a score is not finite.
    """
    s, y = checked(scores, frauds)
    return Evaluation(
        transactions=len(s),
        frauds=int(y.sum()),
        average_precision=average_precision(s, y),
        roc_auc=roc_auc(s, y),
        log_loss=log_loss(s, y),
        calibration_error=expected_calibration_error(s, y),
    )
