"""The archive in one SQLite file: what a laptop, a demo and the tests use instead of MongoDB."""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

import msgspec

from fraudstream.adapters.sqlite import SqliteDatabase, sqlite_path
from fraudstream.core.label_sources import overruled_by
from fraudstream.core.messages import Label, LabelPosition, LabelSource, LabelValue, Position
from fraudstream.errors import InvalidMessage
from fraudstream.ports import Archived, LabelState, Unlabelled

SCHEMA = """
CREATE TABLE IF NOT EXISTS classifications (
    source_epoch INTEGER NOT NULL,
    source_partition INTEGER NOT NULL,
    source_offset INTEGER NOT NULL,
    transaction_id TEXT NOT NULL,
    shelved_id INTEGER NOT NULL,
    event_time TEXT NOT NULL,
    label TEXT,
    label_source TEXT,
    label_partition INTEGER,
    label_offset INTEGER,
    labelled_at TEXT,
    labelled_by TEXT,
    classification BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS classifications_by_source
    ON classifications (source_epoch, source_partition, source_offset);
CREATE INDEX IF NOT EXISTS classifications_by_id ON classifications (shelved_id);
CREATE INDEX IF NOT EXISTS classifications_by_label ON classifications (label, event_time)
    WHERE label IS NOT NULL;
CREATE INDEX IF NOT EXISTS classifications_unlabelled
    ON classifications (event_time, source_epoch, source_partition, source_offset) WHERE label IS NULL;
-- For people who look in here.
CREATE VIEW IF NOT EXISTS decisions AS
    SELECT source_epoch, source_partition, source_offset, event_time, transaction_id,
        json_extract(said, '$.transaction.card_id') AS card_id, json_extract(said, '$.decision') AS decision,
        json_extract(said, '$.score') AS score, label, label_source, labelled_at, labelled_by
    FROM (SELECT *, CAST(classification AS TEXT) AS said FROM classifications);
"""

ROWS_PER_QUERY = 300
"""Look-ups in one statement: three parameters each stay below the 999 that older builds of SQLite allow."""

_PING = "SELECT 1 FROM classifications LIMIT 1"

_ROW = "(?, ?, ?, ?, ?, ?, ?)"

SHELF_BITS = 16
"""Source offsets of one shelf of the index by id, as a power of two.

Ids are scattered over the index they are in, and a commit writes every page it touches. So the index is
ordered by shelf first, and what is stored now touches the pages of one shelf only: storing costs the same
however much is stored. An id is looked for on every shelf, which takes some microseconds each.
"""

_INSERT = """
INSERT OR FAIL INTO classifications (source_epoch, source_partition, source_offset, transaction_id,
    shelved_id, event_time, classification)
VALUES {rows}
ON CONFLICT (source_epoch, source_partition, source_offset) DO NOTHING
"""

ROWS_PER_INSERT = (512, 64, 8, 1)
"""Rows of one statement, the most that fit first. Python lets its other threads run during a statement, and
has to wait for them after it: with a statement a row, threads that fetch and count slow an insertion down to
a third. SQLite keeps every page as it was before a statement of several rows that might have to be taken back
alone; ``OR FAIL``, and no index of an expression, spare it that: the transaction is taken back instead."""

_INSERTS = {count: _INSERT.format(rows=", ".join([_ROW] * count)) for count in ROWS_PER_INSERT}
_PARAMETERS = _ROW.count("?")

_SELECT = """
SELECT source_epoch, source_partition, source_offset, transaction_id,
    classification, label, label_source, label_partition, label_offset, labelled_by
"""

_LABEL = """
UPDATE classifications
SET label = ?, label_source = ?, label_partition = ?, label_offset = ?, labelled_at = ?, labelled_by = ?
WHERE source_epoch = ? AND source_partition = ? AND source_offset = ?
    AND (label IS NULL OR label_source IN (SELECT value FROM json_each(?)))
"""

_UNLABELLED = """
SELECT event_time, source_epoch, source_partition, source_offset FROM classifications
WHERE label IS NULL AND event_time <= ?
    AND (event_time, source_epoch, source_partition, source_offset) > (?, ?, ?, ?)
ORDER BY event_time, source_epoch, source_partition, source_offset LIMIT ?
"""

