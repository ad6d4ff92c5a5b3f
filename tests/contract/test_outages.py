"""A store that is down says so, and answers again when it is back, to the same object."""

import asyncio
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from fraudstream.adapters import connect_archive, connect_count_store, mariadb_connection
from fraudstream.adapters import mongo as mongo_adapter
from fraudstream.adapters import sqlite as sqlite_adapter
from fraudstream.core.messages import Position
from fraudstream.errors import InvalidSettings, StoreUnavailable
from tests.contract.test_archive import classification, encoded, label
from tests.contract.test_count_store import window
from tests.services import MariaDbServer, MongoServer
from tests.services.cable import Cable
from tests.services.mariadb import connect

T = TypeVar("T")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten every wait, so that a test of silence does not take half a minute."""
    monkeypatch.setattr(mariadb_connection, "CALL_SECONDS", 1.0)
    monkeypatch.setattr(sqlite_adapter, "BUSY_SECONDS", 0.2)
    quick = {"serverSelectionTimeoutMS": 500, "connectTimeoutMS": 500, "socketTimeoutMS": 1_000}
    monkeypatch.setattr(mongo_adapter, "DEFAULTS", {**mongo_adapter.DEFAULTS, **quick})


def through(url: str, cable: Cable) -> str:
    """The same address, through a cable."""
    head, _, path = url.rpartition("/")
    server, _, port = head.rpartition(":")
    cable.target_port = int(port)
    return f"{server}:{cable.port}/{path}"


async def eventually(call: Callable[[], Awaitable[T]], seconds: float = 20.0) -> T:
    """Try again while the store is unavailable, as a lane does: drivers notice a server's return late."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await call()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def test_an_archive_killed_and_started_again_keeps_what_it_acknowledged(
    own_mongo: Callable[..., MongoServer], impatient: None
) -> None:
    server = own_mongo()
    archive = connect_archive(server.url)
    await archive.open()
    await archive.store(encoded(classification(1)))
    await asyncio.sleep(1.5)  # the stand-in writes to its file once a second
    server.kill()
    for call in (
        archive.ping(),
        archive.store(encoded(classification(2))),
        archive.find([label(transaction_id="t1")]),
    ):
        with pytest.raises(StoreUnavailable, match="mongo is unavailable"):
            await call
    with pytest.raises(StoreUnavailable):
        await archive.highest_offsets(1)
    server.start()
    assert await eventually(lambda: archive.store(encoded(classification(1), classification(2)))) == 1
    assert await archive.highest_offsets(1) == {0: 2}
    await archive.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["pulled", "stalled"])
async def test_an_archive_behind_a_bad_cable_is_unavailable_until_it_is_mended(
    mongo_url: str, how: str
) -> None:
    async with Cable() as cable:
        archive = connect_archive(through(mongo_url, cable))
        await archive.open()
        if how == "pulled":
            await cable.pull()
        else:
            cable.stall()
        with pytest.raises(StoreUnavailable):
            await archive.store(encoded(classification(1)))
        await cable.plug()
        await eventually(lambda: archive.store(encoded(classification(1), classification(2))))
        found = await archive.find([label(position=Position(1, 0, 1)), label(position=Position(1, 0, 2))])
        assert [len(several) for several in found] == [1, 1]
        await archive.close()


async def test_counts_killed_and_started_again_take_the_same_flush_once(
    own_mariadb: Callable[..., MariaDbServer], impatient: None
) -> None:
    server = own_mariadb()
    counts = connect_count_store(server.url)
    await counts.open()
    await counts.flush([window(5)])
    server.kill()
    with pytest.raises(StoreUnavailable, match="mariadb is unavailable"):
        await counts.flush([window(6)])
    with pytest.raises(StoreUnavailable):
        await counts.ping()
    server.start()
    assert await eventually(lambda: counts.highest_offsets(1)) == {0: 5}
    await counts.flush([window(6)])
    assert await counts.highest_offsets(1) == {0: 6}
    await counts.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["pulled", "stalled"])
async def test_counts_behind_a_bad_cable_are_unavailable_until_it_is_mended(
    mariadb_url: str, how: str
) -> None:
    async with Cable() as cable:
        counts = connect_count_store(through(mariadb_url, cable))
        await counts.open()
        if how == "pulled":
            await cable.pull()
        else:
            cable.stall()
        with pytest.raises(StoreUnavailable):
            await counts.flush([window(5)])
        await cable.plug()
        await eventually(lambda: counts.flush([window(5)]))
        assert await counts.highest_offsets(1) == {0: 5}
        await counts.close()


