"""What every archive promises about transactions that wait for a label, and labels that overrule others."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fraudstream.adapters import connect_archive
from fraudstream.adapters.sqlite_archive import _UNLABELLED
from fraudstream.core.messages import Label, LabelPosition, LabelSource, LabelValue, Position
from fraudstream.ports import Archive, LabelState, Unlabelled
from tests.contract.test_archive import classification, encoded

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def said(source: LabelSource, value: LabelValue = LabelValue.FRAUD, by: str | None = None) -> Label:
    return Label(label=value, source=source, labelled_at=NOON, transaction_id="t", labelled_by=by)


async def store(archive: Archive, minutes: dict[int, float], partition: int = 0) -> None:
    await archive.store(
        encoded(*(classification(n, partition=partition, event_time=at(m)) for n, m in minutes.items()))
    )


async def test_unlabelled_ones_come_oldest_first_up_to_and_including_the_time(archive: Archive) -> None:
    await store(archive, {1: 30, 2: 10, 3: 20, 4: 20.00001, 5: 99})
    found = await archive.unlabelled(at(30), None, 10)
    assert [one.source.offset for one in found] == [2, 3, 4, 1]
    assert [one.event_time for one in found][:2] == [at(10), at(20)]
    assert await archive.unlabelled(at(9), None, 10) == []


async def test_pages_go_on_behind_the_last_one_even_where_all_times_are_equal(archive: Archive) -> None:
    await store(archive, dict.fromkeys(range(12), 5.0))
    await store(archive, dict.fromkeys(range(12), 5.0), partition=1)
    pages: list[Unlabelled] = []
    while page := await archive.unlabelled(at(5), pages[-1] if pages else None, 5):
        pages += page
    assert len(pages) == 24
    assert {one.source for one in pages} == {Position(1, p, n) for p in (0, 1) for n in range(12)}


async def test_what_has_a_label_does_not_come_again(archive: Archive) -> None:
    await store(archive, {1: 1, 2: 2, 3: 3})
    await archive.record_labels({Position(1, 0, 2): (said(LabelSource.PRESUMED), LabelPosition(0, 0))})
    assert [one.source.offset for one in await archive.unlabelled(at(9), None, 9)] == [1, 3]
    again = await archive.unlabelled(at(9), Unlabelled(at(1), Position(1, 0, 1)), 9)
    assert [one.source.offset for one in again] == [3]


@pytest.mark.parametrize("stronger", [LabelSource.CUSTOMER, LabelSource.ANALYST, LabelSource.CHARGEBACK])
async def test_a_presumed_label_is_replaced_and_never_replaces(
    archive: Archive, stronger: LabelSource
) -> None:
    await store(archive, {1: 1})
    source = Position(1, 0, 1)
    presumed = said(LabelSource.PRESUMED, LabelValue.GENUINE)
    for label, position in ((presumed, 1), (said(stronger, by="Ada"), 2), (presumed, 3)):
        await archive.record_labels({source: (label, LabelPosition(0, position))})
    [[found]] = await archive.find([Label(**{**_fields(presumed), "position": source})])
    assert found.label == LabelState(
        label=LabelValue.FRAUD, label_source=stronger, position=LabelPosition(0, 2), labelled_by="Ada"
    )


async def test_an_analyst_and_a_chargeback_replace_each_other_and_a_customer_neither(
    archive: Archive,
) -> None:
    await store(archive, {1: 1})
    source = Position(1, 0, 1)
    noted = []
    for position, kind in enumerate(("analyst", "chargeback", "analyst", "customer")):
        await archive.record_labels({source: (said(LabelSource(kind)), LabelPosition(0, position))})
        [[found]] = await archive.find([Label(**{**_fields(said(LabelSource.ANALYST)), "position": source})])
        assert found.label is not None
        noted.append(found.label.label_source.value)
    assert noted == ["analyst", "chargeback", "analyst", "analyst"]


async def test_several_readers_see_the_same_pages(archive: Archive, archive_url: str) -> None:
    await store(archive, {number: number / 7 for number in range(50)})
    other = connect_archive(archive_url)
    await other.open()
    try:
        assert await other.unlabelled(at(99), None, 20) == await archive.unlabelled(at(99), None, 20)
    finally:
        await other.close()


def _fields(label: Label) -> dict[str, object]:
    return {name: getattr(label, name) for name in label.__struct_fields__}


async def test_a_page_costs_the_same_however_much_is_labelled_before_it(tmp_path: Path) -> None:
    archive = connect_archive(f"sqlite:///{tmp_path / 'archive.db'}")
    await archive.open()
    await archive.close()
    with closing(sqlite3.connect(tmp_path / "archive.db")) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {_UNLABELLED}", (NOON.isoformat(), "", -1, -1, -1, 500)
        ).fetchall()
    assert [step[3] for step in plan] == [
        "SEARCH classifications USING INDEX classifications_unlabelled"
        " ((event_time,source_epoch,source_partition,source_offset)>(?,?,?,?) AND event_time<?)"
    ]
