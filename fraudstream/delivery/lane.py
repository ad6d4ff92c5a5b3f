"""One agent's way from slices to checkpoints: nothing lost, nothing doubled.

A lane belongs to one Faust app with one agent. It judges slices as they come, hands what follows to one
delivery task a partition (so that the next slice is computed while the last is in flight, in order) and
its state to another, and holds back a partition whose work piles up, without stopping the others.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError, ProducerFenced
from faust.types import TP, EventT, StreamT

from fraudstream.delivery.backlog import Backlog
from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.fencing import FencedProducers
from fraudstream.delivery.pending import Pending, Published, slice_of
from fraudstream.delivery.records import OutRecord
from fraudstream.delivery.slices import SLICE_SIZE, sliced_topic
from fraudstream.delivery.stopping import ExitStatus, stop_process
from fraudstream.delivery.table import SliceTable
from fraudstream.delivery.work import Consumer, SliceHandler, Work
from fraudstream.errors import OperatorError, StoreUnavailable
from fraudstream.metrics import Metrics

log = logging.getLogger(__name__)

#: Pause between tries of a store: doubled from the first to the last, half of it random so that workers
#: spread.
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.2, 5.0


class _LetGo(Exception):
    """The partition may move; unfinished work is left to its next owner."""


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
        self._queues: dict[int, asyncio.Queue[Pending]] = {}
        self._published: dict[int, Published] = {}
        self._tasks: list[asyncio.Task[None]] = []
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
        part = slice_of(event)
        handler = self._handler
        assert handler is not None, "attach() comes first"  # noqa: S101 - a fault of ours, not of a message
        with self._stopping(f"judge {part!r}"):
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
        self.put(part.partition, work, event=event)

    @contextlib.contextmanager
    def _stopping(self, action: str) -> Iterator[None]:
        """End the process if an action fails, whatever it was: nothing may be marked after that."""
        try:
            yield
        except ProducerFenced:
            stop_process(f"{self.name}: could not {action}: another worker owns it now", ExitStatus.FENCED)
        except OperatorError as exc:
            stop_process(f"{self.name}: {exc}", ExitStatus.REFUSED)
        except KafkaError as exc:
            stop_process(f"{self.name}: could not {action}: {exc!r}", ExitStatus.FENCED)
        except asyncio.CancelledError:
            raise
        except BaseException:  # noqa: BLE001 - Faust and aiokafka would log it and go on
            stop_process(f"{self.name} could not {action}")

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
            published = self._published[partition] = Published()
            self._tasks += [
                asyncio.create_task(
                    self._deliver(partition, queue, published), name=f"{self.name}-{partition}"
                ),
                asyncio.create_task(self._keep(partition, published), name=f"{self.name}-{partition}-state"),
            ]
        events = [] if event is None else [event]
        records = 0 if event is None else len(slice_of(event))
        told = [] if work.published is None else [work.published]
        done = [] if work.done is None else [work.done]
        early = self._start_early(work)
        queue.put_nowait(Pending(events, work, early, time.monotonic(), records, told, done))
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

    async def _deliver(self, partition: int, queue: asyncio.Queue[Pending], published: Published) -> None:
        following: Pending | None = None
        while True:
            pending = following or await queue.get()
            following = self._join_waiting(pending, queue)
            if pending.work.is_plain and self.table is not None:
                # Whoever reads the output waits for this; nobody waits for the state behind it.
                if await self._attempt(partition, pending, self._publish):
                    published.add(pending)
                    if self._letting_go.is_set():
                        published.hurry()
                continue
            await published.nothing()
            if await self._attempt(partition, pending, self._checkpoint):
                self.backlog.end(partition, pending.records, pending.pieces)

    async def _keep(self, partition: int, published: Published) -> None:
        while True:
            pending = await published.take()
            if await self._attempt(partition, pending, self._settle):
                self.backlog.end(partition, pending.records, pending.pieces)
            published.kept()

    async def _attempt(
        self, partition: int, pending: Pending, action: Callable[[int, Pending], Awaitable[None]]
    ) -> bool:
        """Do a part of what makes work durable; return False if the work is left to the next owner."""
        with self._stopping(f"deliver partition {partition}"):
            try:
                await action(partition, pending)
            except _LetGo:
                if pending.events or pending.work.changes:
                    self._ahead.add(partition)
                for event in pending.events:
                    event.ack()  # unprocessed: acknowledged to Faust, never counted by the consumer
                self.backlog.end(partition, pending.records, pending.pieces)
                return False
        return True

    @staticmethod
    def _join_waiting(pending: Pending, queue: asyncio.Queue[Pending]) -> Pending | None:
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

    async def _checkpoint(self, partition: int, pending: Pending) -> None:
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

        Where nothing but publishing follows, step 2 of the next slices does not wait for step 3 of these, and
        one step 3 serves them together. Steps of one kind keep their order, so the changelog is never ahead
        of what is published, nor a commit of the changelog.
        """
        if pending.early is not None:
            await pending.early
        if pending.work.before is not None:
            await self._until_available(pending.work.before)
        await self._publish(partition, pending)
        await self._settle(partition, pending)

    async def _publish(self, partition: int, pending: Pending) -> None:
        self._refuse_if_lost(partition, pending)
        started = time.perf_counter()
        outputs, notices = pending.work.outputs, pending.work.notices
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
        for tell in pending.published:
            tell()
        self._measure("publish", time.perf_counter() - started, len(outputs))

    async def _settle(self, partition: int, pending: Pending) -> None:
        self._refuse_if_lost(partition, pending)
        started = time.perf_counter()
        work = pending.work
        changes = pending.changes()
        if self.table is not None and changes:
            await self.table.write(partition, changes, self.producers)
        self._measure("changelog", time.perf_counter() - started, len(changes))
        if work.after is not None:
            await self._until_available(work.after)
        for event in pending.events:
            slice_of(event).processed = True
            event.ack()
        for tell in pending.done:
            tell()
        self._measure("slice", time.monotonic() - pending.queued_at, pending.records)
        self.metrics.checkpoint_time.labels(agent=self.name).set_to_current_time()

    def _measure(self, stage: str, seconds: float, records: int) -> None:
        self.metrics.stage_seconds.labels(agent=self.name, stage=stage).observe(seconds)
        self.metrics.stage_records.labels(agent=self.name, stage=stage).inc(records)

    def _above(self, tail: int, records: list[OutRecord]) -> list[OutRecord]:
        if not records or records[0].source_offset > tail:
            return records
        fresh = [record for record in records if record.source_offset > tail]
        self.metrics.published_tail_skips.labels(agent=self.name).inc(len(records) - len(fresh))
        return fresh

    def _refuse_if_lost(self, partition: int, pending: Pending) -> None:
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
        for published in self._published.values():
            published.hurry()

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
        running = [*self._tasks, *self._early]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._tasks.clear()
        self._queues.clear()
        self._published.clear()
        self.backlog.clear()
        self._tails.clear()
        self._ahead.clear()
        await self.producers.release(self.owned - set(partitions))
        self.owned = set(partitions)
        with self._stopping(f"take over partitions {partitions}"):
            await self.epoch.check(partitions)
            claims = await asyncio.gather(*(self._fence(partition) for partition in partitions))
            if self.table is not None:
                self.table.take_over(
                    {p: claim for p, claim in zip(partitions, claims, strict=True) if claim is not None},
                    clean,
                )
            if self._handler is not None:
                await self._handler.take_over(partitions)
        self._letting_go.clear()
        self.metrics.rebalances.labels(agent=self.name).inc()

    async def _fence(self, partition: int) -> int | None:
        logs = [self.output] if self.output is not None and self.aligned else []
        changelogs = [self.table.changelog_topic_name] if self.table is not None else []
        claims = await self.producers.claim(partition, logs, changelogs)
        return claims[changelogs[0]] if changelogs else None
