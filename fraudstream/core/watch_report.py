"""What the watch over a model has to tell, as plain values: for a terminal, a file or a page."""

from datetime import datetime

import msgspec

from fraudstream.core.movement import Moved
from fraudstream.core.quality import Measured, Reliability
from fraudstream.core.watching import LabelWatch, TrafficWatch, moment

MOST_ROWS = 10


class OpenAlarmRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that is open: since and until which event time, and what its detector measured."""

    detector: str
    raised_at: datetime
    open_until: datetime
    before: float
    after: float


class SegmentQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of the scores of one value of a segment."""

    segment: str
    value: str
    measured: Measured


class WatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at once.

    ``labels_until`` and ``traffic_until``: newest times heard of, ``None`` before the first. ``moved``:
    features and segments beyond their usual movement, the most surprising first, by population.
    """

    labels_until: datetime | None
    traffic_until: datetime | None
    transactions_last_day: float
    open_alarms: tuple[OpenAlarmRow, ...]
    moved: tuple[Moved, ...]
    quality: Measured
    by_segment: tuple[SegmentQuality, ...]
    reliability: tuple[Reliability, ...]


def watch_report(
    labels: LabelWatch, traffic: TrafficWatch, review_budget: float, rows: int = MOST_ROWS
) -> WatchReport:
    """Return what both watches know; ``rows`` of movement for each population at most."""
    a_day = traffic.traffic.recent().count
    share = min(1.0, review_budget / a_day) if a_day else 1.0
    quality = labels.quality
    return WatchReport(
        labels_until=moment(labels.clock) if labels.offset >= 0 else None,
        traffic_until=moment(traffic.clock) if traffic.offsets else None,
        transactions_last_day=a_day,
        open_alarms=tuple(
            OpenAlarmRow(
                detector=detector,
                raised_at=moment(alarm.raised_at),
                open_until=moment(alarm.until),
                before=alarm.before,
                after=alarm.after,
            )
            for watch in (labels, traffic)
            for detector, alarm in watch.alarms.open.items()
        ),
        moved=(
            *labels.unexplained.moved()[:rows],
            *traffic.traffic.moved()[:rows],
            *traffic.alerts.moved()[:rows],
        ),
        quality=quality.all.measure(share),
        by_segment=tuple(
            SegmentQuality(segment=segment, value=value, measured=bins.measure(share))
            for segment, values in quality.segments.items()
            for value, bins in sorted(values.items())
        ),
        reliability=quality.all.reliability(),
    )
