"""Counts of windows in one SQLite file: what a laptop, a demo and the tests use instead of MariaDB."""

import sqlite3
from collections.abc import Sequence

from fraudstream.adapters.count_schema import (
    SQLITE,
    VIEWS,
    cells_as_json,
    store_time,
    table_statements,
    view_statements,
)
from fraudstream.adapters.sqlite import SqliteDatabase, sqlite_path
from fraudstream.core.window_cells import WindowCells

SCHEMA = "".join(
    f"{statement};\n"
    for statement in (
        *table_statements(SQLITE),
        *(f"DROP VIEW IF EXISTS {view}" for view in VIEWS),
        *view_statements(SQLITE),
    )
)

_CELLS = """
INSERT INTO window_cells VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE
SET applied_offset = excluded.applied_offset, cells = excluded.cells, amounts = excluded.amounts
WHERE excluded.applied_offset >= applied_offset
"""

_PROGRESS = """
INSERT INTO window_progress VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET applied_offset = max(applied_offset, excluded.applied_offset)
"""


class SqliteCountStore:
    """Plays the ``CountStore`` port on one SQLite file, which several processes may use.

    Parameters
    ----------
    url
        ``sqlite:///file``.
    """

    def __init__(self, url: str) -> None:
        self._database = SqliteDatabase(sqlite_path(url), SCHEMA)

    def __repr__(self) -> str:
        return f"<SqliteCountStore {self._database!r}>"

    async def open(self) -> None:
        """Connect, create tables that are missing and make the views anew. Idempotent."""
        await self._database.open()

    async def close(self) -> None:
        """Let go of the file. Idempotent."""
        await self._database.close()

    async def ping(self) -> None:
        """Return when the file answers."""
        await self._database.read(
            lambda connection: connection.execute("SELECT 1 FROM window_progress LIMIT 1").fetchone()
        )

    async def flush(self, windows: Sequence[WindowCells]) -> None:
        """Write the cumulative cells of each (window, source partition), all or none; never backwards."""

        def upsert(connection: sqlite3.Connection) -> None:
            for window in windows:
                epoch, partition, applied = window.epoch, window.source_partition, window.applied_offset
                start = store_time(window.window_start)
                connection.execute(_CELLS, (epoch, start, partition, applied, *cells_as_json(window)))
                connection.execute(_PROGRESS, (epoch, partition, applied))

        if windows:
            await self._database.write(upsert)

    async def highest_offsets(self, epoch: int) -> dict[int, int]:
        """Return the highest applied offset stored for each source partition of that epoch."""
        query = "SELECT source_partition, applied_offset FROM window_progress WHERE epoch = ?"
        return await self._database.read(
            lambda connection: dict(connection.execute(query, (epoch,)).fetchall())
        )
