"""What watches the model while it works: drift, calibration and quality, as states that outlive a restart.

Two states, because two logs are read: labels with the scores their transactions were given, and all
classifications as they are made. Each tells its alarms as they arise; nothing is reset, since the learner
follows most changes by itself within two weeks.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar

import msgspec

from fraudstream.core.adwin import AdaptiveWindow
from fraudstream.core.aspects import place_of_amount, place_of_hour, places_of
from fraudstream.core.calibration import Calibration
from fraudstream.core.decoding import decoder_of
from fraudstream.core.messages import LabelPosition, LabelValue, TrainingExample
from fraudstream.core.movement import Moved, Movement
from fraudstream.core.quality import LiveQuality
from fraudstream.core.terms import terms_checksum
from fraudstream.core.unexplained import Unexplained, clipped_loss

LOSS_DELTA = 1e-6
"""Chance of a false alarm on the log loss of labels. At 1e-4 three quiet months raise four, at .002 nine."""

ALERT_DELTA = 1e-4
"""Chance of a false alarm on the share of scores above one half, which needs no labels."""

ALERT_ABOVE = 0.5
"""Score from which a transaction counts for that share: fixed, as the threshold of a review budget would
hold the share whatever happens."""

WARM_UP_DAYS = 28.0
"""Days of event time before the first alarm: until then the model still learns what is usual."""

OPEN_DAYS = 7.0
"""Days of event time after its last detection that an alarm stays open; meanwhile it is not raised again."""

NAMED_AFTER_DAYS = 1.0
"""Days after which an open alarm is told once more: features are compared by whole days."""

RECENT_LABELS = 5_000
"""Labels of a partition remembered, to pass over those that come twice after a crash."""

MOST_MOVED = 5

LABELS_KEY, TRAFFIC_KEY = b"labels", b"traffic"
"""What the two states are known by where they are kept."""

_DAY, _HOUR = 86_400.0, 3_600.0


class Detector(StrEnum):
    """What raised an alarm."""

    LOG_LOSS = "log_loss"
    ALERT_RATE = "alert_rate"
    CALIBRATION = "calibration"
    LABEL_SOURCE = "label_source"


_MEANING = {
    Detector.LOG_LOSS: "labels surprise the model more than before: log loss {before:.4f}, now {after:.4f}",
    Detector.ALERT_RATE: "the share of scores above one half has changed: {before:.3%}, now {after:.3%}",
    Detector.CALIBRATION: "scores mislead: {before:.0f} frauds were predicted of a day and {after:.0f} came",
}


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A change that somebody should look at.

    ``raised_at`` is event time and, with ``detector``, what the alarm is known by: told again, once a whole
    day can be compared, it names ``moved`` better. ``before`` and ``after`` are what the detector measures.
    ``moved``: features and segments that moved most, the first one the most surprising. ``subject``: the
    source of labels it is about, if it is about one.
    """

    detector: Detector
    raised_at: datetime
    told_at: datetime
    before: float
    after: float
    text: str
    moved: tuple[Moved, ...]
    subject: str | None = None

    @property
    def key(self) -> str:
        """What the alarm is known by."""
        known_by = f"{self.detector}-{self.raised_at.isoformat()}"
        return known_by if self.subject is None else f"{known_by}-{self.subject}"


class OpenAlarm(msgspec.Struct, array_like=True):
    """An alarm, and until when it is open; times in seconds since 1970."""

    raised_at: float
    until: float
    before: float
    after: float
    named: bool = False


class Alarms(msgspec.Struct):
    """Which alarms are open."""

    open: dict[Detector, OpenAlarm] = {}

    def detected(self, detector: Detector, now: float, before: float, after: float) -> bool:
        """Note a detection; return whether it is a new alarm, not an open one once more."""
        known = self.open.get(detector)
        if known is not None:
            known.until = now + OPEN_DAYS * _DAY
            return False
        self.open[detector] = OpenAlarm(now, now + OPEN_DAYS * _DAY, before, after)
        return True

    def to_name(self, now: float) -> list[Detector]:
        """Return the open alarms that are to be told once more now; close those that are over."""
        due = []
        for detector, alarm in list(self.open.items()):
            if not alarm.named and now >= alarm.raised_at + NAMED_AFTER_DAYS * _DAY:
                alarm.named = True
                due.append(detector)
            if now >= alarm.until:
                del self.open[detector]
        return due

    def told(self, detector: Detector, now: float, moved: list[Moved]) -> Alarm:
        """Return the message about an open alarm."""
        alarm = self.open[detector]
        text = _MEANING[detector].format(before=alarm.before, after=alarm.after)
        if moved:
            text += f"; most moved: {moved[0].aspect} ({moved[0].value})"
        return Alarm(
            detector=detector,
            raised_at=moment(alarm.raised_at),
            told_at=moment(now),
            before=alarm.before,
            after=alarm.after,
            text=text,
            moved=tuple(moved[:MOST_MOVED]),
        )


