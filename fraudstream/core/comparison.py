"""A challenger against the serving model on the same labelled transactions, paired by day of event time.

Days are the unit because transactions of one day are not independent: one stolen card makes many frauds.
Each day gives one difference of each measure; their mean and its interval (Student's *t*) are what is told
and what the guard goes by. Nothing in it is random.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log, sqrt
from statistics import fmean, stdev

import msgspec

from fraudstream.core.quality import ScoreBins

_T_99 = (
    *(63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169),
    *(3.106, 3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845),
    *(2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750),
)
"""Two-sided 99 % quantiles of Student's t for 1 to 30 degrees of freedom; the last one serves for more."""

CALIBRATION_RATIO = 1.25
"""Frauds predicted over found, or found over predicted, up to which a challenger counts as calibrated."""


class DayPair(msgspec.Struct, array_like=True):
    """Labels of one day of event time by the scores of both models."""

    serving: ScoreBins = msgspec.field(default_factory=ScoreBins.empty)
    challenger: ScoreBins = msgspec.field(default_factory=ScoreBins.empty)

    def note(self, serving: float, challenger: float, *, fraud: bool) -> None:
        """Take one label with both scores."""
        self.serving.note(serving, fraud=fraud, alert=None)
        self.challenger.note(challenger, fraud=fraud, alert=None)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of both models: means over days, and the mean difference with its 99 % interval.

    ``difference`` is challenger minus serving. ``low`` and ``high`` are None with fewer than two days.
    """

    serving: float
    challenger: float
    difference: float
    low: float | None
    high: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What the labels of some days say of a challenger. A measure is None where no day has it.

    ``days``: days since 1970, UTC, in order. ``serving_predicted`` and ``challenger_predicted``: sums of
    scores, to be held against ``frauds``. ``surplus``: frauds a day that the challenger predicts beyond those
    found, in the place of ``challenger``, against those found.
    """

    days: tuple[int, ...]
    labels: int
    frauds: int
    log_loss: Difference | None
    average_precision: Difference | None
    precision_at_budget: Difference | None
    serving_predicted: float
    challenger_predicted: float
    surplus: Difference | None


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """When a challenger is better enough to take over: see :func:`judge`.

    ``days``: newest settled days looked at, and how many there must be. ``margin``: least share of the
    serving model's log loss by which the challenger's has to be lower.
    """

    days: int = 7
    margin: float = 0.01


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the guard asks for, whether it holds, and by which numbers."""

    name: str
    holds: bool
    found: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard says; ``better`` when every condition holds."""

    better: bool
    conditions: tuple[Condition, ...]


def compare(days: Mapping[int, DayPair], budget: int) -> Comparison:
    """Compare two models over days; ``budget`` alerts a day are what precision is taken of."""
    order = sorted(day for day, pair in days.items() if sum(pair.serving.frauds) + sum(pair.serving.genuine))
    pairs = [days[day] for day in order]
    labels = [sum(one.serving.frauds) + sum(one.serving.genuine) for one in pairs]
    measured = [
        (one.serving.measure(min(1.0, budget / n)), one.challenger.measure(min(1.0, budget / n)))
        for one, n in zip(pairs, labels, strict=True)
    ]

    def difference(field: str) -> Difference | None:
        return _difference(
            (getattr(serving, field), getattr(challenger, field)) for serving, challenger in measured
        )

    return Comparison(
        days=tuple(order),
        labels=round(sum(labels)),
        frauds=round(sum(sum(one.serving.frauds) for one in pairs)),
        log_loss=difference("log_loss"),
        average_precision=difference("average_precision"),
        precision_at_budget=difference("precision_at_budget"),
        serving_predicted=sum(sum(one.serving.predicted) for one in pairs),
        challenger_predicted=sum(sum(one.challenger.predicted) for one in pairs),
        surplus=_difference((sum(one.serving.frauds), sum(one.challenger.predicted)) for one in pairs),
    )


