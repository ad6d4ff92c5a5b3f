"""How good live scores turn out to be, as labels come: kept in bins, so that a restart forgets nothing.

Each label counts once, with the score its transaction was given before the label was known, and fades with a
half-life: what is told is the quality of the last weeks (J. Gama et al. 2013, "On evaluating stream learning
algorithms").
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import exp

import msgspec

from fraudstream.core.unexplained import clipped_loss

HALF_LIFE_DAYS = 7.0
"""Days in which a label comes to count for half."""

STEPS = 4
"""Bins to one unit of log odds: average precision differs from the exact one by less than 0.002."""

FARTHEST = 10
"""Log odds from which on, either way, scores share a bin."""

EDGES = tuple(1.0 / (1.0 + exp(-step / STEPS)) for step in range(-FARTHEST * STEPS, FARTHEST * STEPS + 1))
"""Scores where bins begin, all but the first one, which begins at 0."""

BINS = len(EDGES) + 1

MOST_SEGMENT_VALUES = 12
"""Values of a segment that quality is told by; further ones are told together as ``other``."""

OTHER = "other"


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """Labels of scores in [``score_from``, ``score_to``): predicted and observed fraud rate."""

    score_from: float
    score_to: float
    labels: float
    predicted: float
    observed: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of recent scores. ``None`` where nothing can be said.

    ``labels`` and ``frauds`` are faded counts. ``precision_at_budget`` and ``recall_at_budget`` are those of
    the highest scores, as many as the review budget takes; ``alert_precision`` that of what really was an
    alert. ``predicted_over_observed``: sum of scores over number of frauds.
    """

    labels: float
    frauds: float
    average_precision: float | None
    precision_at_budget: float | None
    recall_at_budget: float | None
    alert_precision: float | None
    log_loss: float | None
    calibration_error: float | None
    predicted_over_observed: float | None


class ScoreBins(msgspec.Struct, array_like=True):
    """Labelled transactions by score: frauds, genuine ones, and the sum of scores, faded."""

    frauds: list[float]
    genuine: list[float]
    predicted: list[float]
    loss: float = 0.0
    alerts: float = 0.0
    alerted_frauds: float = 0.0

    @classmethod
    def empty(cls) -> "ScoreBins":
        """Return bins without a label."""
        return cls([0.0] * BINS, [0.0] * BINS, [0.0] * BINS)

    def note(self, score: float, *, fraud: bool, alert: bool | None) -> None:
        """Take one label."""
        at = bisect_right(EDGES, score)
        (self.frauds if fraud else self.genuine)[at] += 1.0
        self.predicted[at] += score
        self.loss += clipped_loss(score, fraud)
        if alert:
            self.alerts += 1.0
            self.alerted_frauds += fraud

    def fade(self, keep: float) -> None:
        """Let everything noted so far count less."""
        for column in (self.frauds, self.genuine, self.predicted):
            column[:] = [one * keep for one in column]
        self.loss *= keep
        self.alerts *= keep
        self.alerted_frauds *= keep

    def measure(self, share: float) -> Measured:
        """Return the quality; ``share`` of all transactions are what the review budget takes."""
        frauds, labels = sum(self.frauds), sum(self.frauds) + sum(self.genuine)
        found, shown = self._within(share * labels)
        return Measured(
            labels=labels,
            frauds=frauds,
            average_precision=self._average_precision(frauds),
            precision_at_budget=found / shown if shown else None,
            recall_at_budget=found / frauds if frauds else None,
            alert_precision=self.alerted_frauds / self.alerts if self.alerts else None,
            log_loss=self.loss / labels if labels else None,
            calibration_error=self._calibration_error(labels),
            predicted_over_observed=sum(self.predicted) / frauds if frauds else None,
        )

    def reliability(self) -> tuple[Reliability, ...]:
        """Return predicted and observed fraud rate for each unit of log odds that holds labels."""
        rows = []
        for low, high in _units():
            labels = sum(self.frauds[low:high]) + sum(self.genuine[low:high])
            if labels > 0.0:
                rows.append(
                    Reliability(
                        score_from=EDGES[low - 1] if low else 0.0,
                        score_to=EDGES[high - 1] if high < BINS else 1.0,
                        labels=labels,
                        predicted=sum(self.predicted[low:high]) / labels,
                        observed=sum(self.frauds[low:high]) / labels,
                    )
                )
        return tuple(rows)

    def _calibration_error(self, labels: float) -> float | None:
        if not labels:
            return None
        return sum(abs(row.predicted - row.observed) * row.labels for row in self.reliability()) / labels

    def _average_precision(self, frauds: float) -> float | None:
        if not frauds:
            return None
        found = shown = area = 0.0
        for here, genuine in zip(reversed(self.frauds), reversed(self.genuine), strict=True):
            if here:
                # Within a bin frauds and genuine ones come evenly mixed.
                middle = (found + 0.5 * here) / (shown + 0.5 * (here + genuine))
                area += here / frauds * middle
            found += here
            shown += here + genuine
        return area

    def _within(self, wanted: float) -> tuple[float, float]:
        """Return frauds found and transactions shown among so many highest scores."""
        found = shown = 0.0
        for here, genuine in zip(reversed(self.frauds), reversed(self.genuine), strict=True):
            whole = here + genuine
            if not whole:
                continue
            part = min(1.0, (wanted - shown) / whole)
            found += part * here
            shown += part * whole
            if part < 1.0:
                break
        return found, shown


def _units() -> Sequence[tuple[int, int]]:
    """Return the first and the next bin of each unit of log odds, ends included."""
    starts = [0, *range(1, BINS, STEPS)]
    return list(zip(starts, [*starts[1:], BINS], strict=True))


class LiveQuality(msgspec.Struct):
    """Quality of all scores, and of those of each value of the chosen segments.

    ``day``: newest day a label came on, counted from 1970; -1 before the first.
    """

    day: int = -1
    all: ScoreBins = msgspec.field(default_factory=ScoreBins.empty)
    segments: dict[str, dict[str, ScoreBins]] = {}

    def note(
        self, day: int, score: float, segments: dict[str, str], *, fraud: bool, alert: bool | None
    ) -> None:
        """Take one label that came on ``day``; ``segments`` names the chosen ones only."""
        if day > self.day:
            if self.day >= 0:
                keep = 2.0 ** (-(day - self.day) / HALF_LIFE_DAYS)
                for bins in self._all_bins():
                    bins.fade(keep)
            self.day = day
        self.all.note(score, fraud=fraud, alert=alert)
        for name, value in segments.items():
            values = self.segments.setdefault(name, {})
            known = value in values or len(values) < MOST_SEGMENT_VALUES
            values.setdefault(value if known else OTHER, ScoreBins.empty()).note(
                score, fraud=fraud, alert=alert
            )

    def _all_bins(self) -> list[ScoreBins]:
        return [self.all, *(bins for values in self.segments.values() for bins in values.values())]
