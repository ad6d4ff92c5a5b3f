"""What is judged of one partition, made durable in order."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import faust
from faust.types import EventT

from fraudstream.delivery.backlog import Backlog
from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.fencing import FencedProducers
from fraudstream.delivery.handover import Handover, LetGo
from fraudstream.delivery.pending import Pending, Published, slice_of
from fraudstream.delivery.records import OutRecord
from fraudstream.delivery.slices import SLICE_SIZE
from fraudstream.delivery.stopping import stops_if_failing
from fraudstream.delivery.table import SliceTable
from fraudstream.delivery.work import Work
from fraudstream.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the work of one agent goes, and by what means.

    Attributes
    ----------
    app
        The Faust app, whose transport is a ``SliceTransport``.
    agent
        Name of the agent, in metrics and log.
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
    producers
        Write outputs and changelog, refused once another worker owns the partition.
    epoch
        Refuses partitions whose published or stored results belong to another life of the source.
    """

    app: faust.App
    agent: str
    source: str
    output: str | None
    aligned: bool
    table: SliceTable[Any] | None
    producers: FencedProducers
    epoch: EpochGuard
    metrics: Metrics


class PartitionDelivery:
    """Delivers the work of one partition for as long as it is owned.

    One task does what follows from the slices, in order, so that the next slice is computed while the last is
    in flight; where nothing but publishing follows, another writes their state behind it.

    Parameters
    ----------
    route
        Where work goes.
    partition
        Number of the partition.
    handover
        Tells when the partition is about to move.
    backlog
        Counts what is in hand.
    """

    def __init__(self, route: Route, partition: int, handover: Handover, backlog: Backlog) -> None:
        self._route = route
        self._partition = partition
        self._handover = handover
        self._backlog = backlog
        self._queue: asyncio.Queue[Pending] = asyncio.Queue()
        self._published = Published()
        self._tail: int | None = None
        metrics, agent = route.metrics, route.agent
        # Looked up once: a slice of little traffic spends as long on finding its metrics as on a record.
        self._checkpoint_time = metrics.checkpoint_time.labels(agent=agent)
        self._stages = {
            stage: (
                metrics.stage_seconds.labels(agent=agent, stage=stage),
                metrics.stage_records.labels(agent=agent, stage=stage),
            )
            for stage in ("publish", "changelog", "slice")
        }
        #: Judged work was given up: memory is ahead of the changelog until the partition is recovered.
        self.is_ahead = False
        name = f"{route.agent}-{partition}"
        self._tasks = {
            asyncio.create_task(self._deliver(), name=name),
            asyncio.create_task(self._keep(), name=f"{name}-state"),
        }

    def put(self, work: Work, event: EventT[Any] | None) -> None:
        """Queue work behind what is already there; a timer's work has no event."""
        records = 0 if event is None else len(slice_of(event))
        self._queue.put_nowait(
            Pending(
                events=[] if event is None else [event],
                work=work,
                early=self._start_early(work),
                queued_at=time.monotonic(),
                records=records,
                published=[] if work.published is None else [work.published],
                done=[] if work.done is None else [work.done],
            )
        )
        self._backlog.add(self._partition, records)

    def hurry(self) -> None:
        """Write the state of what is published without waiting for more."""
        self._published.hurry()

    def cancel(self) -> list[asyncio.Task[None]]:
        """Drop whatever is queued; once the tasks returned have ended, nothing is in flight."""
        running = list(self._tasks)
        for task in running:
            task.cancel()
        return running

    def _start_early(self, work: Work) -> asyncio.Task[None] | None:
        if work.early is None:
            return None
        early = work.early
        # Many may wait for one store at once: none of them may keep a rebalance waiting.
        action = self._handover.until_available(lambda: self._handover.wait_for(early()))
        task = asyncio.create_task(action, name=f"{self._route.agent}-{self._partition}-early")
        self._tasks.add(task)
        task.add_done_callback(self._early_ended)
        return task

    def _early_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told by whoever awaits it; nobody does once the partition has moved

    async def _deliver(self) -> None:
        following: Pending | None = None
        while True:
            pending = following or await self._queue.get()
            following = self._join_waiting(pending)
            if pending.work.is_plain and self._route.table is not None:
                # Whoever reads the output waits for this; nobody waits for the state behind it.
                if await self._attempt(pending, self._publish):
                    self._published.add(pending)
                    if self._handover.is_begun:
                        self._published.hurry()
                continue
            await self._published.nothing()
            if await self._attempt(pending, self._checkpoint):
                self._backlog.end(self._partition, pending.records, pending.pieces)

    async def _keep(self) -> None:
        while True:
            pending = await self._published.take()
            if await self._attempt(pending, self._settle):
                self._backlog.end(self._partition, pending.records, pending.pieces)
            self._published.kept()

    def _join_waiting(self, pending: Pending) -> Pending | None:
        """Join what waits behind plain work to it; return what was taken from the queue and cannot join.

        Where a little traffic comes record by record, two requests for each slice would keep a core busy;
        what came while others were on their way shares them.
        """
        queue = self._queue
        while pending.work.is_plain and not queue.empty() and pending.records < SLICE_SIZE:
            later = queue.get_nowait()
            if not later.work.is_plain:
                return later
            pending.join(later)
        return None

    async def _attempt(self, pending: Pending, action: Callable[[Pending], Awaitable[None]]) -> bool:
        """Do a part of what makes work durable; return False if the work is left to the next owner."""
        with stops_if_failing(self._route.agent, f"deliver partition {self._partition}"):
            try:
                await action(pending)
            except LetGo:
                if pending.events or pending.work.changes:
                    self.is_ahead = True
                for event in pending.events:
                    event.ack()  # unprocessed: acknowledged to Faust, never counted by the consumer
                self._backlog.end(self._partition, pending.records, pending.pieces)
                return False
        return True

    async def _checkpoint(self, pending: Pending) -> None:
        """Make the work of slices durable, in this order, and only then let their offsets be committed.

        1. ``early``, which began when the slice was queued, then ``before``: stores are written and looked
           up, retried while they are down.
        2. Notices, then outputs are published and every acknowledgement awaited. Of an aligned route, records
           at or below the published tail are left out: an earlier run of this slice published them.
        3. Each changed key is written once to the changelog, its value carrying the highest source offset
           applied; acknowledgement awaited.
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
            await self._handover.until_available(pending.work.before)
        await self._publish(pending)
        await self._settle(pending)

    async def _publish(self, pending: Pending) -> None:
        self._refuse_if_lost(pending)
        started = time.perf_counter()
        route, partition = self._route, self._partition
        outputs, notices = pending.work.outputs, pending.work.notices
        if route.output is not None and route.aligned and (outputs or notices):
            tail = await self._read_tail(route.output)
            outputs = self._above(tail, outputs)
            notices = {topic: self._above(tail, records) for topic, records in notices.items()}
        for topic, records in notices.items():
            await route.producers.send(partition, topic, records)
        if route.output is not None and outputs:
            await route.producers.send(
                partition, route.output, outputs, to_partition=None if route.aligned else 0
            )
            if route.aligned:
                self._tail = outputs[-1].source_offset
        for tell in pending.published:
            tell()
        self._measure("publish", time.perf_counter() - started, len(outputs))

    async def _settle(self, pending: Pending) -> None:
        self._refuse_if_lost(pending)
        started = time.perf_counter()
        work, table = pending.work, self._route.table
        changes = pending.changes()
        if table is not None and changes:
            await table.write(self._partition, changes, self._route.producers)
        self._measure("changelog", time.perf_counter() - started, len(changes))
        if work.after is not None:
            await self._handover.until_available(work.after)
        for event in pending.events:
            slice_of(event).processed = True
            event.ack()
        for tell in pending.done:
            tell()
        self._measure("slice", time.monotonic() - pending.queued_at, pending.records)
        self._checkpoint_time.set_to_current_time()

    def _refuse_if_lost(self, pending: Pending) -> None:
        # What follows a slice that was let go is let go too, though nothing kept it waiting: its offsets must
        # not be committed past those of the other.
        generation = self._route.app.consumer_generation_id
        if self.is_ahead or any(event.message.generation_id != generation for event in pending.events):
            raise LetGo

    async def _read_tail(self, output: str) -> int:
        # Read once, at the first slice: after the fence, so that nobody else can move it; afterwards only our
        # own publishes move it.
        if self._tail is None:
            self._tail = await self._route.epoch.published_tail(output, self._partition)
        return self._tail

    def _above(self, tail: int, records: list[OutRecord]) -> list[OutRecord]:
        if not records or records[0].source_offset > tail:
            return records
        fresh = [record for record in records if record.source_offset > tail]
        skips = self._route.metrics.published_tail_skips.labels(agent=self._route.agent)
        skips.inc(len(records) - len(fresh))
        return fresh

    def _measure(self, stage: str, seconds: float, records: int) -> None:
        took, count = self._stages[stage]
        took.observe(seconds)
        count.inc(records)
