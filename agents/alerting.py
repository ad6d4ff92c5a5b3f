"""What a person must see goes to the alerts topic, once."""

from collections.abc import Sequence

import msgspec

from fraudstream.app import AgentApp
from fraudstream.core.messages import Decision, Position
from fraudstream.core.policy import is_alert
from fraudstream.delivery.records import OutRecord
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.work import Work


class _Decided(msgspec.Struct):
    """The part of a classification that alerting reads."""

    source: Position
    decision: Decision
    flags: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(_Decided).decode


class AlertPeople:
    """Publish classifications of ``review`` and above as alerts, unchanged and aligned with their source.

    What was declined beyond the review budget is no alert: no person has the time to see it.
    """

    def __init__(self, app: AgentApp) -> None:
        self._metrics = app.context.metrics

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Nothing to prepare."""

    def waits_for(self, part: RecordSlice) -> None:
        """Judge every slice at once."""

    def judge(self, part: RecordSlice) -> Work:
        """Select the alerts of a slice."""
        alerts = []
        for record in part.messages():
            decided = _decode(record.value)
            if is_alert(decided.decision, decided.flags):
                alerts.append(OutRecord(decided.source.offset, record.key, record.value, record.timestamp))
        return Work(outputs=alerts, done=lambda: self._metrics.alerts.inc(len(alerts)))


def attach(app: AgentApp) -> None:
    """Make an app alert people."""
    topics = app.context.topics
    lane = app.open_lane(topics.classifications, output=topics.alerts)
    lane.attach(AlertPeople(app), agent_name="alert_people")
