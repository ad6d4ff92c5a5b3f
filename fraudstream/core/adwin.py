"""Two detectors of change, after River's ``drift.ADWIN`` and ``drift.PageHinkley``, as plain data.

River's own cannot be written down and read back, so a restart would forget weeks of reference. These are
structs of numbers: kept anywhere, they go on exactly where they were. Tests hold both to River's, alarm for
alarm.
"""

from math import log, sqrt

import msgspec

CLOCK = 32
"""Values between two looks for a change."""

ROW = 5
"""Sums of one size kept before two are merged into one of twice the size."""

_LEAST = 5.0
"""Values each side of a cut must have."""

_GRACE = 10.0
"""Values before the first look."""


class AdaptiveWindow(msgspec.Struct, gc=False):
    """A window over values that grows while their mean stays, and says when it has changed.

    Keeps about six sums for each doubling of the window, whatever its length: below 4 KB for a billion
    values. Every cut between them is tested; where the means on both sides differ by more than chance
    allows, there is a change, and the next value begins a new window.

    ``delta`` bounds the chance of a false alarm. ``before`` and ``after`` are the means on both sides of the
    last change found.

    References
    ----------
    A. Bifet and R. Gavaldà 2007, "Learning from time-changing data with adaptive windowing".

    Examples
    --------
    >>> window = AdaptiveWindow(0.002)
    >>> [at for at in range(2_000) if window.update(0.0 if at < 1_000 else 1.0)]
    [1023]
    """

    delta: float
    totals: list[list[float]] = msgspec.field(default_factory=lambda: [[]])
    variances: list[list[float]] = msgspec.field(default_factory=lambda: [[]])
    total: float = 0.0
    variance: float = 0.0
    width: float = 0.0
    tick: int = 0
    changed: bool = False
    before: float = 0.0
    after: float = 0.0

    def update(self, value: float) -> bool:
        """Take the next value; return whether the mean has changed."""
        if self.changed:
            self._forget()
        self.width = width = self.width + 1.0
        if width > 1.0:
            apart = value - self.total / (width - 1.0)
            self.variance += (width - 1.0) * apart * apart / width
        self.total += value
        newest = self.totals[0]
        newest.append(value)
        self.variances[0].append(0.0)
        if len(newest) > ROW:
            self._merge()
        self.tick = tick = self.tick + 1
        if tick % CLOCK or width <= _GRACE:
            return False
        self.changed = changed = self._cut()
        return changed

    def _forget(self) -> None:
        self.totals, self.variances = [[]], [[]]
        self.total = self.variance = self.width = 0.0
        self.tick = 0
        self.changed = False

    def _merge(self) -> None:
        totals, variances = self.totals, self.variances
        size, at = 1.0, 0
        while len(totals[at]) > ROW:
            if at + 1 == len(totals):
                totals.append([])
                variances.append([])
            (first, second), (v1, v2) = totals[at][:2], variances[at][:2]
            del totals[at][:2], variances[at][:2]
            apart = first / size - second / size
            totals[at + 1].append(first + second)
            variances[at + 1].append(v1 + v2 + size * 0.5 * apart * apart)
            size *= 2.0
            at += 1

    def _cut(self) -> bool:
        """Drop the oldest sums for as long as some cut shows a change; return whether one did."""
        found = False
        while self._shows_change(first=not found):
            found = True
            self._drop_oldest()
        return found

    def _shows_change(self, first: bool) -> bool:
        older, newer = 0.0, self.width
        sum_older, sum_newer = 0.0, self.total
        doubt = log(2.0 * log(newer) / self.delta)
        spread = self.variance / newer
        for at in range(len(self.totals) - 1, -1, -1):
            size = float(1 << at)
            for total in self.totals[at]:
                older += size
                newer -= size
                sum_older += total
                sum_newer -= total
                if newer < _LEAST:
                    break
                if older < _LEAST:
                    continue
                apart = sum_older / older - sum_newer / newer
                shares = 1.0 / (older - _LEAST + 1.0) + 1.0 / (newer - _LEAST + 1.0)
                if abs(apart) > sqrt(2.0 * shares * spread * doubt) + 2.0 / 3.0 * doubt * shares:
                    if first:
                        self.before, self.after = sum_older / older, sum_newer / newer
                    return True
        return False

    def _drop_oldest(self) -> None:
        size = float(1 << (len(self.totals) - 1))
        total, variance = self.totals[-1].pop(0), self.variances[-1].pop(0)
        self.width -= size
        self.total -= total
        apart = total / size - self.total / self.width
        self.variance -= variance + size * self.width * apart * apart / (size + self.width)
        if not self.totals[-1]:
            self.totals.pop()
            self.variances.pop()


class PageHinkley(msgspec.Struct, gc=False):
    """Says when values have gone on lying above, or below, their mean so far by more than ``threshold``.

    Values are forgotten slowly; a deviation of ``delta`` each is tolerated. A change begins anew.

    References
    ----------
    E. S. Page 1954, "Continuous inspection schemes".
    """

    least: int
    delta: float
    threshold: float
    seen: int = 0
    mean: float = 0.0
    above: float = 0.0
    below: float = 0.0
    lowest: float = float("inf")
    highest: float = -1.0
    changed: bool = False

    def update(self, value: float) -> bool:
        """Take the next value; return whether it shows a change."""
        if self.changed:
            self.seen, self.mean, self.above, self.below = 0, 0.0, 0.0, 0.0
            self.lowest, self.highest = float("inf"), -1.0
        self.seen += 1
        self.mean += (value - self.mean) / self.seen
        apart = value - self.mean
        self.above = _MEMORY * self.above + apart - self.delta
        self.below = _MEMORY * self.below + apart + self.delta
        self.lowest = min(self.lowest, self.above)
        self.highest = max(self.highest, self.below)
        self.changed = self.seen >= self.least and (
            self.above - self.lowest > self.threshold or self.highest - self.below > self.threshold
        )
        return self.changed


_MEMORY = 1 - 0.0001
"""What a sum of deviations keeps from one value to the next."""
