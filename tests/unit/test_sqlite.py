"""Writes to one SQLite file: each whole or not at all, and those that wait share a commit."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fraudstream.adapters import sqlite
from fraudstream.adapters.sqlite import SqliteDatabase
from fraudstream.adapters.sqlite_counts import SqliteCountStore
from fraudstream.errors import InvalidSettings, StoreUnavailable

SCHEMA = "CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY);"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    made = SqliteDatabase(tmp_path / "numbers.db", SCHEMA)
    await made.open()
    yield made
    await made.close()


def insert(*numbers: int) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        for number in numbers:
            connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return len(numbers)

    return work


async def numbers_in(database: SqliteDatabase) -> list[int]:
    return [
        row[0]
        for row in await database.read(
            lambda connection: connection.execute("SELECT number FROM numbers ORDER BY number").fetchall()
        )
    ]


async def test_writes_at_once_are_all_done_and_each_gets_its_own_result(database: SqliteDatabase) -> None:
    results = await asyncio.gather(*(database.write(insert(*range(n * 10, n * 11))) for n in range(1, 6)))
    assert results == [1, 2, 3, 4, 5]
    assert len(await numbers_in(database)) == 15


async def test_a_write_that_fails_takes_back_itself_and_none_of_those_it_shares_a_commit_with(
    database: SqliteDatabase,
) -> None:
    outcomes = await asyncio.gather(
        database.write(insert(1, 2)),
        database.write(insert(3, 1)),
        database.write(insert(4)),
        return_exceptions=True,
    )
    assert outcomes[0] == 2
    assert isinstance(outcomes[1], sqlite3.IntegrityError)
    assert outcomes[2] == 1
    assert await numbers_in(database) == [1, 2, 4]


async def test_waiting_writes_share_one_commit(database: SqliteDatabase) -> None:
    begun: list[str] = []
    await database.read(lambda connection: connection.set_trace_callback(begun.append))
    await asyncio.gather(*(database.write(insert(number)) for number in range(20)))
    await database.read(lambda connection: connection.set_trace_callback(None))
    assert 1 <= begun.count("BEGIN IMMEDIATE") < 20
    assert await numbers_in(database) == list(range(20))


async def test_writes_that_come_while_others_are_written_share_the_next_commit(
    database: SqliteDatabase,
) -> None:
    begun: list[str] = []
    await database.read(lambda connection: connection.set_trace_callback(begun.append))

    async def write_twice(number: int) -> None:
        await database.write(insert(number))
        await database.write(insert(100 + number))

    await asyncio.gather(*(write_twice(number) for number in range(20)))
    await database.read(lambda connection: connection.set_trace_callback(None))
    # The first begins alone or not; then all that waited, and then what each of those wrote next.
    assert begun.count("BEGIN IMMEDIATE") <= 4
    assert len(await numbers_in(database)) == 40


async def test_a_file_that_is_locked_is_waited_for_once_and_not_by_each_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.5)
    made = SqliteDatabase(tmp_path / "numbers.db", SCHEMA)
    await made.open()
    with sqlite3.connect(tmp_path / "numbers.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        outcomes = await asyncio.gather(
            *(made.write(insert(number)) for number in range(10)), return_exceptions=True
        )
        took = time.monotonic() - started
        other.execute("ROLLBACK")
    assert all(isinstance(one, StoreUnavailable) for one in outcomes)
    assert took < 2.0
    await made.close()


async def test_a_write_nobody_waits_for_any_more_holds_up_no_other(database: SqliteDatabase) -> None:
    given_up = asyncio.create_task(database.write(insert(1)))
    kept = asyncio.create_task(database.write(insert(2)))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await kept == 1
    assert 2 in await numbers_in(database)


async def test_what_waits_is_written_before_the_file_is_let_go(tmp_path: Path) -> None:
    made = SqliteDatabase(tmp_path / "numbers.db", SCHEMA)
    await made.open()
    writes = [asyncio.create_task(made.write(insert(number))) for number in range(5)]
    await asyncio.sleep(0)
    await made.close()
    assert await asyncio.gather(*writes) == [1] * 5


async def test_writes_fail_together_where_the_group_is_lost(database: SqliteDatabase) -> None:
    def lose_everything(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # as SQLite does by itself on a full disk
        message = "database or disk is full"
        raise sqlite3.OperationalError(message)

    outcomes = await asyncio.gather(
        database.write(insert(1)), database.write(lose_everything), return_exceptions=True
    )
    stored = await numbers_in(database)
    assert isinstance(outcomes[1], sqlite3.OperationalError)
    assert stored == ([1] if outcomes[0] == 1 else [])
    assert await database.write(insert(7)) == 1


async def test_a_table_where_a_view_of_counts_is_to_be_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "counts.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE window_counts (count INTEGER)")
        other.execute("INSERT INTO window_counts VALUES (7)")
    counts = SqliteCountStore(f"sqlite:///{file}")
    with pytest.raises(InvalidSettings, match=r"counts\.db: use DROP TABLE to delete table window_counts"):
        await counts.open()
    await counts.close()
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT count FROM window_counts").fetchall() == [(7,)]
