"""Training examples teach the model; every worker gets the newest one."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from functools import partial

from aiokafka import ConsumerRecord

from fraudstream.app import AgentApp
from fraudstream.core.codec import decode_training_example
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Outcome
from fraudstream.core.messages import LabelValue, TrainingExample
from fraudstream.core.registry import ModelCommand, command_name, decode_command
from fraudstream.delivery.dead_letters import Letter
from fraudstream.delivery.following import Follower
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.ticking import Ticking
from fraudstream.delivery.work import Work
from fraudstream.errors import InvalidInput, InvalidMessage, InvalidSnapshot
from fraudstream.rebuilding import ModelRebuilder
from tables.published_model import PublishedModel

log = logging.getLogger(__name__)

#: How often it is looked whether there are commands to obey.
TICK_SECONDS = 0.1


class LearnExamples:
    """Learn training examples in their order, and publish the model a few times a second.

    The snapshot carries the offset it has learned up to; a restart goes on from there, whatever was
    committed.

    Commands are obeyed between two slices. What a command leads to is published together with the note that
    it was obeyed, as the next version: after a crash it is either there, at its place in the training log
    for ever, or the command is obeyed anew.
    """

    def __init__(self, app: AgentApp, lane: Lane) -> None:
        self._context = app.context
        self._lane = lane
        self._published_model = PublishedModel(app.context, f"{app.conf.id}-publisher")
        self._learner = Learner()
        self._dead_letters = app.context.dead_letters()
        self._published = -1
        self._next_publication = 0.0
        self._follower: Follower | None = None
        self._commands: deque[ConsumerRecord[bytes, bytes]] = deque()
        self._asked = False
        self._idle = asyncio.Event()

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Fence an earlier learner, then go on from the state it published last."""
        await self._let_go()
        if not partitions:
            return
        self._learner = await self._published_model.take_over()
        self._published = self._learner.training_offset
        follower = Follower(
            self._context.kafka_reading,
            self._context.topics.model_commands.name,
            1,
            {0: self._published_model.standing.command_offset},
            self._commands.append,
        )
        await follower.start()
        self._follower = follower  # from now on commands are obeyed: nothing is awaited until slices come
        log.info(
            "learner goes on", extra={"version": self._learner.version, "training_offset": self._published}
        )

    async def _let_go(self) -> None:
        if self._follower is not None:
            follower, self._follower = self._follower, None
            await follower.stop()
        self._commands.clear()
        self._asked = False
        self._idle.set()
        await self._published_model.stop()

    def waits_for(self, part: RecordSlice) -> Awaitable[None] | None:
        """Wait while a command is obeyed: what comes then belongs to the state it leads to."""
        return None if self._idle.is_set() else self._until_idle()

    async def _until_idle(self) -> None:
        await self._idle.wait()

    def judge(self, part: RecordSlice) -> Work:
        """Learn a slice; it is done when a model that has learned it is published."""
        work = Work()
        work.before = partial(self._publish, work, part.offset)
        learned = refused = 0
        started = time.perf_counter()
        for record in part.records:
            try:
                example = decode_training_example(record.value)
            except InvalidMessage as exc:
                self._dead_letters.add(work, part, record, exc)
                refused += 1
            else:
                learned += self._learn(example, record.offset)
        self._dead_letters.brake(len(part), refused)
        self._context.metrics.stage_seconds.labels(agent="learning", stage="learn").observe(
            time.perf_counter() - started
        )
        work.done = partial(self._count, learned, part)
        return work

    def _learn(self, example: TrainingExample, offset: int) -> bool:
        """Learn one example and return whether it taught anything."""
        outcome = self._learner.learn(example, offset)
        if outcome is Outcome.LEARNED:
            recent = self._published_model.standing.recent
            recent.note(example.score, fraud=example.label is LabelValue.FRAUD)
        return outcome in {Outcome.LEARNED, Outcome.CORRECTED}

    async def _publish(self, work: Work, offset: int) -> None:
        """Return when a model that has learned the example at ``offset`` is published, with its risks.

        Commands come first: the state they lead to is the way out when this one is refused.
        """
        await self._obey(work)
        if offset <= self._published:
            return
        await asyncio.sleep(self._next_publication - time.monotonic())
        self._next_publication = time.monotonic() + self._context.settings.snapshot_interval_seconds
        snapshot = await self._published_model.publish(self._learner)
        self._published = max(offset, snapshot.training_offset)

    def tick(self) -> None:
        """Have commands obeyed that have come since, once everything judged so far is durable."""
        if self._commands and not self._asked and self._follower is not None:
            self._asked = True
            work = Work(done=self._answered)
            work.before = partial(self._obey, work)
            self._lane.put(0, work)

    def _answered(self) -> None:
        self._asked = False

    async def _obey(self, work: Work) -> None:
        """Obey the commands that have come, one after the other."""
        while self._commands:
            record = self._commands[0]
            self._idle.clear()
            try:
                await self._obey_one(decode_command(record.value), record.offset)
            except InvalidMessage as exc:
                letter = Letter(
                    record.topic, record.partition, record.offset, record.timestamp, record.key, record.value
                )
                self._dead_letters.add_letter(work, letter, exc)
            finally:
                self._idle.set()
            self._commands.popleft()

    async def _obey_one(self, command: ModelCommand, offset: int) -> None:
        model, action = self._published_model, command_name(command)
        rebuilder = ModelRebuilder(self._context.topics, self._context.log_reader)
        told = {"command": command.id, "action": action, "by": command.by, "reason": command.reason}
        count = self._context.metrics.model_commands
        log.warning("model command taken", extra=told)
        try:
            await self._learn_up_to(command.reaches, rebuilder)
            state = await rebuilder.follow(command, self._learner, model.standing)
            snapshot = await model.replace(self._learner, state, command, offset)
        except (InvalidInput, InvalidSnapshot) as exc:
            await model.refuse(command, offset, str(exc), self._learner.design.name)
            count.labels(action=action, outcome="refused").inc()
            log.warning("model command refused", extra=told | {"refusal": str(exc)})
            return
        self._learner = state.learner
        self._published = max(self._published, snapshot.training_offset)
        count.labels(action=action, outcome="obeyed").inc()
        log.warning("model command obeyed", extra=told | {"version": snapshot.version})

    async def _learn_up_to(self, offset: int, rebuilder: ModelRebuilder) -> None:
        """Learn ahead of the slices, from the log itself: what comes with them later changes nothing."""
        learned = 0
        async for at, example in rebuilder.examples(self._learner.training_offset + 1, offset + 1):
            learned += self._learn(example, at)
        self._context.metrics.examples_learned.inc(learned)

    def _count(self, learned: int, part: RecordSlice) -> None:
        self._context.metrics.examples_learned.inc(learned)
        self._context.metrics.learning_latency_seconds.observe(max(0.0, time.time() - part.timestamp / 1000))


def attach(app: AgentApp) -> None:
    """Make an app learn."""
    lane = app.open_lane(app.context.topics.training_examples)
    agent = LearnExamples(app, lane)
    lane.attach(agent, agent_name="learn_examples")
    app.starts_after(Ticking(TICK_SECONDS, agent.tick))
