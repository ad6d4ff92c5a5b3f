"""Files of history as one stream of transactions in order of event time, with the truth beside each."""

import heapq
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from operator import itemgetter

import msgspec
from aiokafka.partitioner import murmur2
from msgspec.structs import replace

from fraudstream.commands.backtest_labels import LabelFile
from fraudstream.commands.replay_rows import Format, ReplayFile, Row
from fraudstream.core.backtest_entries import Entry
from fraudstream.core.messages import LabelValue
from fraudstream.core.wire_formats import WireFormats
from fraudstream.core.wire_values import record_time
from fraudstream.errors import InvalidMessage

CHUNK_ROWS = 2048
"""Rows handed over at once: few enough that they are still in the processor's cache when they are scored."""

MOST_FAULTS = 5
"""Refused rows whose fault is told."""

NOWHEN_MS = 946_684_800_000
"""The beginning of 2000: event time of what tells none. The stream takes no record from before 1990."""

_FRAUD = LabelValue.FRAUD
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class History:
    """Files of one format as one stream, with their own labels or those of a file beside.

    Handbook files and JSON lines are merged by event time, each file being in that order itself, as far as
    it is; what comes late within a file stays late. Capstone files are sorted by date and hour, rows of one
    hour staying as they stand: an hour is their event time.

    Attributes
    ----------
    refused, faults
        Rows that make no transaction, which the stream would set aside, and what is wrong with the first.
    """

    def __init__(
        self,
        files: Sequence[ReplayFile],
        kind: Format,
        formats: WireFormats,
        partitions: int,
        labels: LabelFile | None = None,
    ) -> None:
        self._files = files
        self._labels = labels
        self._kind = kind
        self._formats = formats
        self._partitions = partitions
        self._partition_of: dict[bytes | None, int] = {}
        self._timeless: dict[str, bool] = {}
        self.refused = 0
        self.faults: list[str] = []

    def chunks(self) -> Iterator[list[Entry]]:
        """Yield the rows in order, some thousands at once.

        Raises
        ------
        InvalidInput
            A file is not what its format says, naming the line.
        """
        rows = self._in_order()
        while chunk := list(islice(rows, CHUNK_ROWS)):
            yield self._entries(chunk)

    def _entries(self, chunk: list[tuple[int, Row]]) -> list[Entry]:
        decode = self._formats.decode
        entries = []
        for timestamp_ms, row in chunk:
            try:
                transaction = decode(row.value, timestamp_ms)
            except InvalidMessage as fault:
                self.refused += 1
                if len(self.faults) < MOST_FAULTS:
                    self.faults.append(str(fault))
                continue
            label = transaction.label
            truth = None if label is None else label is _FRAUD
            known = None
            if self._labels is not None:
                known = self._labels.of(transaction)
                truth = known[-1].fraud if known else None
            elif label is not row.label:
                transaction = replace(transaction, label=row.label)
            partition = 0 if self._partitions == 1 else self._partition(row.key)
            entries.append(Entry(transaction, partition, truth, known))
        return entries

    def _partition(self, key: bytes | None) -> int:
        found = self._partition_of.get(key)
        if found is None:
            found = 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % self._partitions
            self._partition_of[key] = found
        return found

    def _in_order(self) -> Iterator[tuple[int, Row]]:
        if self._kind is Format.CAPSTONE:
            hours = [timed for file in self._files for timed in _by_hour(file)]
            hours.sort(key=itemgetter(0))
            return iter(hours)
        streams = [self._timed(file) for file in self._files]
        return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=itemgetter(0))

    def _timed(self, file: ReplayFile) -> Iterator[tuple[int, Row]]:
        """Yield rows with their event time; one that holds none has its hour or its place in the file."""
        for number, row in enumerate(file.rows()):
            if self._kind is Format.JSONL and row.event_time is not None and self._is_timeless(row.value):
                begins = _hour_begins(row.value)
                yield NOWHEN_MS + number * 10 if begins is None else begins, row
            else:
                yield _milliseconds(row.event_time), row

    def _is_timeless(self, value: bytes) -> bool:
        """Tell whether the format of the message decoded last takes the event time from the Kafka record."""
        name = self._formats.last_name
        found = self._timeless.get(name)
        if found is None:
            found = self._formats.decode(value, NOWHEN_MS).event_time == record_time(NOWHEN_MS)
            self._timeless[name] = found
        return found


class _Stated(msgspec.Struct):
    """When a capstone message says it was: a day and an hour, which is no instant."""

    date: str = ""
    time: str = ""


_stated = msgspec.json.Decoder(_Stated).decode


def _by_hour(file: ReplayFile) -> Iterator[tuple[int, Row]]:
    """Yield capstone rows with the instant their hour begins; an unreadable one is that of the row before."""
    last = NOWHEN_MS
    for row in file.rows():
        last = _hour_begins(row.value) or last
        yield last, row


def _hour_begins(value: bytes) -> int | None:
    try:
        stated = _stated(value)
    except msgspec.MsgspecError:
        return None
    return _milliseconds_of(stated.date, stated.time)


@lru_cache(4096)
def _milliseconds_of(date: str, hour: str) -> int | None:
    try:
        day = datetime.strptime(date, "%d-%b-%y").replace(tzinfo=UTC)
        return _milliseconds(day + timedelta(hours=int(hour)))
    except ValueError:
        return None


def _milliseconds(moment: datetime | None) -> int:
    return NOWHEN_MS if moment is None else int((moment - _EPOCH).total_seconds() * 1000)
