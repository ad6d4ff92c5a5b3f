"""Counts of windows in MariaDB."""

from collections.abc import Iterator, Sequence

import aiomysql

from fraudstream.adapters.count_schema import (
    MARIADB,
    cells_as_json,
    store_time,
    table_statements,
    view_statements,
)
from fraudstream.adapters.mariadb_connection import MariaDbConnection, parse_address
from fraudstream.core.window_cells import WindowCells

STATEMENT_CHARACTERS = 256 * 1024
"""Rows are gathered up to here: few statements, each well within the 16 MiB a server takes unless it is told
otherwise. A window is of some kilobytes; one that is full of the longest values somebody can invent stays
below 4 MiB."""

# Assignments run from left to right: what compares offsets must come before the offset itself is set.
_CELLS = (
    "INSERT INTO window_cells VALUES ",
    " ON DUPLICATE KEY UPDATE cells = IF(VALUES(applied_offset) >= applied_offset, VALUES(cells), cells),"
    " amounts = IF(VALUES(applied_offset) >= applied_offset, VALUES(amounts), amounts),"
    " applied_offset = GREATEST(applied_offset, VALUES(applied_offset))",
)
_PROGRESS = (
    "INSERT INTO window_progress VALUES ",
    " ON DUPLICATE KEY UPDATE applied_offset = GREATEST(applied_offset, VALUES(applied_offset))",
)


class MariaDbCountStore:
    """Plays the ``CountStore`` port on MariaDB 10.6 or newer.

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
            await _upsert(cursor, _CELLS, _cell_rows(windows))
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
    for chunk in _chunks(rows):
        await cursor.execute(f"{head}{','.join(chunk)}{tail}")


def _chunks(rows: Iterator[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(row)
        if size > STATEMENT_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


# Rows are written out by hand: the driver's own way of filling in thousands of them takes ten times as long.
# Numbers are integers by type, texts escaped for the session's mode, which this package sets itself.


def _cell_rows(windows: Sequence[WindowCells]) -> Iterator[str]:
    # In key order: two workers that take the same locks take them in the same order.
    for window in sorted(windows, key=lambda it: (it.epoch, it.window_start, it.source_partition)):
        cells, amounts = map(_text, cells_as_json(window))
        yield (
            f"({int(window.epoch)},'{store_time(window.window_start)}',{int(window.source_partition)},"
            f"{int(window.applied_offset)},{cells},{amounts})"
        )


def _progress_rows(windows: Sequence[WindowCells]) -> Iterator[str]:
    highest: dict[tuple[int, int], int] = {}
    for window in windows:
        key = (window.epoch, window.source_partition)
        highest[key] = max(highest.get(key, -1), window.applied_offset)
    for (epoch, partition), applied in sorted(highest.items()):
        yield f"({int(epoch)},{int(partition)},{int(applied)})"


def _text(json: str) -> str:
    # All there is to escape: a JSON text holds no control characters.
    escaped = json.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