def _difference(days: Iterable[tuple[float | None, float | None]]) -> Difference | None:
    known = [(ours, theirs) for ours, theirs in days if ours is not None and theirs is not None]
    if not known:
        return None
    differences = [theirs - ours for ours, theirs in known]
    mean = fmean(differences)
    half = interval(differences)
    return Difference(
        serving=fmean(ours for ours, _ in known),
        challenger=fmean(theirs for _, theirs in known),
        difference=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
    )


def interval(differences: Sequence[float]) -> float | None:
    """Return half the 99 % interval of the mean of paired differences; None for fewer than two.

    Source: Student 1908, "The probable error of a mean".

    >>> round(interval([1.0, 2.0, 3.0, 4.0]), 3)
    3.77
    """
    count = len(differences)
    if count < 2:
        return None
    return _T_99[min(count - 1, len(_T_99)) - 1] * stdev(differences) / sqrt(count)


def judge(days: Mapping[int, DayPair], guard: Guard, budget: int, refusal: str | None = None) -> Verdict:
    """Say whether a challenger has earned to serve.

    It must, over the newest settled days: have lower log loss, by the margin and beyond chance; have average
    precision and precision at the review budget that are not shown to be lower; be calibrated, or no worse
    so than the serving model, or off by no more than days differ; and be servable (``refusal`` says why it is
    not), which also means that it cannot be slower: the scorer adds up as many weights as before, whatever
    they are.
    """
    newest = dict(sorted(days.items())[-guard.days :])
    found = compare(newest, budget)
    conditions = [
        Condition(
            name="servable",
            holds=refusal is None,
            found=refusal or "weights over the keys, so no slower",
        ),
        Condition(
            name="days",
            holds=len(found.days) >= guard.days and found.frauds > 0,
            found=f"{len(found.days)} of {guard.days} days, {found.frauds} frauds",
        ),
        _lower_loss(found.log_loss, guard.margin),
        _not_lower("average precision", found.average_precision),
        _not_lower("precision at budget", found.precision_at_budget),
        _calibrated(found),
    ]
    return Verdict(better=all(one.holds for one in conditions), conditions=tuple(conditions))


def _lower_loss(found: Difference | None, margin: float) -> Condition:
    if found is None or found.high is None:
        return Condition(name="log loss", holds=False, found="too few days")
    wanted = -margin * found.serving
    return Condition(
        name="log loss",
        holds=found.difference <= wanted and found.high < 0.0,
        found=f"{_told(found)}, wanted {wanted:+.6f} or less and an interval below 0",
    )


def _not_lower(name: str, found: Difference | None) -> Condition:
    if found is None or found.high is None:
        return Condition(name=name, holds=False, found="too few days with frauds")
    return Condition(name=name, holds=found.high >= 0.0, found=f"{_told(found)}, wanted not below 0")


def _calibrated(found: Comparison) -> Condition:
    if not found.frauds:
        return Condition(name="calibrated", holds=False, found="no frauds yet")
    ours, theirs = (one / found.frauds for one in (found.serving_predicted, found.challenger_predicted))
    off: Callable[[float], float] = lambda ratio: abs(log(ratio)) if ratio > 0.0 else float("inf")  # noqa: E731
    return Condition(
        name="calibrated",
        holds=off(theirs) <= max(log(CALIBRATION_RATIO), off(ours)) or _holds_zero(found.surplus),
        found=f"{theirs:.3f} frauds predicted for one found, the serving model {ours:.3f}",
    )


def _holds_zero(found: Difference | None) -> bool:
    return (
        found is not None
        and found.low is not None
        and found.high is not None
        and found.low <= 0.0 <= found.high
    )


def _told(found: Difference) -> str:
    return (
        f"{found.challenger:.6f} against {found.serving:.6f}:"
        f" {found.difference:+.6f} ({found.low:+.6f} to {found.high:+.6f})"
    )