async def test_a_flush_that_was_cancelled_leaves_nothing_behind(mariadb_url: str) -> None:
    counts = connect_count_store(mariadb_url)
    await counts.open()
    with connect(mariadb_url) as other, other.cursor() as cursor:
        # What a flush writes last waits for the other; by then the cells are in its transaction.
        cursor.execute("LOCK TABLES window_progress WRITE")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(counts.flush([window(1, {("all", "bank", "Monzo"): 1})]), 0.5)
    await counts.flush([window(0, {("all", "bank", "Monzo"): 1})])
    assert await counts.highest_offsets(1) == {0: 0}
    await counts.close()
    with connect(mariadb_url) as other, other.cursor() as cursor:
        cursor.execute("SELECT applied_offset FROM window_counts")
        assert list(cursor.fetchall()) == [(0,)]


@pytest.mark.parametrize("port", [9])
async def test_a_server_that_is_not_there_is_unavailable(port: int, impatient: None) -> None:
    for store in (
        connect_archive(f"mongodb://user:geheim@127.0.0.1:{port}/fraudstream"),
        connect_count_store(f"mysql://user:geheim@127.0.0.1:{port}/fraudstream"),
    ):
        with pytest.raises(StoreUnavailable) as raised:
            await store.open()
        assert "geheim" not in f"{raised.value} {raised.value!r} {store!r}"
        await store.close()


async def test_wrong_credentials_are_an_operator_s_matter(mariadb_url: str) -> None:
    head, _, tail = mariadb_url.partition("://")[2].partition("@")
    counts = connect_count_store(f"mysql://{head.partition(':')[0]}:geheim@{tail}")
    with pytest.raises(InvalidSettings, match="MariaDB refuses") as raised:
        await counts.open()
    assert "geheim" not in str(raised.value)


async def test_a_table_where_a_view_is_to_be_is_named_and_left_alone(mariadb_url: str) -> None:
    with connect(mariadb_url) as other, other.cursor() as cursor:
        cursor.execute("CREATE TABLE window_counts (epoch BIGINT)")
    counts = connect_count_store(mariadb_url)
    with pytest.raises(InvalidSettings, match="window_counts' is not of type 'VIEW'"):
        await counts.open()
    await counts.close()


async def test_a_database_that_does_not_exist_is_named(mariadb_url: str) -> None:
    counts = connect_count_store(f"{mariadb_url}_missing")
    with pytest.raises(InvalidSettings, match="_missing"):
        await counts.open()


async def test_a_file_that_another_process_holds_is_unavailable_until_it_lets_go(
    tmp_path: Path, impatient: None
) -> None:
    path = tmp_path / "archive.db"
    archive = connect_archive(f"sqlite:///{path}")
    await archive.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="sqlite is unavailable: database is locked"):
        await archive.store(encoded(classification(1)))
    assert await archive.find([label(transaction_id="t1")]) == [[]], "readers do not wait for writers"
    other.execute("ROLLBACK")
    other.close()
    assert await archive.store(encoded(classification(1))) == 1
    await archive.close()


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    archive = connect_archive(f"sqlite:///{tmp_path / 'file' / 'archive.db'}")
    with pytest.raises(StoreUnavailable):
        await archive.open()
    await archive.close()


async def test_a_file_that_is_no_database_is_loud(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    path.write_bytes(b"no database, but somebody's diary" * 100)
    archive = connect_archive(f"sqlite:///{path}")
    with pytest.raises(InvalidSettings, match=r"archive\.db: file is not a database"):
        await archive.open()
    await archive.close()
    assert path.read_bytes().startswith(b"no database")


STORE_AND_DIE = """
import asyncio, os, signal, sys
from fraudstream.adapters import connect_archive
from tests.contract.test_archive import classification, encoded

async def main():
    archive = connect_archive(sys.argv[1])
    await archive.open()
    await archive.store(encoded(classification(3)))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_a_process_stored_survives_its_being_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STORE_AND_DIE, url)
    assert await process.wait() == -signal.SIGKILL
    archive = connect_archive(url)
    await archive.open()
    assert await archive.highest_offsets(1) == {0: 3}
    await archive.close()
