"""Where labels surprise the model: the log loss of a day beyond what scores promised, by feature and segment.

A calibrated model expects its own loss: the entropy of its scores. A new kind of fraud shows as loss beyond
that. Spread like the traffic it names nothing; the value it concentrates in names the kind. Frauds that
share nothing but their terminals show as several at one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import log, sqrt

import msgspec

from fraudstream.core.aspects import ASPECTS, PLACES, name_of_place
from fraudstream.core.movement import MOST_VALUES, OTHER, RECENT_HOURS, Moved, Usual
from fraudstream.core.terms import TERMINAL

SAME_TERMINAL = "same terminal"

SURPRISING = 2.0
"""Nats of loss from which a fraud is one the model did not see: a score below 0.14."""

MOST_LOSS = 8.0
"""Nats one label counts for at most, so that one certain mistake does not speak for many."""

MOST_SURPRISES = 5_000
"""Unseen frauds of an hour remembered with their terminal."""

Sums = dict[str, dict[str, list[float]]]


def clipped_loss(score: float, fraud: bool) -> float:
    """Return the log loss of one label in nats, at most :data:`MOST_LOSS`.

    >>> clipped_loss(0.5, True) == clipped_loss(0.5, False), clipped_loss(0.0, True)
    (True, 8.0)
    """
    p = score if fraud else 1.0 - score
    return min(-log(p), MOST_LOSS) if p > 0.0 else MOST_LOSS


class LossCell(msgspec.Struct, array_like=True):
    """Labels, their loss beyond the expected, and its variance, of one hour: by place and by segment."""

    places: list[list[float]]
    segments: Sums
    terminals: list[str]

    @classmethod
    def empty(cls) -> "LossCell":
        """Return a cell without labels."""
        return cls([[0.0] * PLACES for _ in range(3)], {}, [])


class Unexplained(msgspec.Struct):
    """Loss of the labels that came last, a day of event time, where it exceeds the expected.

    ``hour``: the newest hour of event time that a label came for, counted from 1970; -1 before the first.
    ``frozen``: while set, what is usual stays as it is.
    """

    hour: int = -1
    cells: dict[int, LossCell] = {}
    usual: dict[str, Usual] = {}
    frozen: bool = False

    def note(  # noqa: PLR0913
        self,
        hour: int,
        places: Iterable[int],
        segments: Mapping[str, str] | None,
        terminal_id: str | None,
        score: float,
        *,
        fraud: bool,
    ) -> None:
        """Take one label: ``hour`` is that of its transaction's event time."""
        if hour > self.hour:
            self._turn(hour)
        cell = self.cells.get(hour)
        if cell is None:
            if hour <= self.hour - RECENT_HOURS:
                return
            cell = self.cells[hour] = LossCell.empty()
        loss = clipped_loss(score, fraud)
        missed, alarmed = clipped_loss(score, True), clipped_loss(score, False)
        excess = loss - score * missed - (1.0 - score) * alarmed
        variance = score * (1.0 - score) * (missed - alarmed) ** 2
        counts, excesses, variances = cell.places
        for place in places:
            counts[place] += 1.0
            excesses[place] += excess
            variances[place] += variance
        if segments:
            for name, value in segments.items():
                sums = cell.segments.setdefault(name, {})
                known = value in sums or len(sums) < MOST_VALUES
                mine = sums.setdefault(value if known else OTHER, [0.0, 0.0, 0.0])
                mine[0] += 1.0
                mine[1] += excess
                mine[2] += variance
        if fraud and loss >= SURPRISING and terminal_id is not None and len(cell.terminals) < MOST_SURPRISES:
            cell.terminals.append(terminal_id)

    def _turn(self, hour: int) -> None:
        if self.hour >= 0 and hour // RECENT_HOURS > self.hour // RECENT_HOURS:
            for name, _, number, _ in () if self.frozen else self._measured():
                self.usual.setdefault(name, Usual()).take(number)
        self.hour = hour
        for old in [one for one in self.cells if one <= hour - RECENT_HOURS]:
            del self.cells[old]

    def moved(self) -> list[Moved]:
        """Return every aspect whose loss concentrates more than usual, the most surprising first."""
        found = []
        for name, family, number, (value, before, after) in self._measured():
            surprise = self.usual[name].surprise(number, 1.0) if name in self.usual else 0.0
            if surprise > 0.0:
                found.append(
                    Moved(
                        population="labels",
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

    def _measured(self) -> Iterable[tuple[str, str, float, tuple[str, float, float]]]:
        """Yield for each aspect by how much, in deviations, its most surprising value exceeds its share."""
        cells = list(self.cells.values())
        if not cells:
            return
        counts, excesses, variances = (
            [sum(column) for column in zip(*(cell.places[row] for cell in cells), strict=True)]
            for row in range(3)
        )
        for aspect in ASPECTS:
            part = slice(aspect.start, aspect.start + aspect.size)
            found = _concentration(counts[part], excesses[part], variances[part])
            if found is not None:
                number, at, before, after = found
                yield (
                    aspect.name,
                    aspect.family,
                    number,
                    (name_of_place(aspect, aspect.start + at), before, after),
                )
        merged: Sums = {}
        for cell in cells:
            for name, sums in cell.segments.items():
                mine = merged.setdefault(name, {})
                for value, numbers in sums.items():
                    mine[value] = [a + b for a, b in zip(mine.get(value, [0.0] * 3), numbers, strict=True)]
        for name in sorted(merged):
            values = sorted(merged[name])
            found = _concentration(*([merged[name][value][row] for value in values] for row in range(3)))
            if found is not None:
                number, at, before, after = found
                yield name, "", number, (values[at], before, after)
        yield _at_terminals(cells)


def _concentration(
    counts: list[float], excesses: list[float], variances: list[float]
) -> tuple[float, int, float, float] | None:
    """Return the value with the most loss beyond its share of the labels, and both shares of the loss.

    The spread is that of a calibrated model, and beside it that of single surprises, which weigh
    :data:`MOST_LOSS` at most each.
    """
    labels, excess = sum(counts), max(sum(excesses), 0.0)
    beyond = sum(one for one in excesses if one > 0.0)
    if not labels:
        return None
    best = None
    for at, count in enumerate(counts):
        share = count / labels
        fair = excess * share
        number = (excesses[at] - fair) / sqrt(variances[at] + MOST_LOSS * fair + 1.0)
        if best is None or number > best[0]:
            best = (number, at, share, max(excesses[at], 0.0) / beyond if beyond else 0.0)
    return best


def _at_terminals(cells: Iterable[LossCell]) -> tuple[str, str, float, tuple[str, float, float]]:
    """Return how many pairs of unseen frauds share a terminal, as a root, and the terminal with the most."""
    counts = Counter(terminal for cell in cells for terminal in cell.terminals)
    pairs = sum(count * (count - 1) // 2 for count in counts.values())
    worst = max(counts, key=lambda terminal: (counts[terminal], terminal), default="")
    return SAME_TERMINAL, TERMINAL, sqrt(pairs), (worst, 0.0, float(counts[worst]) if worst else 0.0)
