"""Which features and segments have moved: the last day of transactions against the weeks before.

Distributions always move a little, some features more than others: a count of labels grows, weekends differ.
So each aspect is measured by how far it usually moves from one day to the reference, and told in those
units.
"""

from collections.abc import Iterable, Mapping
from math import log2, sqrt

import msgspec

from fraudstream.core.aspects import ASPECTS, PLACES, name_of_place

RECENT_HOURS = 24
"""Hours of event time compared with the reference: a whole day, so that night is compared with nights."""

REFERENCE_DAYS = 28.0
"""Days in which the weight of a day in the reference fades to 1/e."""

USUAL_DAYS = 14
"""Days whose movement is what is usual."""

SETTLING_DAYS = 14
"""Days after which the reference begins anew: histories begin empty, and fill up first."""

LEAST_DAYS = 7
"""Days of usual movement that must be known before a movement is told."""

LEAST_BITS = 1e-4
"""Divergence in bits that nobody need know of: about the noise of ten thousand transactions."""

MOST_VALUES = 50
"""Values of a segment told apart; further ones count as :data:`OTHER`."""

OTHER = "other"

Segments = dict[str, dict[str, float]]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """One aspect that has moved.

    ``population``: ``traffic`` all transactions, ``alerts`` those that score above one half, ``labels`` those
    whose label came. ``surprise``: how many of its usual deviations beyond its usual movement the aspect
    lies. ``value``: of all values the one that moved most, its share ``before`` and ``after``; for labels,
    ``before`` is its share of the labels, and ``after`` that of the loss nothing explains; where unseen
    frauds share a terminal, ``after`` is their number.
    """

    population: str
    aspect: str
    family: str
    value: str
    surprise: float
    before: float
    after: float


class Usual(msgspec.Struct, array_like=True):
    """What a daily number has been on its last days, at most :data:`USUAL_DAYS`."""

    numbers: list[float] = []

    def take(self, number: float) -> None:
        """Note one more day."""
        self.numbers.append(number)
        del self.numbers[:-USUAL_DAYS]

    def surprise(self, number: float, floor: float) -> float:
        """Return by how many deviations a number exceeds the usual; 0 while too little is known.

        A deviation is more than ``floor`` and a tenth of the mean: a few quiet days prove little.
        """
        days = len(self.numbers)
        if days < LEAST_DAYS:
            return 0.0
        mean = sum(self.numbers) / days
        spread = sqrt(sum((one - mean) ** 2 for one in self.numbers) / days)
        return (number - mean) / (spread + 0.1 * abs(mean) + floor)


class Cell(msgspec.Struct, array_like=True):
    """Counts of one hour, or of the reference."""

    count: float
    places: list[float]
    segments: Segments

    @classmethod
    def empty(cls) -> "Cell":
        """Return a cell that counts nothing yet."""
        return cls(0.0, [0.0] * PLACES, {})

    def add(self, other: "Cell") -> None:
        """Count everything another cell counted."""
        self.count += other.count
        self.places = [mine + its for mine, its in zip(self.places, other.places, strict=True)]
        for name, values in other.segments.items():
            mine = self.segments.setdefault(name, {})
            for value, count in values.items():
                count_value(mine, value, count)

    def fade(self, keep: float) -> None:
        """Let everything counted so far count less."""
        self.count *= keep
        self.places = [count * keep for count in self.places]
        for values in self.segments.values():
            for value in values:
                values[value] *= keep


def count_value(values: dict[str, float], value: str, count: float) -> None:
    """Count a value of a segment, or ``other`` when there are many already."""
    if value not in values and len(values) >= MOST_VALUES:
        value = OTHER
    values[value] = values.get(value, 0.0) + count


