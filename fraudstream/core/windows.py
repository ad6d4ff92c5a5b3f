"""Tumbling windows of event time, counted per category.

A window is half-open, ``[start, start + size)``, and starts at a multiple of its size since 1970-01-01 UTC:
neither midnight nor daylight saving time means anything to it.

**Exact under replay.** The classifications of one source partition arrive with rising (epoch, offset). The
partition's own row and each window carry the offset they have seen; what is at or below it is skipped. Rows
are written windows first, then the partition, then tombstones of windows that are done with. Whatever
prefix of them survives a crash, each window is then at or ahead of the partition, and a replay from the
partition's offset ends in the same counts.

**Late** is what belongs to a window that is closed: one whose end, and the grace period after it, the
partition's watermark (the largest event time it has seen) has passed. The watermark is part of the state
and every input to it is in the log, so a restart changes nothing about which records are late.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from fraudstream.core.counted import CountedClassification
from fraudstream.core.window import Window, is_closed, window_start
from fraudstream.core.window_cells import WindowCells
from fraudstream.core.window_rows import (
    PartitionRow,
    decode_partition,
    decode_window,
    encode_row,
    parse_key,
    partition_key,
    window_key,
)
from fraudstream.errors import InvalidSettings

MAX_AHEAD_WINDOWS = 1_000
"""Windows open for event times ahead of their record's own time.

