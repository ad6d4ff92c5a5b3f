"""Training examples teach the model; every worker gets the newest one."""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
from aiokafka import ConsumerRecord

from fraudstream.app import AgentApp
from fraudstream.core.challengers import KeyedChallenger
from fraudstream.core.codec import decode_training_example
from fraudstream.core.learning import REMEMBERED_LABELS, Learner, Outcome
from fraudstream.core.model_commands import Handover, Promote, decode_command, encode_handover
from fraudstream.core.snapshot import Snapshot, decode_snapshot, encode_snapshot
from fraudstream.delivery.atomic import AtomicPublisher, AtomicRecord
from fraudstream.delivery.broadcast import Broadcast
from fraudstream.delivery.following import Follower
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.ticking import Ticking
from fraudstream.delivery.work import Work
from fraudstream.errors import InvalidMessage, InvalidSnapshot
from tables.serving_model import RISK_OFFSET_HEADER, SNAPSHOT_KEY
from tables.training_log import catch_up

log = logging.getLogger(__name__)

#: How often it is looked whether a command is due.
TICK_SECONDS = 1.0

_encode_row = msgspec.msgpack.Encoder().encode


class LearnExamples:
    """Learn training examples in their order, and publish the model a few times a second.

    The snapshot carries the offset it has learned up to, and that of the last command obeyed; a restart goes
    on from there, whatever was committed.
    """

    def __init__(self, app: AgentApp, lane: Lane) -> None:
        self._context = app.context
        self._lane = lane
        self._publisher = AtomicPublisher(f"{app.conf.id}-publisher", app.context.kafka)
        self._learner = Learner()
        self._dead_letters = app.context.dead_letters()
        self._published = -1
        self._next_publication = 0.0
        self._follower: Follower | None = None
        self._commands: list[tuple[int, Promote, Snapshot | str]] = []

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Fence an earlier learner, then go on from the state it published last."""
        await self._publisher.stop()
        if self._follower is not None:
            follower, self._follower = self._follower, None
            await follower.stop()
        self._commands.clear()
        if not partitions:
            return
        await self._publisher.start()
        topics, reader = self._context.topics, self._context.log_reader
        risks = await self._read_risks()
        last = await reader.last_record(topics.model_snapshots.name, 0)
        self._learner = Learner()
        if last is not None and last.value is not None:
            self._learner = Learner.restore(decode_snapshot(last.value), risks)
        self._published = self._learner.training_offset
        end = self._published + 1
        async for record in reader.read(
            topics.training_examples.name, 0, max(0, end - REMEMBERED_LABELS), end
        ):
            try:
                self._learner.remember(decode_training_example(record.value))
            except InvalidMessage:
                continue  # it went to the dead letters when it was new
        commands = topics.model_commands
        self._follower = Follower(
            self._context.kafka_reading,
            commands.name,
            commands.partitions,
            {0: self._learner.command_offset},
            self._take_command,
        )
        await self._follower.start()
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

    def _take_command(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        try:
            command = decode_command(record.value)
        except InvalidMessage as exc:
            log.error("command refused", extra={"offset": record.offset, "reason": str(exc)})  # noqa: TRY400
            return
        try:
            found: Snapshot | str = decode_snapshot(command.snapshot)
        except InvalidSnapshot as exc:
            found = str(exc)
        self._commands.append((record.offset, command, found))

    def tick(self) -> None:
        """Queue a publication when a command is due and nothing else in hand will lead to one."""
        if self._is_due() and 0 in self._lane.owned and not self._lane.pending():
            self._lane.put(0, Work(before=partial(self._publish, -1)))

    def _is_due(self) -> bool:
        """Whether the first command in hand can be obeyed: its model has learned no more than ours."""
        if not self._commands:
            return False
        found = self._commands[0][2]
        return isinstance(found, str) or found.training_offset <= self._learner.training_offset

    async def _obey(self) -> list[Handover]:
        """Obey the commands that are due, in their order; what changes is published with the answers."""
        answers = []
        while self._is_due():
            offset, command, found = self._commands.pop(0)
            answers.append(await self._promote(command, found))
            self._learner.command_offset = offset
        return answers

    async def _promote(self, command: Promote, found: Snapshot | str) -> Handover:
        learner, now = self._learner, datetime.now(UTC)
        serving = learner.design.name
        if isinstance(found, str):
            return Handover(id=command.id, serving=serving, refusal=found, at=now)
        if found.design.name == serving:
            refusal = f"{serving} serves already"
            return Handover(id=command.id, serving=serving, refusal=refusal, at=now)
        challenger = KeyedChallenger.of(found)
        reader, topic = self._context.log_reader, self._context.topics.training_examples.name
        await catch_up(reader, topic, challenger, lambda: learner.training_offset)
        # No other task runs from here on: the learner cannot move on between the two models.
        former = learner.state(now)
        learner.go_on_with(challenger.snapshot())
        return Handover(
            id=command.id,
            serving=found.design.name,
            former=serving,
            version=learner.version + 1,
            training_offset=learner.training_offset,
            former_snapshot=encode_snapshot(former),
            at=now,
        )

    async def _publish(self, offset: int) -> None:
        """Return when a model that has learned the example at ``offset`` is published, with its risks.

        What was ordered meanwhile is obeyed first, and published with it: all of it, or nothing.
        """
        if offset <= self._published and not self._is_due():
            return
        await asyncio.sleep(self._next_publication - time.monotonic())
        self._next_publication = time.monotonic() + self._context.settings.snapshot_interval_seconds
        topics = self._context.topics
        answers = await self._obey()
        rows = self._learner.take_changed()
        snapshot = self._learner.snapshot(datetime.now(UTC))
        encoded = encode_snapshot(snapshot)
        risks = [
            AtomicRecord(topics.entity_risk.name, key.encode(), _encode_row(row)) for key, row in rows.items()
        ]
        told = [
            AtomicRecord(topics.model_handovers.name, one.id.encode(), encode_handover(one))
            for one in answers
        ]
        model = AtomicRecord(topics.model_snapshots.name, SNAPSHOT_KEY, encoded)
        await self._publisher.publish(risks, model, RISK_OFFSET_HEADER, told)
        self._published = max(offset, snapshot.training_offset)
        self._context.metrics.model_version.set(snapshot.version)
        self._context.metrics.training_offset.set(snapshot.training_offset)
        self._context.metrics.snapshot_bytes.set(len(encoded))
        for one in answers:
            outcome = "refused" if one.refusal else "promoted"
            self._context.metrics.promotions.labels(outcome=outcome).inc()
            log.warning(
                "promotion",
                extra={
                    "command": one.id,
                    "serving": one.serving,
                    "former": one.former,
                    "refusal": one.refusal,
                },
            )

    def _count(self, learned: int, part: RecordSlice) -> None:
        self._context.metrics.examples_learned.inc(learned)
        self._context.metrics.learning_latency_seconds.observe(max(0.0, time.time() - part.timestamp / 1000))


def attach(app: AgentApp) -> None:
    """Make an app learn."""
    lane = app.open_lane(app.context.topics.training_examples)
    agent = LearnExamples(app, lane)
    lane.attach(agent, agent_name="learn_examples")
    app.starts_after(Ticking(TICK_SECONDS, agent.tick))
