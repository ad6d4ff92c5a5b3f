"""Challengers score silently on live traffic, learn from the same labels, and are compared."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from fraudstream.app import AgentApp
from fraudstream.challenger_file import Declared, load_challengers
from fraudstream.core.challengers import ChallengerFailed
from fraudstream.core.codec import decode_training_example
from fraudstream.core.comparison import Guard
from fraudstream.core.contest import Contest
from fraudstream.core.contest_state import Report, encode_contest, encode_report
from fraudstream.core.handover import decode_handover
from fraudstream.core.label_trust import LabelTrust
from fraudstream.core.messages import Position
from fraudstream.core.registry import ModelCommand, decode_standing, encode_command
from fraudstream.core.snapshot import decode_snapshot
from fraudstream.delivery.atomic import AtomicPublisher, AtomicRecord
from fraudstream.delivery.backlog import HIGH
from fraudstream.delivery.broadcast import Apply
from fraudstream.delivery.following import Follower
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.ticking import Ticking
from fraudstream.delivery.work import Work
from fraudstream.errors import InvalidMessage, InvalidSnapshot
from fraudstream.promoting import teach
from fraudstream.rebuilding import ModelRebuilder
from fraudstream.topics import Topic
from tables.challenger_states import CONTEST_KEY, read_stored, restore_contest, state_rows
from tables.held_labels import limits_of
from tables.serving_model import STANDING_HEADER

log = logging.getLogger(__name__)

#: How often it is looked whether there is something to do, and how often the state is published at most,
#: unless labels pile up: it holds every challenger's weights.
TICK_SECONDS, PUBLICATION_SECONDS = 0.5, 3.0
#: Pause before a log that could not be read is tried again.
RETRY_SECONDS = 1.0


class _Seen(msgspec.Struct):
    """The part of a classification that challengers see."""

    source: Position
    keys: tuple[int, ...]


_decode = msgspec.json.Decoder(_Seen).decode


class RunChallengers:
    """Run the challengers that are declared, and the models that served before.

    Two logs are read. A slice of labels waits until every classification that was there before it has been
    scored: no challenger ever knows a label when it scores, nor is it ahead of the serving model. State,
    reports and commands are published in one Kafka transaction, and only then are labels committed: a
    restart goes on from the offsets in the state.
    """

    def __init__(self, app: AgentApp, lane: Lane) -> None:
        self._context = app.context
        self._settings = app.context.settings
        self._lane = lane
        self._publisher = AtomicPublisher(f"{app.conf.id}-publisher", app.context.kafka)
        file = self._settings.challengers
        self._declared: dict[str, Declared] = {} if file is None else load_challengers(file)
        self._limits = limits_of(app.context.settings)
        self._contest = self._new_contest()
        self._followers: list[Follower] = []
        self._catching_up: asyncio.Task[None] | None = None
        self._reports: list[Report] = []
        self._commands: list[ModelCommand] = []
        self._stored: set[str] = set()
        self._published = -1
        self._changed = self._owner = False
        self._next_publication = 0.0
        self._piled_up = asyncio.Event()

    def _new_contest(self) -> Contest:
        settings = self._settings
        return Contest(
            Guard(days=settings.challenger_days, margin=settings.challenger_margin),
            settings.review_budget,
            settings.label_wait.total_seconds(),
            settings.challenger_memory,
            self._limits,
        )

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Fence an earlier worker, then go on from the state it published last."""
        await self._let_go()
        if not partitions:
            return
        await self._publisher.start()
        self._contest = self._new_contest()
        self._reports, self._commands = [], []
        await self._restore()
        state, topics = self._contest.state, self._context.topics
        self._contest.hearing.training_offset = state.offset
        await self._training_log().remember_labels(self._contest.hearing, ())
        self._published = state.offset
        self._followers = [
            self._follow(topics.classifications, state.classified, self._take_classification),
            self._follow(topics.model_handovers, {0: state.handover}, self._take_handover),
        ]
        for follower in self._followers:
            await follower.start()
        self._catching_up = asyncio.create_task(self._teach_those_behind(), name="challengers-catching-up")
        self._owner = self._changed = True
        log.info(
            "challengers go on",
            extra={"training_offset": state.offset, "challengers": sorted(self._contest.challengers)},
        )

    async def _let_go(self) -> None:
        self._owner = False
        if self._catching_up is not None:
            task, self._catching_up = self._catching_up, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        followers, self._followers = self._followers, []
        for follower in followers:
            await follower.stop()
        await self._publisher.stop()

    async def _restore(self) -> None:
        reader, topics = self._context.log_reader, self._context.topics
        stored = await read_stored(reader, topics)
        last = await reader.last_record(topics.model_snapshots.name, 0)
        serving = None if last is None or last.value is None else decode_snapshot(last.value)
        self._stored = set(stored.challengers)
        state = self._contest.state
        if stored.state is None:  # the first start: what is classified already is nobody's to score
            state.classified = await self._ends_of_classifications()
            if last is not None and serving is not None:
                state.serving, state.offset = serving.design.name, serving.training_offset
                self._contest.hearing.trust = LabelTrust.from_bytes(serving.trust)
                state.since = max(1, decode_standing(dict(last.headers).get(STANDING_HEADER)).lineage)
        restore_contest(self._contest, stored, self._declared, serving)

    async def _ends_of_classifications(self) -> dict[int, int]:
        topic, reader = self._context.topics.classifications, self._context.log_reader
        return {p: (await reader.bounds(topic.name, p)).end - 1 for p in range(topic.partitions)}

    def _follow(self, topic: Topic, taken: Mapping[int, int], take: Apply) -> Follower:
        return Follower(self._context.kafka_reading, topic.name, topic.partitions, taken, take)

    def _training_log(self) -> ModelRebuilder:
        return ModelRebuilder(self._context.topics, self._context.log_reader)

    async def _teach_those_behind(self) -> None:
        training_log = self._training_log()
        while True:
            for challenger in self._contest.behind():
                try:
                    await teach(training_log, challenger, lambda: self._contest.state.offset, self._limits)
                except ChallengerFailed as exc:
                    self._contest.fail(challenger.name, exc)
                except KafkaError as exc:
                    log.warning("training examples unreachable, trying again", extra={"reason": repr(exc)})
                    break
                else:
                    self._contest.admit(challenger)
                    log.info("challenger takes part", extra={"challenger": challenger.name})
                self._changed = True
            await asyncio.sleep(RETRY_SECONDS)

    async def waits_for(self, part: RecordSlice) -> None:
        """Wait until every classification that is there by now has been scored."""
        topic, reader = self._context.topics.classifications, self._context.log_reader
        for partition in range(topic.partitions):
            bounds = await reader.bounds(topic.name, partition)
            if bounds.end > bounds.low:
                await self._followers[0].until_taken(partition, bounds.end - 1)

    def judge(self, part: RecordSlice) -> Work:
        """Take a slice of labels; it is done when the state that holds them is published."""
        contest = self._contest
        for record in part.records:
            try:
                example = decode_training_example(record.value)
            except InvalidMessage:
                continue  # the learner sets it aside
            reports = contest.note(example, record.offset)
            if reports:
                self._reports += reports
                leader = contest.leader(reports) if self._settings.challenger_guard else None
                if leader is not None:
                    self._commands.append(contest.command(leader, datetime.now(UTC)))
        self._changed = True
        if self._lane.backlog.records() + len(part) >= HIGH:
            self._piled_up.set()
        return Work(before=partial(self._publish, part.offset))

    def _take_classification(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        try:
            seen = None if record.value is None else _decode(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            seen = None  # written by no scorer of ours: the sinks tell
        if seen is not None:
            started = time.thread_time()
            self._contest.score(seen.source, seen.keys)
            self._context.metrics.challenger_score_seconds.set(time.thread_time() - started)
        self._contest.state.classified[record.partition] = record.offset
        self._changed = True

    def _take_handover(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        declared = {name: one.text for name, one in self._declared.items()}
        self._changed = True
        try:
            handover = decode_handover(record.value)
            self._contest.take_handover(handover, record.offset, declared)
        except (InvalidMessage, InvalidSnapshot) as exc:
            log.error("answer of the learner unusable", extra={"offset": record.offset, "reason": str(exc)})  # noqa: TRY400
            return
        log.warning(
            "serving model answered",
            extra={"command": handover.id, "serving": handover.serving, "refusal": handover.refusal},
        )

    def tick(self) -> None:
        """Queue a publication when one is due and no label in hand will lead to one."""
        self._tell_failures()
        if self._owner and self._changed and not self._lane.backlog.pieces():
            self._lane.put(0, Work(before=partial(self._publish, self._published + 1)))
        metrics = self._context.metrics
        for name, challenger in self._contest.challengers.items():
            metrics.challenger_lag.labels(challenger=name).set(
                max(0, self._contest.state.offset - challenger.offset)
            )

    def _tell_failures(self) -> None:
        while self._contest.failed:
            name, reason = self._contest.failed.popitem()
            extra = {"challenger": name, "reason": reason}
            log.error("challenger failed, it takes no further part", extra=extra)

    async def _publish(self, offset: int) -> None:
        """Return when a state that holds the label at ``offset`` is published: all of it, or nothing."""
        if offset <= self._published:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._piled_up.wait(), max(0.0, self._next_publication - time.monotonic()))
        self._piled_up.clear()
        self._next_publication = time.monotonic() + PUBLICATION_SECONDS
        topics, contest = self._context.topics, self._contest
        self._changed = False
        reports, self._reports = self._reports, []
        commands, self._commands = self._commands, []
        kept = {one.name: one for one in contest.kept()}
        states = topics.challenger_states.name
        records = [
            *(AtomicRecord(states, key, value) for key, value in state_rows(contest, kept, self._stored)),
            *(
                AtomicRecord(topics.challenger_reports.name, one.challenger.encode(), encode_report(one))
                for one in reports
            ),
            *(
                AtomicRecord(topics.model_commands.name, one.id.encode(), encode_command(one))
                for one in commands
            ),
            AtomicRecord(states, CONTEST_KEY, encode_contest(contest.stored_state())),
        ]
        reached = contest.state.offset
        await self._publisher.publish(records)
        self._stored = set(kept)
        self._published = max(self._published, reached)
        self._show(reports)

    def _show(self, reports: Sequence[Report]) -> None:
        metrics = self._context.metrics
        for one in reports:
            if one.comparison.log_loss is not None:
                metrics.challenger_difference.labels(challenger=one.challenger).set(
                    one.comparison.log_loss.difference
                )
            metrics.challenger_better.labels(challenger=one.challenger).set(one.verdict.better)


def attach(app: AgentApp) -> None:
    """Make an app run challengers."""
    lane = app.open_lane(app.context.topics.training_examples)
    agent = RunChallengers(app, lane)
    lane.attach(agent, agent_name="run_challengers")
    app.starts_after(Ticking(TICK_SECONDS, agent.tick))
