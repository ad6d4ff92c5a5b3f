"""One SQLite file, used by one thread of this process at a time and by any number of processes."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from fraudstream.errors import InvalidSettings, StoreUnavailable

Result = TypeVar("Result")

BUSY_SECONDS = 10.0
"""How long to wait for another process that is writing.

A batch takes milliseconds, so this means it is stuck.
"""

PREFIX = "sqlite:///"

STORE = "sqlite"

_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PROTOCOL,
}
"""What the machine may recover from: a lock, a full or failing disk, a folder that is not mounted yet."""

_REFUSED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
"""What a person must put right when a file is opened: no database, a damaged one, or one in which something
else stands where ours is to be."""


def sqlite_path(url: str) -> Path:
    """Return the file a URL names: ``sqlite:///relative/file`` or ``sqlite:////absolute/file``.

    >>> sqlite_path("sqlite:////var/lib/fraudstream/archive.db")
    PosixPath('/var/lib/fraudstream/archive.db')
    """
    path = url.removeprefix(PREFIX)
    if path == url or not path or path == ":memory:":
        msg = "expected sqlite:///relative/file or sqlite:////absolute/file"
        raise InvalidSettings(msg)
    return Path(path)


class _Write(NamedTuple):
    """One write, and what whoever asked for it waits for."""

    work: Callable[[sqlite3.Connection], Any]
    ended: asyncio.Future[Any]

    def tell(self, outcome: Any) -> None:
        """Hand over the result, or the exception that came in its place."""
        if self.ended.done():
            return  # nobody waits any more
        if isinstance(outcome, BaseException):
            self.ended.set_exception(outcome)
        else:
            self.ended.set_result(outcome)


class SqliteDatabase:
    """A connection that lives in a thread of its own, so that the event loop never waits for a disk.

    Calls run one after the other, and of each all happens or nothing. Writes that come while others are
    written wait, and then share one commit, which is synced to disk before any of them returns: a commit
    writes every page that any of them touched, so the more share it, the less each costs.

    Parameters
    ----------
    path
        The file; it and its folder are made when missing.
    schema
        Statements that create what is missing.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[_Write] = []
        self._writing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<SqliteDatabase {self._path}>"

    async def open(self) -> None:
        """Connect, and create what is missing. Idempotent.

        Raises
        ------
        InvalidSettings
            If the file is no database of ours, with its name and the fault.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{self._path.stem}")
        await self._submit(self._connect)

    async def close(self) -> None:
        """Wait for running calls and let go of the file. Idempotent."""
        if self._writing is not None:
            await self._writing
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
            thread.shutdown()

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run queries that change nothing; they never wait for writers."""
        return await self._submit(lambda: self._transact("BEGIN", work))

    async def write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run statements of which all happen or none."""
        ended = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(work, ended))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting(), name=f"{self!r} writes")
        with _failures():
            return cast(Result, await ended)

    async def _write_waiting(self) -> None:
        """Write whatever waits, together, until nothing does: all of a group learn of its commit at once."""
        while self._waiting:
            writes, self._waiting = self._waiting, []
            try:
                outcomes = await self._submit(partial(self._write_together, [write.work for write in writes]))
            except Exception as exc:  # noqa: BLE001 - told to whoever asked
                outcomes = [exc] * len(writes)
            for write, outcome in zip(writes, outcomes, strict=True):
                write.tell(outcome)

    async def _submit(self, call: Callable[[], Result]) -> Result:
        if self._thread is None:
            msg = f"{self!r} is not open"
            raise RuntimeError(msg)
        with _failures():
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _connect(self) -> None:
        if self._connection is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=32
        )
        try:
            # Only a new file takes it: a classification fills a quarter of a standard page; storing goes
            # a third faster with larger ones.
            connection.execute("PRAGMA page_size = 16384")
            _use_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous = FULL")
            # Index pages of the last hours stay in memory: 64 MiB (negative means KiB).
            connection.execute("PRAGMA cache_size = -65536")
            # 64 MiB of log between copies into the file: a page that many batches touch is copied once.
            connection.execute("PRAGMA wal_autocheckpoint = 4096")
            connection.executescript(f"BEGIN IMMEDIATE; {self._schema} COMMIT;")
        except BaseException as exc:
            connection.close()
            if isinstance(exc, sqlite3.DatabaseError) and exc.sqlite_errorcode & 0xFF in _REFUSED:
                msg = f"{self._path}: {exc}"
                raise InvalidSettings(msg) from exc
            raise
        self._connection = connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write_together(self, works: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        """Return the result of each work, or the exception in its place; what fails takes back only itself.

        No savepoints: keeping every page as it was before each work, to take one back that hardly ever
        fails, would write more than all of them do.
        """
        try:
            return self._transact("BEGIN IMMEDIATE", lambda connection: [work(connection) for work in works])
        except Exception as exc:
            if _is_passing(exc):
                raise  # for each of them, one after the other, too
        return [self._write_alone(work) for work in works]

    def _write_alone(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            return self._transact("BEGIN IMMEDIATE", work)
        except Exception as exc:  # noqa: BLE001 - told to whoever asked
            return exc

    def _transact(self, begin: str, work: Callable[[sqlite3.Connection], Result]) -> Result:
        connection = self._connection
        if connection is None:
            msg = f"{self!r} is not open"
            raise RuntimeError(msg)
        connection.execute(begin)
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work at once.

    Switching needs the file alone for a moment and does not wait for it by itself, as other statements do:
    two processes that start together would fail.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _is_passing(exc: Exception) -> bool:
    code = getattr(exc, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _PASSING


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as exc:
        if not _is_passing(exc):
            raise
        raise StoreUnavailable(STORE, str(exc)) from exc
    except OSError as exc:
        raise StoreUnavailable(STORE, exc.strerror or type(exc).__name__) from exc
