"""What only the archive in a SQLite file has to do: stay cheap to write to, however much it holds."""

import random
import sqlite3
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from fraudstream.adapters.sqlite_archive import SqliteArchive
from fraudstream.core.messages import (
    Classification,
    Decision,
    Label,
    LabelSource,
    LabelValue,
    Position,
    Transaction,
)
from fraudstream.errors import InvalidMessage

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
IO = Path("/proc/self/io")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "archive.db"


@pytest.fixture
async def archive(file: Path) -> AsyncIterator[SqliteArchive]:
    made = SqliteArchive(f"sqlite:///{file}")
    await made.open()
    yield made
    await made.close()


def scored(offset: int, transaction_id: str, partition: int = 0) -> bytes:
    return msgspec.json.encode(
        Classification(
            source=Position(1, partition, offset),
            transaction=Transaction(transaction_id=transaction_id, event_time=AT, card_id="card 7"),
            event_time=AT,
            keys=(1, 2, 3),
            features=None,
            score=0.25,
            decision=Decision.REVIEW,
            reasons=(),
            rules=(),
            model_version=1,
            scored_at=AT,
            flags=(),
        )
    )


def of(transaction_id: str) -> Label:
    return Label(
        label=LabelValue.FRAUD, source=LabelSource.ANALYST, labelled_at=AT, transaction_id=transaction_id
    )


async def offsets(archive: SqliteArchive, transaction_id: str) -> list[int]:
    [found] = await archive.find([of(transaction_id)])
    return [one.source.offset for one in found]


async def test_an_id_is_found_however_far_apart_its_transactions_are(archive: SqliteArchive) -> None:
    far = [10**12, 3, 70_000, 10**9, 65_535, 65_536]
    await archive.store([scored(offset, "again") for offset in far])
    await archive.store([scored(offset + 1, "other") for offset in far])
    assert await offsets(archive, "again") == sorted(far)


async def test_ids_that_share_a_place_on_a_shelf_are_told_apart(archive: SqliteArchive) -> None:
    assert zlib.crc32(b"plumless") == zlib.crc32(b"buckeroo")
    await archive.store([scored(1, "plumless"), scored(2, "buckeroo")])
    assert await offsets(archive, "plumless") == [1]
    assert await offsets(archive, "buckeroo") == [2]


@pytest.mark.skipif(not IO.exists(), reason="only Linux tells how much a process has written")
async def test_storing_writes_about_as_much_as_there_is_to_store(archive: SqliteArchive) -> None:
    rng = random.Random(7)
    rows = [scored(offset, f"{rng.getrandbits(128):032x}") for offset in range(40_960)]
    size = sum(map(len, rows))
    before = written()
    for start in range(0, len(rows), 4096):
        await archive.store(rows[start : start + 4096])
    # Once to the log and once to the file, and what of indexes is touched again and again.
    assert written() - before < 4 * size


def written() -> int:
    fields = dict(line.split(": ") for line in IO.read_text().splitlines())
    return int(fields["wchar"])


@pytest.mark.parametrize("missing", ["source", "transaction", "event_time", "decision", "score"])
async def test_what_lacks_a_part_that_people_look_for_is_no_classification(
    archive: SqliteArchive, missing: str
) -> None:
    parts = msgspec.json.decode(scored(1, "t1"))
    del parts[missing]
    with pytest.raises(InvalidMessage):
        await archive.store([msgspec.json.encode(parts)])


async def test_people_find_what_was_decided_and_labelled_in_columns(
    archive: SqliteArchive, file: Path
) -> None:
    await archive.store([scored(4, "t4")])
    with sqlite3.connect(file) as database:
        found = database.execute(
            "SELECT transaction_id, card_id, decision, score, label FROM decisions"
        ).fetchall()
    assert found == [("t4", "card 7", "review", 0.25, None)]