_NEXT_PARTITION = """
SELECT min(source_partition) FROM classifications WHERE source_epoch = ? AND source_partition > ?
"""

_HIGHEST_OFFSET = """
SELECT max(source_offset) FROM classifications WHERE source_epoch = ? AND source_partition = ?
"""


class _Transaction(msgspec.Struct, gc=False):
    transaction_id: str


class _Classification(msgspec.Struct, gc=False):
    """What gets a column of its own, and what the view shows: without it, it is no classification.

    Times are kept as text: ISO 8601 in UTC sorts as time does.
    """

    source: Position
    transaction: _Transaction
    event_time: datetime
    decision: str
    score: float


_OVERRULED = {
    source: msgspec.json.encode([kind.value for kind in overruled_by(source)]).decode()
    for source in LabelSource
}
"""Kinds whose earlier label a later one replaces, as JSON."""

_decoder = msgspec.json.Decoder(_Classification)


class SqliteArchive:
    """Plays the ``Archive`` port on one SQLite file.

    Several processes may use the same file. A batch is stored whole or not at all, and is on disk when a
    call returns.

    Parameters
    ----------
    url
        ``sqlite:///file``.
    """

    def __init__(self, url: str) -> None:
        self._database = SqliteDatabase(sqlite_path(url), SCHEMA)

    def __repr__(self) -> str:
        return f"<SqliteArchive {self._database!r}>"

    async def open(self) -> None:
        """Connect, and create tables and indexes that are missing. Idempotent."""
        await self._database.open()

    async def close(self) -> None:
        """Let go of the file. Idempotent."""
        await self._database.close()

    async def ping(self) -> None:
        """Return when the file answers."""
        await self._database.read(lambda connection: connection.execute(_PING).fetchone())

    async def store(self, classifications: Sequence[bytes]) -> int:
        """Store encoded classifications and return how many were new; the first of a source position wins.

        Raises
        ------
        InvalidMessage
            If one is no classification; then none is stored.
        """
        rows = _rows(classifications)

        def insert(connection: sqlite3.Connection) -> int:
            before = connection.total_changes
            most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // _PARAMETERS
            start = 0
            for count in ROWS_PER_INSERT:
                while count <= most and len(rows) - start >= count:
                    part = rows[start : start + count]
                    connection.execute(_INSERTS[count], tuple(chain.from_iterable(part)))
                    start += count
            return connection.total_changes - before

        return await self._database.write(insert) if rows else 0

    async def find(self, labels: Sequence[Label]) -> list[list[Archived]]:
        """Return for each label the archived transactions it may mean, in the order of their source."""
        positions = {label.position for label in labels if label.position is not None}
        ids = {label.transaction_id for label in labels if label.position is None and label.transaction_id}

        def select(connection: sqlite3.Connection) -> list[list[Archived]]:
            by_position: dict[Position, list[Archived]] = {}
            by_id: dict[str, list[Archived]] = {}
            for row in _select_positions(connection, positions):
                archived = _archived(row)
                by_position[archived.source] = [archived]
            for row in _select_ids(connection, ids):
                by_id.setdefault(row[3], []).append(_archived(row))
            return [
                by_position.get(label.position, [])
                if label.position is not None
                else by_id.get(label.transaction_id or "", [])
                for label in labels
            ]

        return await self._database.read(select) if positions or ids else [[] for _ in labels]

    async def record_labels(self, states: Mapping[Position, tuple[Label, LabelPosition]]) -> None:
        """Note on each archived transaction the label that was accepted for it.

        A later call wins, unless the label noted is of a source whose word stands against this one's.
        """
        rows = [
            (
                label.label.value,
                label.source.value,
                position.partition,
                position.offset,
                label.labelled_at.astimezone(UTC).isoformat(),
                label.labelled_by,
                source.epoch,
                source.partition,
                source.offset,
                _OVERRULED[label.source],
            )
            for source, (label, position) in states.items()
        ]
        if rows:
            await self._database.write(lambda connection: connection.executemany(_LABEL, rows).rowcount)

    async def unlabelled(self, until: datetime, after: Unlabelled | None, limit: int) -> list[Unlabelled]:
        """Return transactions without a label up to an event time, oldest first, from behind ``after``."""
        source = Position(-1, -1, -1) if after is None else after.source
        begin = "" if after is None else after.event_time.astimezone(UTC).isoformat()
        wanted = (
            until.astimezone(UTC).isoformat(),
            begin,
            source.epoch,
            source.partition,
            source.offset,
            limit,
        )
        rows = await self._database.read(
            lambda connection: connection.execute(_UNLABELLED, wanted).fetchall()
        )
        return [Unlabelled(datetime.fromisoformat(row[0]), Position(*row[1:])) for row in rows]

    async def highest_offsets(self, epoch: int) -> dict[int, int]:
        """Return the highest source offset stored for each partition of that epoch.

        Costs two index look-ups a partition, however much is stored.
        """

        def select(connection: sqlite3.Connection) -> dict[int, int]:
            found: dict[int, int] = {}
            partition = -1
            while True:
                (following,) = connection.execute(_NEXT_PARTITION, (epoch, partition)).fetchone()
                if following is None:
                    return found
                partition = following
                (found[partition],) = connection.execute(_HIGHEST_OFFSET, (epoch, partition)).fetchone()

        return await self._database.read(select)


