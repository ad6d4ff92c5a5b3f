"""Classifications are counted in windows of event time, and the counts flushed to the store of counts."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import mode

from fraudstream.app import AgentApp
from fraudstream.core.counted import decode_counted
from fraudstream.core.window_cells import WindowCells
from fraudstream.core.windows import WindowCounts
from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.table import SliceTable
from fraudstream.delivery.work import Work
from tables.window_counts import window_counts

_NEVER = datetime.max.replace(tzinfo=UTC)


class CountWindows:
    """Count classifications per category and window, exactly; flush them on time and on close."""

    def __init__(self, app: AgentApp, table: SliceTable[WindowCounts], lane: Lane, epoch: EpochGuard) -> None:
        self._context = app.context
        self._table = table
        self._lane = lane
        self._epoch = epoch
        self._unchecked: Sequence[int] = ()
        self._open = self._context.opener("counts", self._context.count_store.open)

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Have the epoch of the store compared before the next write to it."""
        self._unchecked = partitions

    def waits_for(self, part: RecordSlice) -> None:
        """Judge every slice at once."""

    def judge(self, part: RecordSlice) -> Work:
        """Count a slice; what was counted before changes nothing."""
        counts = self._table.of(part.partition)
        late, misdated, oldest = counts.late_records, counts.misdated_records, _NEVER
        for record in part.messages():
            classification = decode_counted(record.value)
            counts.fold(classification, record.timestamp)
            oldest = min(oldest, classification.event_time)
        self._context.metrics.late_records.inc(counts.late_records - late)
        self._context.metrics.misdated_records.inc(counts.misdated_records - misdated)
        self._tell(counts, oldest)
        return Work(changes=counts.take_changes())

    def _tell(self, counts: WindowCounts, oldest: datetime) -> None:
        metrics = self._context.metrics
        if oldest is not _NEVER:
            metrics.window_lateness_seconds.set(max(0.0, counts.watermark - oldest.timestamp()))
        metrics.open_windows.set(sum(self._table.of(p).open_windows for p in self._lane.owned))

    def flush_closed(self, partition: int) -> None:
        """Queue a flush if a window has closed since the last one."""
        if self._table.of(partition).flush_is_due:
            self.flush(partition)

    def flush(self, partition: int) -> None:
        """Queue a flush of everything that changed in a partition since its last one.

        The cells are taken now, and the flush waits its turn behind every slice they count: the changelog
        is never behind what is let go after the flush.
        """
        counts = self._table.of(partition)
        cells = counts.unflushed()
        if cells:
            self._lane.put(
                partition,
                Work(
                    before=partial(self._store, cells), done=partial(self._let_go, partition, counts, cells)
                ),
            )

    async def _store(self, cells: list[WindowCells]) -> None:
        await self._open()
        started = time.perf_counter()
        async with self._context.using("counts"):
            if self._unchecked:
                await self._epoch.check_store(self._unchecked)
                self._unchecked = ()
            await self._context.count_store.flush(cells)
        self._context.metrics.flush_seconds.observe(time.perf_counter() - started)
        self._context.metrics.counts_flushed.inc(sum(len(window.cells) for window in cells))

    def _let_go(self, partition: int, counts: WindowCounts, cells: list[WindowCells]) -> None:
        counts.acknowledge(cells)
        changes = counts.take_changes()
        if changes:
            self._lane.put(partition, Work(changes=changes))


class FlushTimer(mode.Service):
    """Flushes every owned partition each interval, and within a second of the close of a window.

    Not at the very close: where history is replayed, windows close by the hundred in a second, and one
    statement for all of them costs a tenth of one each.
    """

    def __init__(self, agent: CountWindows, lane: Lane, interval_seconds: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._agent = agent
        self._lane = lane
        self._interval = interval_seconds

    @mode.Service.task
    async def _flush(self) -> None:
        pause = min(1.0, self._interval)
        due = time.monotonic() + self._interval
        while not self.should_stop:
            await self.sleep(pause)
            everything = time.monotonic() >= due
            if everything:
                due += self._interval
            for partition in sorted(self._lane.owned):
                if everything:
                    self._agent.flush(partition)
                else:
                    self._agent.flush_closed(partition)


def attach(app: AgentApp) -> None:
    """Make an app count windows."""
    context = app.context
    table = window_counts(app)
    epoch = EpochGuard(
        context.log_reader,
        epoch=context.settings.epoch,
        source=context.topics.transactions.name,
        stored=context.count_store.highest_offsets,
        store_name="the store of counts",
    )
    lane = app.open_lane(context.topics.classifications, table=table, epoch=epoch)
    agent = CountWindows(app, table, lane, epoch)
    lane.attach(agent, agent_name="count_windows")
    app.starts_after(FlushTimer(agent, lane, context.settings.flush_interval_seconds))
