"""How many alerts people can look at a day, held by a threshold that moves with every transaction.

The threshold follows the quantile of the log odds that so many transactions a day exceed: each alert raises
it by a step, each other transaction lowers it by that step times the share of alerts wanted. It needs no
label, no warm-up and no knowledge of how scores are spread, and it follows the model as that learns.

Source: the stochastic-approximation quantile of H. Robbins and S. Monro 1951, "A stochastic approximation
method", with a constant step, so that it never stops following.
"""

from math import exp, log

import msgspec

from fraudstream.core.rows import struct_from

DAILY_REACH = 20.0
"""Log odds by which one day's budget of alerts can raise the threshold: at 100 alerts each raises it by 0.2.
The share of this that the threshold moves within a day is what that day's alerts miss the budget by."""

LARGEST_STEP = 1.0
"""Log odds one alert raises the threshold by, at most: a small share of a small budget would else leap over
the scores it has to tell apart."""

FARTHEST = 20.0
"""Log odds beyond which no threshold wanders: scores of 0.999999998 and of its opposite."""

COUNT_MEMORY_SECONDS = 7 * 86_400.0
"""Time in which a transaction's weight in the daily count fades to 1/e: every weekday counts alike."""

RECOUNT_SECONDS = 3_600.0
"""How often the daily count is brought up to date, and how long the threshold waits for the first count."""

MOST_HOURS = 4.0
"""Hours the clock moves at one transaction, at most: one wrong event time does little harm."""

_BACKWARDS_SECONDS = 86_400.0
"""Event times so far behind the clock are believed, an hour at a time: the clock once followed a wrong one.
"""

_PRECISION_MEMORY = 200.0
"""Alerts the expected precision looks back on."""


class ReviewBudget(msgspec.Struct, array_like=True, gc=False):
    """The threshold of one partition, and the counts it follows. A row of numbers, kept with the partition.

    ``applied``: highest source offset folded in, -1 before the first. ``threshold``: in log odds; what
    exceeds it is an alert. ``clock``: event time in seconds; follows each transaction, by whole hours,
    four at most. ``elapsed``: seconds the clock has moved. ``faded``: transactions, fading.
    ``fresh``: transactions since the last count. ``per_day``: transactions a day, 0 while unknown.
    ``precision``: mean score of recent alerts, their expected share of fraud. ``alerts``: all so far.
    """

    applied: int
    threshold: float
    clock: float
    elapsed: float = 0.0
    faded: float = 0.0
    fresh: int = 0
    per_day: float = 0.0
    precision: float = 0.0
    alerts: int = 0

    @classmethod
    def starting_at(cls, score: float) -> "ReviewBudget":
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

    @classmethod
    def from_row(cls, row: object) -> "ReviewBudget":
        """Rebuild a budget from its numbers; anything else is an ``InvalidMessage``."""
        return struct_from(cls, row)


_FADING = exp(-RECOUNT_SECONDS / COUNT_MEMORY_SECONDS)