def moment(seconds: float) -> datetime:
    """Return seconds since 1970 as an aware time."""
    return datetime.fromtimestamp(seconds, UTC)


def follow(clock: float, at: float, most: float) -> float:
    """Return the clock moved towards a newer time, by so much at most: one wrong time does little harm."""
    if at <= clock:
        return clock
    return at if clock == float("-inf") else min(at, clock + most)


class LabelWatch(msgspec.Struct):
    """Drift, calibration and quality by labels.

    ``offset``: of the last training example taken, -1 before the first; older ones change nothing.
    ``clock``: newest time a label came at, ``began`` the first one, in seconds since 1970. ``recent``:
    offsets of the last labels, by partition of their log. ``terms``: what gave keys their meaning; under
    another model what moved is compared anew.
    """

    detectors: ClassVar = (Detector.LOG_LOSS, Detector.CALIBRATION)

    offset: int = -1
    began: float = float("inf")
    clock: float = float("-inf")
    terms: str = msgspec.field(default_factory=terms_checksum)
    loss: AdaptiveWindow = msgspec.field(default_factory=lambda: AdaptiveWindow(LOSS_DELTA))
    calibration: Calibration = msgspec.field(default_factory=Calibration)
    quality: LiveQuality = msgspec.field(default_factory=LiveQuality)
    unexplained: Unexplained = msgspec.field(default_factory=Unexplained)
    alarms: Alarms = msgspec.field(default_factory=Alarms)
    recent: dict[int, dict[int, None]] = {}

    def note(self, example: TrainingExample, offset: int, segments: tuple[str, ...] = ()) -> list[Alarm]:
        """Take one label; return the alarms to tell because of it.

        A label that corrects an earlier one is passed over: its transaction has counted already. ``segments``
        are those that quality is told by.
        """
        if offset <= self.offset:
            return []
        self.offset = offset
        if example.replaces is not None or self._is_repeated(example.label_position):
            return []
        at = example.event_time.timestamp()
        self.clock = now = follow(self.clock, example.labelled_at.timestamp(), _DAY)
        self.began = min(self.began, now)
        fraud, score, day = example.label is LabelValue.FRAUD, example.score, int(now // _DAY)
        named = example.segments or {}
        if at <= now:
            self.unexplained.frozen = bool(self.alarms.open)
            places = places_of(example.keys)
            places.append(place_of_hour(example.event_time))
            self.unexplained.note(int(at // _HOUR), places, named, example.terminal_id, score, fraud=fraud)
        chosen = {name: named[name] for name in segments if name in named}
        self.quality.note(day, score, chosen, fraud=fraud, alert=example.alert)
        told = (
            [self.alarms.told(one, now, self.unexplained.moved()) for one in self.alarms.to_name(now)]
            if self.alarms.open
            else []
        )
        if now < self.began + WARM_UP_DAYS * _DAY:
            return told
        ended = self.calibration.note(day, score, fraud=fraud)
        if ended is not None and self.alarms.detected(Detector.CALIBRATION, now, *ended):
            told.append(self.alarms.told(Detector.CALIBRATION, now, self.unexplained.moved()))
        loss = self.loss
        if (
            loss.update(clipped_loss(score, fraud))
            and loss.after > loss.before
            and self.alarms.detected(Detector.LOG_LOSS, now, loss.before, loss.after)
        ):
            told.append(self.alarms.told(Detector.LOG_LOSS, now, self.unexplained.moved()))
        return told

    def _is_repeated(self, position: LabelPosition) -> bool:
        """Whether this very label came before, as it may after a crash; remember it otherwise."""
        recent = self.recent.setdefault(position.partition, {})
        if position.offset in recent:
            return True
        recent[position.offset] = None
        if len(recent) > RECENT_LABELS:
            del recent[next(iter(recent))]
        return False


class TrafficWatch(msgspec.Struct):
    """Drift by scores and features alone: days before the first label.

    ``offsets``: of the last classification taken of each partition. Other fields as in :class:`LabelWatch`;
    the times are event times.
    """

    detectors: ClassVar = (Detector.ALERT_RATE,)

    offsets: dict[int, int] = {}
    began: float = float("inf")
    clock: float = float("-inf")
    terms: str = msgspec.field(default_factory=terms_checksum)
    alert_rate: AdaptiveWindow = msgspec.field(default_factory=lambda: AdaptiveWindow(ALERT_DELTA))
    traffic: Movement = msgspec.field(default_factory=lambda: Movement("traffic"))
    alerts: Movement = msgspec.field(default_factory=lambda: Movement("alerts"))
    alarms: Alarms = msgspec.field(default_factory=Alarms)

    def note(  # noqa: PLR0913
        self,
        event_time: datetime,
        keys: tuple[int, ...],
        score: float,
        *,
        amount_minor: int | None = None,
        hour: int | None = None,
        segments: Mapping[str, str] | None = None,
    ) -> list[Alarm]:
        """Take one classification; return the alarms to tell because of it."""
        at = event_time.timestamp()
        self.clock = now = follow(self.clock, at, 4 * _HOUR)
        self.began = min(self.began, now)
        alarms = self.alarms
        if at <= now:
            self.traffic.frozen = self.alerts.frozen = bool(alarms.open)
            places = places_of(keys)
            places.append(place_of_hour(event_time, hour))
            if amount_minor is not None:
                places.append(place_of_amount(amount_minor))
            self.traffic.note(int(at // _HOUR), places, segments)
            if score > ALERT_ABOVE:
                self.alerts.note(int(at // _HOUR), places, segments)
        told = [alarms.told(one, now, self.moved()) for one in alarms.to_name(now)] if alarms.open else []
        if now < self.began + WARM_UP_DAYS * _DAY:
            return told
        rate = self.alert_rate
        if rate.update(float(score > ALERT_ABOVE)) and alarms.detected(
            Detector.ALERT_RATE, now, rate.before, rate.after
        ):
            told.append(alarms.told(Detector.ALERT_RATE, now, self.moved()))
        return told

    def moved(self) -> list[Moved]:
        """Return what has moved among all transactions and among those that score high."""
        found = [*self.traffic.moved(), *self.alerts.moved()]
        found.sort(key=lambda one: (-one.surprise, one.aspect, one.population))
        return found


_encode = msgspec.msgpack.Encoder().encode
_decode_labels = decoder_of(msgspec.msgpack.Decoder(LabelWatch).decode, "the state of a watch over labels")
_decode_traffic = decoder_of(
    msgspec.msgpack.Decoder(TrafficWatch).decode, "the state of a watch over traffic"
)
_encode_alarm = msgspec.json.Encoder().encode


def encode_watch(watch: LabelWatch | TrafficWatch) -> bytes:
    """Return a state as bytes."""
    return _encode(watch)


def decode_label_watch(data: bytes) -> LabelWatch:
    """Return the state of these bytes; what another model's keys were compared by begins anew.

    Raises
    ------
    InvalidMessage
        They are no such state.
    """
    watch = _decode_labels(data)
    if watch.terms != terms_checksum():
        watch.terms, watch.unexplained = terms_checksum(), Unexplained()
    return watch


def decode_traffic_watch(data: bytes) -> TrafficWatch:
    """Return the state of these bytes; what another model's keys were compared by begins anew.

    Raises
    ------
    InvalidMessage
        They are no such state.
    """
    watch = _decode_traffic(data)
    if watch.terms != terms_checksum():
        watch.terms = terms_checksum()
        watch.traffic, watch.alerts = Movement("traffic"), Movement("alerts")
    return watch


def encode_alarm(alarm: Alarm) -> bytes:
    """Return an alarm as JSON."""
    return _encode_alarm(alarm)


decode_alarm = decoder_of(msgspec.json.Decoder(Alarm).decode, "an alarm")
"""Return the alarm of this JSON; anything else is an ``InvalidMessage``."""
