"""How many alerts people can look at a day, held by a threshold that moves with every transaction.

The threshold follows the quantile of the log odds that so many transactions a day exceed: each alert raises
it by a step, each other transaction lowers it by that step times the share of alerts wanted. It needs no
label, no warm-up and no knowledge of how scores are spread, and it follows the model as that learns.

Source: the stochastic-approximation quantile of H. Robbins and S. Monro 1951, "A stochastic approximation
method", with a constant step, so that it never stops following.
"""

from math import exp, log
from typing import Final, Self

from fraudstream.core.rows import values_from

DAILY_REACH: Final = 20.0
"""Log odds by which one day's budget of alerts can raise the threshold: at 100 alerts each raises it by 0.2.
The share of this that the threshold moves within a day is what that day's alerts miss the budget by."""

LARGEST_STEP: Final = 1.0
"""Log odds one alert raises the threshold by, at most: a small share of a small budget would else leap over
the scores it has to tell apart."""

FARTHEST: Final = 20.0
"""Log odds beyond which no threshold wanders: scores of 0.999999998 and of its opposite."""

COUNT_MEMORY_SECONDS: Final = 7 * 86_400.0
"""Time in which a transaction's weight in the daily count fades to 1/e: every weekday counts alike."""

RECOUNT_SECONDS: Final = 3_600.0
"""How often the daily count is brought up to date, and how long the threshold waits for the first count."""

MOST_HOURS: Final = 4.0
"""Hours the clock moves at one transaction, at most: one wrong event time does little harm."""

_BACKWARDS_SECONDS: Final = 86_400.0
"""Event times so far behind the clock are believed, an hour at a time: the clock once followed a wrong one.
"""

_PRECISION_MEMORY: Final = 200.0
"""Alerts the expected precision looks back on."""


_ROW = tuple[int, float, float, float, float, int, float, float, int]


class ReviewBudget:  # noqa: PLW1641  it changes, so it has no hash
    """The threshold of one partition, and the counts it follows.

    ``applied``: highest source offset folded in, -1 before the first. ``threshold``: in log odds; what
    exceeds it is an alert. ``clock``: event time in seconds; follows each transaction, by whole hours,
    four at most. ``elapsed``: seconds the clock has moved. ``faded``: transactions, fading.
    ``fresh``: transactions since the last count. ``per_day``: transactions a day, 0 while unknown.
    ``precision``: mean score of recent alerts, their expected share of fraud. ``alerts``: all so far.
    """

    __slots__ = (
        "alerts",
        "applied",
        "clock",
        "elapsed",
        "faded",
        "fresh",
        "per_day",
        "precision",
        "threshold",
    )

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        applied: int,
        threshold: float,
        clock: float,
        elapsed: float = 0.0,
        faded: float = 0.0,
        fresh: int = 0,
        per_day: float = 0.0,
        precision: float = 0.0,
        alerts: int = 0,
    ) -> None:
        self.applied = applied
        self.threshold = threshold
        self.clock = clock
        self.elapsed = elapsed
        self.faded = faded
        self.fresh = fresh
        self.per_day = per_day
        self.precision = precision
        self.alerts = alerts

    @classmethod
    def starting_at(cls, score: float) -> Self:
        """Begin with the threshold at a score; before the first hour is counted it can only rise."""
        odds = log(score / (1.0 - score)) if 0.0 < score < 1.0 else FARTHEST if score else -FARTHEST
        return cls(-1, max(-FARTHEST, min(FARTHEST, odds)), float("-inf"))

    def is_exceeded_by(self, score: float) -> bool:
        """Whether a score is an alert: strictly above the threshold, so that equal scores flood nobody."""
        return score > 1.0 / (1.0 + exp(-self.threshold))

    def fold(self, offset: int, at: float, alerted: bool, score: float, budget: float) -> None:
        """Let one transaction move the threshold and the counts.

        Not idempotent: callers compare offset and ``applied`` first.

        Parameters
        ----------
        offset, at, score
            Source offset, event time in seconds since 1970, and score of the transaction.
        alerted
            Whether it became an alert, for its score or for any other cause: both use up the budget.
        budget
            Alerts a day wanted of this partition, above 0.
        """
        self.applied = offset
        self.fresh += 1
        behind = at - self.clock
        if behind >= RECOUNT_SECONDS or behind < -_BACKWARDS_SECONDS:
            self._recount(at, behind)
        step = DAILY_REACH / budget
        step = min(step, LARGEST_STEP)
        per_day = self.per_day
        share = 0.0 if per_day <= 0.0 else budget / per_day if budget < per_day else 1.0
        if alerted:
            self.alerts = alerts = self.alerts + 1
            self.precision += (score - self.precision) / (
                alerts if alerts < _PRECISION_MEMORY else _PRECISION_MEMORY
            )
            threshold = self.threshold + step * (1.0 - share)
            self.threshold = threshold if threshold < FARTHEST else FARTHEST
        else:
            threshold = self.threshold - step * share
            self.threshold = threshold if threshold > -FARTHEST else -FARTHEST

    def _recount(self, at: float, behind: float) -> None:
        if self.clock == float("-inf") or (behind < 0.0 and not self.elapsed):
            self.clock = at
            return
        if behind < 0.0:
            self.clock -= RECOUNT_SECONDS
            return
        hours = min(behind // RECOUNT_SECONDS, MOST_HOURS)
        self.clock += hours * RECOUNT_SECONDS
        self.elapsed += hours * RECOUNT_SECONDS
        self.faded = self.faded * _FADING**hours + self.fresh
        self.fresh = 0
        weight = COUNT_MEMORY_SECONDS * (1.0 - exp(-self.elapsed / COUNT_MEMORY_SECONDS))
        self.per_day = self.faded * 86_400.0 / weight

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReviewBudget) and self.to_row() == other.to_row()

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        return type(self), self.to_row()

    def __repr__(self) -> str:
        return f"ReviewBudget{self.to_row()}"

    def to_row(self) -> tuple[int | float, ...]:
        """Return the fields in order, as plain numbers."""
        return (
            self.applied,
            self.threshold,
            self.clock,
            self.elapsed,
            self.faded,
            self.fresh,
            self.per_day,
            self.precision,
            self.alerts,
        )

    @classmethod
    def from_row(cls, row: object) -> Self:
        """Rebuild what :meth:`to_row` gave; anything else is an ``InvalidMessage``."""
        return cls(*values_from(row, _ROW, cls.__name__))


_FADING = exp(-RECOUNT_SECONDS / COUNT_MEMORY_SECONDS)