class Movement(msgspec.Struct):
    """The last day of one population against its reference.

    ``hour``: the newest hour of event time, counted from 1970; -1 before the first. ``cells``: by hour, the
    newest and the 24 before it, which are compared; older transactions are left out. ``frozen``: while set,
    what is usual stays as it is. ``days``: days with transactions so far.
    """

    population: str
    hour: int = -1
    cells: dict[int, Cell] = {}
    reference: Cell = msgspec.field(default_factory=Cell.empty)
    usual: dict[str, Usual] = {}
    frozen: bool = False
    days: int = 0

    def note(self, hour: int, places: Iterable[int], segments: Mapping[str, str] | None) -> None:
        """Count one transaction."""
        if hour > self.hour:
            self._turn(hour)
        cell = self.cells.get(hour)
        if cell is None:
            if hour < self.hour - RECENT_HOURS:
                return
            cell = self.cells[hour] = Cell.empty()
        cell.count += 1.0
        counts = cell.places
        for place in places:
            counts[place] += 1.0
        if segments:
            for name, value in segments.items():
                count_value(cell.segments.setdefault(name, {}), value, 1.0)

    def _turn(self, hour: int) -> None:
        """Begin a newer hour: at midnight note the usual movement; what is older than a day is reference."""
        if self.hour >= 0 and hour // RECENT_HOURS > self.hour // RECENT_HOURS:
            recent = self.recent()
            if recent.count and self.reference.count and not self.frozen:
                for name, _, moved, _ in self._compared(recent):
                    self.usual.setdefault(name, Usual()).take(moved)
            self.reference.fade(1.0 - 1.0 / REFERENCE_DAYS)
            self.days += 1
            if self.days == SETTLING_DAYS:
                self.reference, self.usual = Cell.empty(), {}
        self.hour = hour
        for old in sorted(one for one in self.cells if one < hour - RECENT_HOURS):
            self.reference.add(self.cells.pop(old))

    def recent(self) -> Cell:
        """Return the counts of the last day: 24 hours, the newest one left out, since it is not over."""
        total = Cell.empty()
        for hour, cell in self.cells.items():
            if hour < self.hour:
                total.add(cell)
        return total

    def moved(self) -> list[Moved]:
        """Return every aspect that has moved beyond its usual, the most surprising first."""
        recent = self.recent()
        if not recent.count or not self.reference.count:
            return []
        found = []
        for name, family, moved, (value, before, after) in self._compared(recent):
            surprise = self.usual[name].surprise(moved, LEAST_BITS) if name in self.usual else 0.0
            if surprise > 0.0:
                found.append(
                    Moved(
                        population=self.population,
                        aspect=name,
                        family=family,
                        value=value,
                        surprise=surprise,
                        before=before,
                        after=after,
                    )
                )
        found.sort(key=lambda one: (-one.surprise, one.aspect))
        return found

    def _compared(self, recent: Cell) -> Iterable[tuple[str, str, float, tuple[str, float, float]]]:
        reference = self.reference
        for aspect in ASPECTS:
            part = slice(aspect.start, aspect.start + aspect.size)
            before, after = reference.places[part], recent.places[part]
            moved, most = divergence(before, after)
            shares = (_share(before, most), _share(after, most))
            yield (
                aspect.name,
                aspect.family,
                moved,
                (name_of_place(aspect, aspect.start + most), *shares),
            )
        for name in sorted(reference.segments.keys() | recent.segments.keys()):
            old, new = reference.segments.get(name, {}), recent.segments.get(name, {})
            values = sorted(old.keys() | new.keys())
            before, after = ([cell.get(value, 0.0) for value in values] for cell in (old, new))
            moved, most = divergence(before, after)
            yield name, "", moved, (values[most], _share(before, most), _share(after, most))


def _share(counts: list[float], at: int) -> float:
    total = sum(counts)
    return counts[at] / total if total else 0.0


def divergence(before: list[float], after: list[float]) -> tuple[float, int]:
    """Return the Jensen-Shannon divergence of two histograms in bits, and which value adds most to it.

    0 is the same distribution, 1 nothing in common. Each value counts half a transaction more than was seen.

    Source: J. Lin 1991, "Divergence measures based on the Shannon entropy".

    >>> divergence([50.0, 50.0], [50.0, 50.0])[0]
    0.0
    >>> round(divergence([1e6, 0.0], [0.0, 1e6])[0], 4)
    1.0
    """
    size = len(before)
    all_before, all_after = sum(before) + 0.5 * size, sum(after) + 0.5 * size
    total, most, at_most = 0.0, -1.0, 0
    for at in range(size):
        p, q = (before[at] + 0.5) / all_before, (after[at] + 0.5) / all_after
        middle = 0.5 * (p + q)
        part = 0.5 * (p * log2(p / middle) + q * log2(q / middle))
        total += part
        if part > most:
            most, at_most = part, at
    return max(total, 0.0), at_most