def _rows(classifications: Sequence[bytes]) -> list[tuple[Any, ...]]:
    rows = []
    decode = _decoder.decode
    try:
        for value in classifications:
            read = decode(value)
            source, transaction_id, time = read.source, read.transaction.transaction_id, read.event_time
            rows.append(
                (
                    source.epoch,
                    source.partition,
                    source.offset,
                    transaction_id,
                    _shelved(transaction_id, source.offset >> SHELF_BITS),
                    (time if time.tzinfo is UTC else time.astimezone(UTC)).isoformat(),
                    value,
                )
            )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        fault = f"expected a classification: {exc}"
        raise InvalidMessage(fault) from exc
    return rows


def _shelved(transaction_id: str, shelf: int) -> int:
    """Return where on a shelf an id is; other ids may be there too."""
    return shelf << 32 | zlib.crc32(transaction_id.encode())


def _archived(row: tuple[Any, ...]) -> Archived:
    epoch, partition, offset, _, classification, label, label_source, label_partition, label_offset, by = row
    return Archived(
        source=Position(epoch, partition, offset),
        classification=classification,
        label=None
        if label is None
        else LabelState(
            label=LabelValue(label),
            label_source=LabelSource(label_source),
            position=LabelPosition(label_partition, label_offset),
            labelled_by=by,
        ),
    )


def _select_positions(
    connection: sqlite3.Connection, wanted: Iterable[Position]
) -> Iterator[tuple[Any, ...]]:
    for chunk in _chunks(wanted):
        marks = ", ".join(["(?, ?, ?)"] * len(chunk))
        yield from connection.execute(
            f"WITH wanted (source_epoch, source_partition, source_offset) AS (VALUES {marks})"
            f"{_SELECT} FROM classifications NATURAL JOIN wanted",
            [
                number
                for position in chunk
                for number in (position.epoch, position.partition, position.offset)
            ],
        )


def _select_ids(connection: sqlite3.Connection, wanted: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    for chunk in _chunks(wanted):
        marks = ", ".join(["(?, ?)"] * len(chunk))
        yield from connection.execute(
            f"""
            WITH RECURSIVE
                wanted (wanted_id, place) AS (VALUES {marks}),
                shelf (number) AS (
                    SELECT max(shelved_id) >> 32 FROM classifications
                    UNION ALL
                    SELECT (SELECT max(shelved_id) >> 32 FROM classifications WHERE shelved_id < number << 32)
                    FROM shelf WHERE number > 0
                )
            {_SELECT} FROM shelf CROSS JOIN wanted CROSS JOIN classifications
            ON shelved_id = shelf.number << 32 | place AND transaction_id = wanted_id
            ORDER BY source_epoch, source_partition, source_offset
            """,  # noqa: S608 - marks alone
            [value for wanted_id in chunk for value in (wanted_id, _shelved(wanted_id, 0))],
        )


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(values)
    while chunk := list(islice(remaining, ROWS_PER_QUERY)):
        yield chunk
