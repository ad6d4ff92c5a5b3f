"""Counts of windows in MariaDB."""

from collections.abc import Iterator, Sequence
from itertools import islice

import aiomysql
from pymysql.converters import escape_string

from fraudstream.adapters.count_schema import MARIADB, store_time, table_statements, view_statements
from fraudstream.adapters.mariadb_connection import MariaDbConnection, parse_address
from fraudstream.core.currencies import minor_units_per_major
from fraudstream.core.windows import WindowCells

ROWS_PER_STATEMENT = 1_000
"""Rows of at most about a kilobyte: a statement stays within a packet of 1 MiB, the smallest in use."""

# Assignments run from left to right: what compares offsets must come before the offset itself is set.
_COUNTS = (
    "INSERT INTO window_counts VALUES ",
    " ON DUPLICATE KEY UPDATE count = IF(VALUES(applied_offset) >= applied_offset, VALUES(count), count),"
    " applied_offset = GREATEST(applied_offset, VALUES(applied_offset))",
)
_AMOUNTS = (
    "INSERT INTO window_amounts VALUES ",
    " ON DUPLICATE KEY UPDATE count = IF(VALUES(applied_offset) >= applied_offset, VALUES(count), count),"
    " sum_minor = IF(VALUES(applied_offset) >= applied_offset, VALUES(sum_minor), sum_minor),"
    " applied_offset = GREATEST(applied_offset, VALUES(applied_offset))",
)
_PROGRESS = (
    "INSERT INTO window_progress VALUES ",
    " ON DUPLICATE KEY UPDATE applied_offset = GREATEST(applied_offset, VALUES(applied_offset))",
)


class MariaDbCountStore:
    """Plays the ``CountStore`` port on MariaDB 10.5 or newer.

    Parameters
    ----------
    url
        ``mysql://user:password@host:port/database``; see
        :func:`~fraudstream.adapters.mariadb_connection.parse_address`. The user needs rights to create
        tables and views, unless they exist, and to read and write them.
    """

    def __init__(self, url: str) -> None:
        self._connection = MariaDbConnection(parse_address(url))

    def __repr__(self) -> str:
        return f"<MariaDbCountStore {self._connection!r}>"

    async def open(self) -> None:
        """Connect, create tables that are missing and make the views anew. Idempotent."""
        async with self._connection.transaction() as cursor:
            for statement in (*table_statements(MARIADB), *view_statements(MARIADB)):
                await cursor.execute(statement)

    async def close(self) -> None:
        """Let go of the connection. Idempotent."""
        await self._connection.close()

    async def ping(self) -> None:
        """Return when the server answers."""
        async with self._connection.transaction() as cursor:
            await cursor.execute("SELECT 1")

    async def flush(self, windows: Sequence[WindowCells]) -> None:
        """Write the cumulative cells of each (window, source partition), all or none; never backwards."""
        if not windows:
            return
        async with self._connection.transaction() as cursor:
            await _upsert(cursor, _COUNTS, _count_rows(windows))
            await _upsert(cursor, _AMOUNTS, _amount_rows(windows))
            await _upsert(cursor, _PROGRESS, _progress_rows(windows))

    async def highest_offsets(self, epoch: int) -> dict[int, int]:
        """Return the highest applied offset stored for each source partition of that epoch."""
        async with self._connection.transaction() as cursor:
            await cursor.execute(
                "SELECT source_partition, applied_offset FROM window_progress WHERE epoch = %s", (epoch,)
            )
            return dict(await cursor.fetchall())


async def _upsert(cursor: aiomysql.Cursor, statement: tuple[str, str], rows: Iterator[str]) -> None:
    head, tail = statement
    while chunk := list(islice(rows, ROWS_PER_STATEMENT)):
        await cursor.execute(f"{head}{','.join(chunk)}{tail}")


# Rows are written out by hand: the driver's own way of filling in ten thousand of them takes ten times as
# long. Numbers are integers by type, texts escaped for the session's mode, which this package sets itself.


def _count_rows(windows: Sequence[WindowCells]) -> Iterator[str]:
    for window in _in_key_order(windows):
        head, applied = _head(window), int(window.applied_offset)
        for (population, dimension, value), count in sorted(window.cells.items()):
            yield f"({head},{_text(population)},{_text(dimension)},{_text(value)},{int(count)},{applied})"


def _amount_rows(windows: Sequence[WindowCells]) -> Iterator[str]:
    for window in _in_key_order(windows):
        head, applied = _head(window), int(window.applied_offset)
        for (population, currency), (count, sum_minor) in sorted(window.amounts.items()):
            unit = minor_units_per_major(currency)
            yield (
                f"({head},{_text(population)},{_text(currency)},{int(count)},{int(sum_minor)},{unit},{applied})"
            )


def _progress_rows(windows: Sequence[WindowCells]) -> Iterator[str]:
    highest: dict[tuple[int, int], int] = {}
    for window in windows:
        key = (window.epoch, window.source_partition)
        highest[key] = max(highest.get(key, -1), window.applied_offset)
    for (epoch, partition), applied in sorted(highest.items()):
        yield f"({int(epoch)},{int(partition)},{int(applied)})"


def _in_key_order(windows: Sequence[WindowCells]) -> list[WindowCells]:
    """Two workers that take the same locks take them in the same order."""
    return sorted(windows, key=lambda window: (window.epoch, window.window_start, window.source_partition))


def _head(window: WindowCells) -> str:
    return f"{int(window.epoch)},'{store_time(window.window_start)}',{int(window.source_partition)}"


def _text(value: str) -> str:
    return f"'{escape_string(value)}'"
