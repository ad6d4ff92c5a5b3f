"""One agent's way from slices to checkpoints: nothing lost, nothing doubled.

A lane belongs to one Faust app with one agent. It judges slices as they come, hands what follows to one
delivery task a partition (so that the next slice is computed while the last is in flight, in order), and
holds back a partition whose work piles up, without stopping the others.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError, ProducerFenced
from faust.types import TP, EventT, StreamT

from fraudstream.delivery.backlog import Backlog
from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.fencing import FencedProducers
from fraudstream.delivery.records import OutRecord
from fraudstream.delivery.slices import SLICE_SIZE, RecordSlice, sliced_topic
from fraudstream.delivery.stopping import ExitStatus, stop_process
from fraudstream.delivery.table import SliceTable
from fraudstream.delivery.work import Consumer, SliceHandler, Work
from fraudstream.errors import OperatorError, StoreUnavailable
from fraudstream.metrics import Metrics

log = logging.getLogger(__name__)

#: Pause between tries of a store: doubled from the first to the last, half of it random so that workers
#: spread.
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.2, 5.0


@dataclass(slots=True)
class _Pending:
    """Work of one or more slices or timers that is made durable by one checkpoint."""

    events: list[EventT[Any]]  # of its slices; a timer's work has none
    work: Work
    early: asyncio.Task[None] | None
    queued_at: float
    records: int
    done: list[Callable[[], None]]
    pieces: int = 1

    def join(self, later: "_Pending") -> None:
        self.events += later.events
        self.work.join(later.work)
        self.records += later.records
        self.done += later.done
        self.pieces += later.pieces


class _LetGo(Exception):
    """The partition may move; unfinished work is left to its next owner."""


def _slice_of(event: EventT[Any]) -> RecordSlice:
    return cast(RecordSlice, event.value)


class Lane:
    """Delivers one agent's work.

    Parameters
    ----------
    app
        The Faust app, whose transport is a ``SliceTransport``.
    source
        Topic read.
    output
        Topic that ``Work.outputs`` go to; None when there are none.
    aligned
        The output has as many partitions as the source: a record goes to the partition of its source, and
        one at or below the published tail is not published again. Otherwise outputs go to partition 0 and
        their readers tell replays.
    table
        State kept by the agent, if any.
    epoch
        Refuses partitions whose published or stored results belong to another life of the source.
    """

    def __init__(  # noqa: PLR0913 - what differs between agents, all of it by name
        self,
        app: faust.App,
        *,
        name: str,
        source: str,
        output: str | None,
        aligned: bool,
        table: SliceTable[Any] | None,
        producers: FencedProducers,
        epoch: EpochGuard,
        metrics: Metrics,
    ) -> None:
        self.app = app
        self.name = name
        self.source = source
        self.output = output
        self.aligned = aligned
        self.table = table
        self.producers = producers
        self.epoch = epoch
        self.metrics = metrics
        self.owned: set[int] = set()
        self._handler: SliceHandler | None = None
        self._queues: dict[int, asyncio.Queue[_Pending]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._early: set[asyncio.Task[None]] = set()
        self._letting_go = asyncio.Event()
        self._tails: dict[int, int] = {}
        #: While there is any work in hand, memory is ahead of the changelog.
        self.backlog = Backlog(
            name,
            metrics,
            hold=lambda partition: self._consumer.hold(TP(source, partition)),
            release=lambda partition: self._consumer.release(TP(source, partition)),
        )
        #: Partitions of which judged work was given up: memory is ahead of the changelog until it is
        #: recovered.
        self._ahead: set[int] = set()

    def attach(self, handler: SliceHandler, *, agent_name: str) -> None:
        """Make ``handler`` the app's one agent."""
        self._handler = handler
        topic = sliced_topic(self.app, self.source)

        async def run(stream: StreamT[Any]) -> None:
            async for event in cast("faust.Stream[Any]", stream).noack().events():
                await self._accept(event)

        run.__doc__ = handler.__doc__
        run.__name__ = agent_name
        self.app.agent(topic, name=agent_name)(run)

    async def _accept(self, event: EventT[Any]) -> None:
        part = _slice_of(event)
        handler = self._handler
        assert handler is not None, "attach() comes first"  # noqa: S101 - a fault of ours, not of a message
        try:
            waiting = handler.waits_for(part)
            if waiting is not None:
                await self._unless_letting_go(waiting)
            if event.message.generation_id != self.app.consumer_generation_id:
                event.ack()  # not processed: the next owner reads it again
                return
            work = handler.judge(part)
        except _LetGo:
            event.ack()
            return
        except asyncio.CancelledError:
            raise
        except OperatorError as exc:
            stop_process(str(exc), ExitStatus.REFUSED)
        except BaseException:  # noqa: BLE001 - whatever it was, this slice must not be marked
            stop_process(f"{self.name} could not judge {part!r}")
        self.put(part.partition, work, event=event)

    async def _unless_letting_go(self, waiting: Awaitable[None]) -> None:
        """Wait, but never so long that a rebalance waits too."""
        both = [asyncio.ensure_future(waiting), asyncio.ensure_future(self._letting_go.wait())]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
        if both[0] not in done:
            raise _LetGo
        await both[0]

    def put(self, partition: int, work: Work, *, event: EventT[Any] | None = None) -> None:
        """Queue work for a partition behind what is already there; a timer's work has no event."""
        queue = self._queues.get(partition)
        if queue is None:
            queue = self._queues[partition] = asyncio.Queue()
            self._tasks[partition] = asyncio.create_task(
                self._deliver(partition, queue), name=f"{self.name}-{partition}"
            )
        events = [] if event is None else [event]
        records = 0 if event is None else len(_slice_of(event))
        done = [] if work.done is None else [work.done]
        queue.put_nowait(_Pending(events, work, self._start_early(work), time.monotonic(), records, done))
        self.backlog.add(partition, records)

    def _start_early(self, work: Work) -> asyncio.Task[None] | None:
        if work.early is None:
            return None
        early = work.early
        # Many may wait for one store at once: none of them may keep a rebalance waiting.
        action = self._until_available(lambda: self._unless_letting_go(early()))
        task = asyncio.create_task(action, name=f"{self.name}-early")
        self._early.add(task)
        task.add_done_callback(self._early_ended)
        return task

    def _early_ended(self, task: asyncio.Task[None]) -> None:
        self._early.discard(task)
        if not task.cancelled():
            task.exception()  # told by whoever awaits it; nobody does once the partition has moved

    @property
    def _consumer(self) -> Consumer:
        return self.app.consumer  # type: ignore[return-value] # our own SliceConsumer

    async def _deliver(self, partition: int, queue: asyncio.Queue[_Pending]) -> None:
        following: _Pending | None = None
        while True:
            pending = following or await queue.get()
            following = self._join_waiting(pending, queue)
            self.backlog.begin(partition, pending.queued_at)
            try:
                await self._checkpoint(partition, pending)
            except _LetGo:
                if pending.events or pending.work.changes:
                    self._ahead.add(partition)
                for event in pending.events:
                    event.ack()  # unprocessed: acknowledged to Faust, never counted by the consumer
            except ProducerFenced:
                stop_process(f"{self.name}: another worker owns partition {partition} now", ExitStatus.FENCED)
            except OperatorError as exc:
                stop_process(f"{self.name}: {exc}", ExitStatus.REFUSED)
            except KafkaError as exc:
                stop_process(
                    f"{self.name}: the broker did not take partition {partition}: {exc!r}", ExitStatus.FENCED
                )
            except asyncio.CancelledError:
                raise
            except BaseException:  # noqa: BLE001 - nothing may be marked after a failure, whatever it was
                stop_process(f"{self.name} could not deliver partition {partition}")
            finally:
                self.backlog.end(partition, pending.records, pending.pieces)

    @staticmethod
    def _join_waiting(pending: _Pending, queue: asyncio.Queue[_Pending]) -> _Pending | None:
        """Join what waits behind plain work to it; return what was taken from the queue and cannot join.

        Where a little traffic comes record by record, two requests for each slice would keep a core busy;
        what came while others were on their way shares them.
        """
        while pending.work.is_plain and not queue.empty() and pending.records < SLICE_SIZE:
            later = queue.get_nowait()
            if not later.work.is_plain:
                return later
            pending.join(later)
        return None

    async def _checkpoint(self, partition: int, pending: _Pending) -> None:
        """Make the work of slices durable, in this order, and only then let their offsets be committed.

        1. ``early``, which began when the slice was queued, then ``before``: stores are written and looked
           up, retried while they are down.
        2. Notices, then outputs are published and every acknowledgement awaited. Of an aligned lane,
        records at or
           below the published tail are left out: an earlier run of this slice published them.
        3. Each changed key is written once to the changelog, its value carrying the highest source offset
        applied;
           acknowledgement awaited.
        4. ``after``: stores learn what was published.
        5. The slices are marked processed and acknowledged; Faust may commit them.

        A crash between any two steps repeats the slices from step 1, and every step is idempotent: stores by
        position, outputs by the tail, table entries by their applied offset.
        """
        work = pending.work
        if pending.early is not None:
            await pending.early
        if work.before is not None:
            await self._until_available(work.before)
        self._refuse_if_lost(partition, pending)
        started = time.perf_counter()
        outputs, notices = work.outputs, work.notices
        if self.output is not None and self.aligned and (outputs or notices):
            tail = await self._tail(partition)
            outputs = self._above(tail, outputs)
            notices = {topic: self._above(tail, records) for topic, records in notices.items()}
        for topic, records in notices.items():
            await self.producers.send(partition, topic, records)
        if self.output is not None and outputs:
            await self.producers.send(
                partition, self.output, outputs, to_partition=None if self.aligned else 0
            )
            if self.aligned:
                self._tails[partition] = outputs[-1].source_offset
        published = time.perf_counter()
        changes = work.changes if pending.pieces == 1 else list(dict(work.changes).items())
        if self.table is not None and changes:
            await self.table.write(partition, changes, self.producers)
        written = time.perf_counter()
        if work.after is not None:
            await self._until_available(work.after)
        for event in pending.events:
            _slice_of(event).processed = True
            event.ack()
        for tell in pending.done:
            tell()
        stage = self.metrics.stage_seconds
        stage.labels(agent=self.name, stage="publish").observe(published - started)
        stage.labels(agent=self.name, stage="changelog").observe(written - published)
        stage.labels(agent=self.name, stage="slice").observe(time.monotonic() - pending.queued_at)
        self.metrics.checkpoint_time.labels(agent=self.name).set_to_current_time()
        passed = self.metrics.stage_records
        passed.labels(agent=self.name, stage="publish").inc(len(outputs))
        passed.labels(agent=self.name, stage="changelog").inc(len(changes))
        passed.labels(agent=self.name, stage="slice").inc(pending.records)

    def _above(self, tail: int, records: list[OutRecord]) -> list[OutRecord]:
        if not records or records[0].source_offset > tail:
            return records
        fresh = [record for record in records if record.source_offset > tail]
        self.metrics.published_tail_skips.labels(agent=self.name).inc(len(records) - len(fresh))
        return fresh

    def _refuse_if_lost(self, partition: int, pending: _Pending) -> None:
        # What follows a slice that was let go is let go too, though nothing kept it waiting: its offsets must
        # not be committed past those of the other.
        generation = self.app.consumer_generation_id
        if (
            partition in self._ahead
            or partition not in self.owned
            or any(event.message.generation_id != generation for event in pending.events)
        ):
            raise _LetGo

    async def _tail(self, partition: int) -> int:
        # Read once a (partition, assignment), at its first slice: after the fence, so that nobody else can
        # move it; afterwards only our own publishes move it.
        if partition not in self._tails:
            assert self.output is not None  # noqa: S101 - an aligned lane has an output
            self._tails[partition] = await self.epoch.published_tail(self.output, partition)
        return self._tails[partition]

    async def _until_available(self, action: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            if self._letting_go.is_set():
                raise _LetGo
            try:
                await action()
            except StoreUnavailable as exc:
                if pause == FIRST_PAUSE_SECONDS:
                    log.warning(
                        "store unavailable, its agent waits",
                        extra={"agent": self.name, "store": exc.store, "reason": exc.reason},
                    )
                wait = pause * random.uniform(0.5, 1.0)
                pause = min(pause * 2, LAST_PAUSE_SECONDS)
                try:
                    await asyncio.wait_for(self._letting_go.wait(), wait)
                except TimeoutError:
                    continue
            else:
                return

    def let_go(self) -> None:
        """Leave work that waits for a store to the next owner; what is being published still finishes."""
        self._letting_go.set()

    async def take_over(self, assigned: Iterable[TP]) -> None:
        """Become the owner of exactly these partitions, before Faust recovers their state.

        1. Whatever is still queued here is dropped: nothing of this process is in flight afterwards.
        2. The epoch is checked; a mismatch ends the process with both offsets named.
        3. Older owners are fenced from the outputs and the changelog.
        4. State in memory is kept only where it provably equals the changelog; else it is forgotten and
        recovered.
        """
        partitions = sorted(tp.partition for tp in assigned if tp.topic == self.source)
        self._letting_go.set()
        clean = self.backlog.without_work(self.owned) - self._ahead
        running = [*self._tasks.values(), *self._early]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._tasks.clear()
        self._queues.clear()
        self.backlog.clear()
        self._tails.clear()
        self._ahead.clear()
        await self.producers.release(self.owned - set(partitions))
        self.owned = set(partitions)
        try:
            await self.epoch.check(partitions)
            claims = await asyncio.gather(*(self._fence(partition) for partition in partitions))
            if self.table is not None:
                self.table.take_over(
                    {p: claim for p, claim in zip(partitions, claims, strict=True) if claim is not None},
                    clean,
                )
            if self._handler is not None:
                await self._handler.take_over(partitions)
        except OperatorError as exc:
            stop_process(f"{self.name}: {exc}", ExitStatus.REFUSED)
        except KafkaError as exc:
            stop_process(
                f"{self.name}: could not take over partitions {partitions}: {exc!r}", ExitStatus.FENCED
            )
        except asyncio.CancelledError:
            raise
        except BaseException:  # noqa: BLE001 - aiokafka would log it and go on without an owner
            stop_process(f"{self.name}: could not take over partitions {partitions}")
        self._letting_go.clear()
        self.metrics.rebalances.labels(agent=self.name).inc()

    async def _fence(self, partition: int) -> int | None:
        logs = [self.output] if self.output is not None and self.aligned else []
        changelogs = [self.table.changelog_topic_name] if self.table is not None else []
        claims = await self.producers.claim(partition, logs, changelogs)
        return claims[changelogs[0]] if changelogs else None
