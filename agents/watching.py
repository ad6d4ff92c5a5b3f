"""The model is watched: labels and live scores lead to measures of quality, and to alarms."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime

import msgspec
from aiokafka import ConsumerRecord

from fraudstream.app import AgentApp
from fraudstream.core.aspects import segments_of
from fraudstream.core.codec import decode_training_example
from fraudstream.core.messages import Transaction
from fraudstream.core.quality import Measured
from fraudstream.core.watching import (
    LABELS_KEY,
    TRAFFIC_KEY,
    Alarm,
    LabelWatch,
    TrafficWatch,
    decode_label_watch,
    decode_traffic_watch,
    encode_alarm,
    encode_watch,
)
from fraudstream.delivery.atomic import AtomicPublisher, AtomicRecord
from fraudstream.delivery.broadcast import Broadcast
from fraudstream.delivery.following import Follower
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.ticking import Ticking
from fraudstream.delivery.work import Work
from fraudstream.errors import InvalidMessage

log = logging.getLogger(__name__)

#: How often it is looked whether there is something to publish, and how often metrics of movement are made.
TICK_SECONDS, MOVEMENT_SECONDS = 1.0, 60.0


class _Seen(msgspec.Struct):
    """The part of a classification that is watched."""

    event_time: datetime
    keys: tuple[int, ...]
    score: float
    transaction: Transaction


_decode = msgspec.json.Decoder(_Seen).decode


class WatchModel:
    """Watch the model by labels and by live scores.

    Both states carry the offsets they were made from and are published together with the alarms they raised,
    in one Kafka transaction: after a crash both logs are read again from there, and no alarm is lost or told
    twice.
    """

    def __init__(self, app: AgentApp, lane: Lane) -> None:
        self._context = app.context
        self._lane = lane
        self._publisher = AtomicPublisher(f"{app.conf.id}-publisher", app.context.kafka)
        self._labels, self._traffic = LabelWatch(), TrafficWatch()
        self._follower: Follower | None = None
        self._alarms: list[Alarm] = []
        self._changed = self._owner = self._publishing = False
        self._next_publication = self._next_movement = 0.0

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Fence an earlier watch, then go on from the states it published last."""
        await self._let_go()
        if not partitions:
            return
        await self._publisher.start()
        topics, reader = self._context.topics, self._context.log_reader
        self._labels, self._traffic = LabelWatch(), TrafficWatch()
        self._alarms = []
        await self._restore()
        # What was committed may be ahead of the state; the rest of the log comes through the lane.
        bounds = await reader.bounds(topics.training_examples.name, 0)
        if self._labels.offset >= bounds.end:
            self._labels.offset = -1
        async for record in reader.read(
            topics.training_examples.name, 0, self._labels.offset + 1, bounds.end
        ):
            self._take_label(record)
        self._follower = Follower(
            self._context.kafka_reading,
            topics.classifications.name,
            topics.classifications.partitions,
            self._traffic.offsets,
            self._take_classification,
        )
        await self._follower.start()
        self._owner = True
        log.info("watch goes on", extra={"training_offset": self._labels.offset})

    async def _let_go(self) -> None:
        self._owner = self._publishing = False
        if self._follower is not None:
            follower, self._follower = self._follower, None
            await follower.stop()
        await self._publisher.stop()

    async def _restore(self) -> None:
        def keep(record: "ConsumerRecord[bytes, bytes]") -> None:
            try:
                if record.key == LABELS_KEY and record.value is not None:
                    self._labels = decode_label_watch(record.value)
                elif record.key == TRAFFIC_KEY and record.value is not None:
                    self._traffic = decode_traffic_watch(record.value)
            except InvalidMessage as exc:
                log.error("state of the watch refused, it begins anew", extra={"reason": str(exc)})  # noqa: TRY400

        broadcast = Broadcast(self._context.kafka_reading, {self._context.topics.model_watch.name: keep})
        await broadcast.start()
        await broadcast.wait_until_caught_up()
        await broadcast.stop()

    def waits_for(self, part: RecordSlice) -> None:
        """Judge every slice at once."""

    def judge(self, part: RecordSlice) -> Work:
        """Take a slice of labels; the state that holds them is published by and by."""
        for record in part.records:
            self._take_label(record)
        return Work()

    def _take_label(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        try:
            example = decode_training_example(record.value)
        except InvalidMessage:
            return  # the learner sets it aside
        self._alarms += self._labels.note(example, record.offset, self._context.settings.quality_segments)
        self._changed = True

    def _take_classification(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        offsets = self._traffic.offsets
        if record.value is None or not (seen := _seen(record.value)):
            return
        transaction = seen.transaction
        offsets[record.partition] = record.offset
        self._alarms += self._traffic.note(
            seen.event_time,
            seen.keys,
            seen.score,
            amount_minor=transaction.amount_minor,
            hour=transaction.hour,
            segments=segments_of(transaction),
        )
        self._changed = True

    def tick(self) -> None:
        """Queue a publication when one is due, and bring metrics up to date."""
        now = time.monotonic()
        if not self._owner or self._publishing:
            return
        if self._alarms or (self._changed and now >= self._next_publication):
            self._publishing = True
            self._next_publication = now + self._context.settings.watch_interval_seconds
            self._lane.put(0, Work(before=self._publish))
        if now >= self._next_movement:
            self._next_movement = now + MOVEMENT_SECONDS
            self._show_movement()

    async def _publish(self) -> None:
        """Publish both states and the alarms that arose since the last time: all of it, or nothing."""
        topics, alarms = self._context.topics, self._alarms
        self._alarms, self._changed = [], False
        await self._publisher.publish(
            [
                *(
                    AtomicRecord(topics.model_alarms.name, one.key.encode(), encode_alarm(one))
                    for one in alarms
                ),
                AtomicRecord(topics.model_watch.name, LABELS_KEY, encode_watch(self._labels)),
                AtomicRecord(topics.model_watch.name, TRAFFIC_KEY, encode_watch(self._traffic)),
            ]
        )
        self._publishing = False
        for alarm in alarms:
            log.warning("model alarm", extra={"alarm": alarm.key, "meaning": alarm.text})
            self._context.metrics.model_alarms.labels(detector=alarm.detector).inc()
        self._show_quality()

    def _show_quality(self) -> None:
        metrics, quality = self._context.metrics, self._labels.quality
        recent = self._traffic.traffic.recent().count
        share = min(1.0, self._context.settings.review_budget / recent) if recent else 1.0
        self._show("all", "", quality.all.measure(share))
        for segment, values in quality.segments.items():
            for value, bins in values.items():
                self._show(segment, value, bins.measure(share))
        for row in quality.all.reliability():
            score = f"{row.score_from:.6f}"
            metrics.reliability_predicted.labels(score_from=score).set(row.predicted)
            metrics.reliability_observed.labels(score_from=score).set(row.observed)
        for watch in (self._labels, self._traffic):
            for detector in watch.detectors:
                metrics.model_alarms_open.labels(detector=detector).set(detector in watch.alarms.open)

    def _show(self, segment: str, value: str, measured: Measured) -> None:
        for name, gauge in self._context.metrics.quality.items():
            number = getattr(measured, name)
            if number is not None:
                gauge.labels(segment=segment, value=value).set(number)

    def _show_movement(self) -> None:
        gauge = self._context.metrics.movement_surprise
        gauge.clear()
        for one in (*self._traffic.moved(), *self._labels.unexplained.moved()):
            gauge.labels(population=one.population, aspect=one.aspect).set(one.surprise)


def _seen(value: bytes) -> _Seen | None:
    try:
        return _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # written by no scorer of ours: the sinks tell


def attach(app: AgentApp) -> None:
    """Make an app watch the model."""
    lane = app.open_lane(app.context.topics.training_examples)
    agent = WatchModel(app, lane)
    lane.attach(agent, agent_name="watch_model")
    app.starts_after(Ticking(TICK_SECONDS, agent.tick))
