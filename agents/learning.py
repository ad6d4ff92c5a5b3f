"""Training examples teach the model; every worker gets the newest one."""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec

from fraudstream.app import AgentApp
from fraudstream.core.codec import decode_training_example
from fraudstream.core.learning import REMEMBERED_LABELS, HeldExample, Learner, Limits, Outcome
from fraudstream.core.snapshot import decode_snapshot, encode_snapshot
from fraudstream.core.source_alarms import encode_held, held_key, source_alarm
from fraudstream.core.watching import Alarm, encode_alarm
from fraudstream.delivery.atomic import AtomicPublisher, AtomicRecord
from fraudstream.delivery.broadcast import Broadcast
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.work import Work
from fraudstream.errors import InvalidMessage
from tables.serving_model import RISK_OFFSET_HEADER, SNAPSHOT_KEY

log = logging.getLogger(__name__)

_encode_row = msgspec.msgpack.Encoder().encode


class LearnExamples:
    """Learn training examples in their order, and publish the model a few times a second.

    The snapshot carries the offset it has learned up to; a restart goes on from there, whatever was
    committed.
    """

    def __init__(self, app: AgentApp) -> None:
        self._context = app.context
        settings = app.context.settings
        self._limits = Limits(
            terminals=settings.terminals_kept, labels_per_day=settings.source_labels_per_day
        )
        self._publisher = AtomicPublisher(f"{app.conf.id}-publisher", app.context.kafka)
        self._learner = Learner(limits=self._limits)
        self._dead_letters = app.context.dead_letters()
        self._published = -1
        self._next_publication = 0.0

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Fence an earlier learner, then go on from the state it published last."""
        await self._publisher.stop()
        if not partitions:
            return
        await self._publisher.start()
        topics, reader = self._context.topics, self._context.log_reader
        risks = await self._read_risks()
        last = await reader.last_record(topics.model_snapshots.name, 0)
        self._learner = Learner(limits=self._limits)
        if last is not None and last.value is not None:
            self._learner = Learner.restore(decode_snapshot(last.value), risks, limits=self._limits)
        self._published = self._learner.training_offset
        end = self._published + 1
        async for record in reader.read(
            topics.training_examples.name, 0, max(0, end - REMEMBERED_LABELS), end
        ):
            try:
                self._learner.remember(decode_training_example(record.value), record.offset)
            except InvalidMessage:
                continue  # it went to the dead letters when it was new
        log.info(
            "learner goes on", extra={"version": self._learner.version, "training_offset": self._published}
        )

    async def _read_risks(self) -> dict[str, object]:
        rows: dict[str, object] = {}

        def keep(record: object) -> None:
            key, value = record.key, record.value  # type: ignore[attr-defined] # aiokafka's records
            if key is not None and value is not None:
                rows[key.decode()] = msgspec.msgpack.decode(value)
            elif key is not None:
                rows.pop(key.decode(), None)

        broadcast = Broadcast(self._context.kafka_reading, {self._context.topics.entity_risk.name: keep})
        await broadcast.start()
        await broadcast.wait_until_caught_up()
        await broadcast.stop()
        return rows

    def waits_for(self, part: RecordSlice) -> None:
        """Judge every slice at once."""

    def judge(self, part: RecordSlice) -> Work:
        """Learn a slice; it is done when a model that has learned it is published."""
        work = Work(before=partial(self._publish, part.offset))
        learned = refused = 0
        started = time.perf_counter()
        for record in part.records:
            try:
                example = decode_training_example(record.value)
            except InvalidMessage as exc:
                self._dead_letters.add(work, record, exc)
                refused += 1
            else:
                learned += self._learner.learn(example, record.offset) in {Outcome.LEARNED, Outcome.CORRECTED}
        self._dead_letters.brake(len(part), refused)
        self._context.metrics.stage_seconds.labels(agent="learning", stage="learn").observe(
            time.perf_counter() - started
        )
        work.done = partial(self._count, learned, part)
        return work

    async def _publish(self, offset: int) -> None:
        """Return when a model that has learned the example at ``offset`` is published, with its risks."""
        if offset <= self._published:
            return
        await asyncio.sleep(self._next_publication - time.monotonic())
        self._next_publication = time.monotonic() + self._context.settings.snapshot_interval_seconds
        topics = self._context.topics
        rows = self._learner.take_changed()
        snapshot = self._learner.snapshot(datetime.now(UTC))
        encoded = encode_snapshot(snapshot)
        risks = [
            AtomicRecord(topics.entity_risk.name, key.encode(), None if row is None else _encode_row(row))
            for key, row in rows.items()
        ]
        model = AtomicRecord(topics.model_snapshots.name, SNAPSHOT_KEY, encoded)
        held, alarms = (
            self._learner.take_held(),
            [source_alarm(one) for one in self._learner.take_quarantines()],
        )
        beside = [
            AtomicRecord(topics.quarantined_labels.name, held_key(one), encode_held(one)) for one in held
        ]
        beside += [
            AtomicRecord(topics.model_alarms.name, alarm.key.encode(), encode_alarm(alarm))
            for alarm in alarms
        ]
        await self._publisher.publish(risks, model, RISK_OFFSET_HEADER, beside)
        self._tell(held, alarms)
        self._published = max(offset, snapshot.training_offset)
        self._context.metrics.model_version.set(snapshot.version)
        self._context.metrics.training_offset.set(snapshot.training_offset)
        self._context.metrics.snapshot_bytes.set(len(encoded))

    def _tell(self, held: Sequence[HeldExample], alarms: Sequence[Alarm]) -> None:
        metrics, learner = self._context.metrics, self._learner
        for one in held:
            metrics.labels_held.labels(source=one.example.label_source, reason=one.reason).inc()
        for alarm in alarms:
            log.warning("source of labels quarantined", extra={"alarm": alarm.key, "meaning": alarm.text})
            metrics.model_alarms.labels(detector=alarm.detector).inc()
        metrics.sources_quarantined.set(len(learner.trust.quarantined()))
        metrics.terminals.set(len(learner.risks))
        forgotten, learner.forgotten = learner.forgotten, 0
        if forgotten:
            metrics.terminals_forgotten.inc(forgotten)
            log.warning("terminals forgotten, too many are labelled", extra={"forgotten": forgotten})

    def _count(self, learned: int, part: RecordSlice) -> None:
        self._context.metrics.examples_learned.inc(learned)
        self._context.metrics.learning_latency_seconds.observe(max(0.0, time.time() - part.timestamp / 1000))


def attach(app: AgentApp) -> None:
    """Make an app learn."""
    lane = app.open_lane(app.context.topics.training_examples)
    lane.attach(LearnExamples(app), agent_name="learn_examples")