Bounds the memory that somebody who invents dates can take; a week with a clock that runs ahead needs twice
as many.
"""

_BEFORE_ALL = -(2**62)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class WindowCounts:
    """Open windows of one source partition.

    Parameters
    ----------
    source_partition
        The partition of the transactions, and so of their classifications.
    size_seconds
        Length of a window. Cannot change while windows are open: :meth:`restore` refuses it.
    grace_seconds
        How long after its end, in event time, a window still counts what belongs to it.
    values_per_dimension
        Values of one dimension that get a cell of their own in one window; further ones count as ``other``.
        Producers can be made to invent merchants, and cells live in memory and in the store.
    """

    def __init__(
        self,
        source_partition: int,
        *,
        size_seconds: int = 300,
        grace_seconds: int = 60,
        values_per_dimension: int = 200,
    ) -> None:
        if size_seconds < 1 or grace_seconds < 0 or values_per_dimension < 1:
            msg = "windows need a size of a second or more, a grace of 0 or more and room for a value"
            raise InvalidSettings(msg)
        self.source_partition = source_partition
        self.size_seconds = size_seconds
        self.grace_seconds = grace_seconds
        self.values_per_dimension = values_per_dimension
        self.late_records = 0
        self.misdated_records = 0
        self._epoch = -1
        self._applied = -1
        self._watermark = _BEFORE_ALL
        self._closed_before = _BEFORE_ALL  # only ever rises: a longer grace must not reopen what was dropped
        self._ahead: set[int] = set()
        self._windows: dict[tuple[int, int], Window] = {}
        self._dirty: set[tuple[int, int]] = set()
        self._row_is_dirty = False
        self._written = (-1, _BEFORE_ALL)  # epoch and closed_before of the partition row as last taken

    @property
    def applied(self) -> tuple[int, int]:
        """Epoch and offset of the highest classification seen; (-1, -1) before the first."""
        return self._epoch, self._applied

    @property
    def watermark(self) -> int:
        """Newest event time that moved windows on, in seconds since 1970; far below any before the first."""
        return self._watermark

    @property
    def open_windows(self) -> int:
        """Number of windows held, closed ones that wait for their last flush included."""
        return len(self._windows)

    def fold(self, classification: CountedClassification, timestamp_ms: int) -> bool:
        """Count a classification once, however often it comes.

        Parameters
        ----------
        classification
            One of this source partition, in the order of the log.
        timestamp_ms
            Time of the Kafka record that carried it. An event time further ahead of it than the grace
            period is a wrong clock or zone: it is counted in the window it claims but moves no watermark.
            So a record that arrives while its own window lasts is never late, whatever time others claim.

        Returns
        -------
        bool
            Whether it is in a window now and was not before. Not if it was counted before, nor if its window
            is closed or too many are open ahead of time already: those are told by ``late_records`` and
            ``misdated_records``.
        """
        source = classification.source
        if source.epoch != self._epoch:
            if source.epoch < self._epoch:
                return False
            self._begin_epoch(source.epoch)
        offset = source.offset
        if offset <= self._applied:
            return False
        self._applied = offset
        self._row_is_dirty = True

        second = (classification.event_time - _EPOCH) // _SECOND
        start = second - second % self.size_seconds
        if second > self._watermark:
            if second <= timestamp_ms // 1000 + self.grace_seconds:
                self._advance(second)
            elif start > self._watermark and start not in self._ahead:
                if len(self._ahead) >= MAX_AHEAD_WINDOWS:
                    self.misdated_records += 1
                    return False
                self._ahead.add(start)
        if start < self._closed_before:
            self.late_records += 1
            return False

        key = (source.epoch, start)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window()
        elif offset <= window.applied:
            return False
        window.applied = offset
        self._dirty.add(key)
        window.count(classification, self.values_per_dimension)
        return True

    def take_changes(self) -> list[tuple[bytes, bytes | None]]:
        """Return the changelog entries due since the last call, to be written in exactly this order.

        A value of None deletes its key: a window is let go once it is closed, its last flush is
        acknowledged, and the row that closed it went out with an earlier call.
        """
        partition = self.source_partition
        entries: list[tuple[bytes, bytes | None]] = [
            (window_key(partition, *key), encode_row(self._windows[key].to_row()))
            for key in sorted(self._dirty)
        ]
        self._dirty.clear()
        if self._row_is_dirty:
            row = PartitionRow(
                self.size_seconds,
                self._epoch,
                self._applied,
                self._watermark,
                self._closed_before,
                self.late_records,
                self.misdated_records,
                tuple(sorted(self._ahead)),
            )
            entries.append((partition_key(partition), encode_row(row)))
            self._row_is_dirty = False
        done = [
            key
            for key, window in self._windows.items()
            if window.flushed == window.applied and is_closed(key, self._written)
        ]
        for key in done:
            del self._windows[key]
            entries.append((window_key(partition, *key), None))
        self._written = (self._epoch, self._closed_before)
        return entries

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog entry, in the order of the log; a later one for the same key wins.

        Raises
        ------
        InvalidSettings
            If the entries were written with windows of another size: counts of the two cannot share a store.
        InvalidMessage
            If this is no such entry.
        """
        window = parse_key(key)
        if window is None:
            if value is not None:
                self._restore_partition(decode_partition(value))
        elif value is None:
            self._windows.pop(window, None)
        else:
            self._windows[window] = Window.from_row(decode_window(value))

    def view(self) -> dict[bytes, WindowCells]:
        """Return every window held, by its changelog key, for people to look at."""
        return {window_key(self.source_partition, *key): self._cells(key) for key in sorted(self._windows)}

    @property
    def flush_is_due(self) -> bool:
        """Whether a window closed that has counts :meth:`unflushed` has not yet returned."""
        now = (self._epoch, self._closed_before)
        return any(w.offered != w.applied and is_closed(key, now) for key, w in self._windows.items())

    def unflushed(self) -> list[WindowCells]:
        """Return the cells of each window that changed since its last acknowledged flush.

        After a restart that is every window held: what was acknowledged before is not remembered, and
        flushing again changes nothing.
        """
        due = sorted(key for key, window in self._windows.items() if window.flushed != window.applied)
        for key in due:
            self._windows[key].offered = self._windows[key].applied
        return [self._cells(key) for key in due]

    def acknowledge(self, flushed: Iterable[WindowCells]) -> None:
        """Note that the store holds these cells."""
        for cells in flushed:
            window = self._windows.get((cells.epoch, cells.window_start))
            if window is not None:
                window.flushed = max(window.flushed, cells.applied_offset)

    def _begin_epoch(self, epoch: int) -> None:
        """Start the next life of the source log: offsets begin anew, windows of the one before are closed."""
        self._epoch, self._applied = epoch, -1
        self._watermark = self._closed_before = _BEFORE_ALL
        self._ahead.clear()

    def _advance(self, second: int) -> None:
        """Move the watermark and close what it has passed."""
        self._watermark = second
        closed = window_start(second - self.grace_seconds, self.size_seconds)
        if closed > self._closed_before:
            self._closed_before = closed
            self._ahead = {start for start in self._ahead if start > second}

    def _cells(self, key: tuple[int, int]) -> WindowCells:
        window = self._windows[key]
        return WindowCells(
            epoch=key[0],
            window_start=key[1],
            source_partition=self.source_partition,
            applied_offset=window.applied,
            cells=window.cells(),
            amounts=window.amounts(),
        )

    def _restore_partition(self, row: PartitionRow) -> None:
        if row.size_seconds != self.size_seconds:
            msg = (
                f"windows of partition {self.source_partition} are {row.size_seconds} seconds long, settings "
                f"say {self.size_seconds}: counts of the two cannot share a table; keep the size"
            )
            raise InvalidSettings(msg)
        self._epoch, self._applied = row.epoch, row.applied
        self._watermark, self._closed_before = row.watermark, row.closed_before
        self.late_records, self.misdated_records = row.late_records, row.misdated_records
        self._ahead = set(row.ahead)
        self._written = (row.epoch, row.closed_before)
