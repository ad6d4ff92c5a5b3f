"""Whether scores mean what they say: predicted against observed frauds, day by day."""

from math import sqrt

import msgspec

from fraudstream.core.adwin import PageHinkley

CLUSTERING = 4.0
"""Frauds come in clusters, so that the number of a day spreads this much wider than that of single ones."""

LEAST_DAYS = 10
"""Days before the first alarm."""

TOLERATED = 0.25
"""Deviation of a day that is passed over, in its spread."""

ALARM_AT = 2.5
"""Deviations added up over days, each less what is tolerated, from which on there is an alarm. Three quiet
months of the Fraud Detection Handbook's stream raise none; a change that doubles frauds is found on the first
day whose labels have come."""


class Calibration(msgspec.Struct):
    """The labels of the day that is not over, and a detector of days that deviate the same way.

    ``day``: newest day a label came on, counted from 1970; -1 before the first.
    """

    day: int = -1
    frauds: float = 0.0
    predicted: float = 0.0
    variance: float = 0.0
    detector: PageHinkley = msgspec.field(
        default_factory=lambda: PageHinkley(LEAST_DAYS, TOLERATED, ALARM_AT)
    )

    def note(self, day: int, score: float, *, fraud: bool) -> tuple[float, float] | None:
        """Take one label that came on ``day``.

        Return predicted and observed frauds of the day that it ends, if that day raises an alarm.
        """
        alarm = None
        if day > self.day:
            if self.variance > 0.0:
                deviation = (self.frauds - self.predicted) / (CLUSTERING * sqrt(self.variance))
                if self.detector.update(deviation):
                    alarm = self.predicted, self.frauds
            self.day, self.frauds, self.predicted, self.variance = day, 0.0, 0.0, 0.0
        self.frauds += fraud
        self.predicted += score
        self.variance += score * (1.0 - score)
        return alarm
