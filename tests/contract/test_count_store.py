"""What every store of counts promises, and what its tables and views show."""

import asyncio
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pymysql
import pytest

from fraudstream.adapters import connect_count_store
from fraudstream.core.window_cells import WindowCells
from fraudstream.ports import CountStore
from tests.services.mariadb import connect

NOON = int(datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp())
MIDNIGHT = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())

Rows = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def rows(counts_url: str) -> Rows:
    """Ask the store what anyone may ask it: SQL."""

    def ask(query: str) -> list[tuple[Any, ...]]:
        if counts_url.startswith("sqlite"):
            with sqlite3.connect(counts_url.removeprefix("sqlite:///")) as connection:
                found = connection.execute(query).fetchall()
            connection.close()
            return found
        with connect(counts_url) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    return ask


def window(
    applied: int,
    cells: dict[tuple[str, str, str], int] | None = None,
    amounts: dict[tuple[str, str], tuple[int, int]] | None = None,
    *,
    start: int = NOON,
    partition: int = 0,
    epoch: int = 1,
) -> WindowCells:
    return WindowCells(
        epoch=epoch,
        window_start=start,
        source_partition=partition,
        applied_offset=applied,
        cells=cells if cells is not None else {("all", "bank", "Monzo"): applied},
        amounts=amounts or {},
    )


async def test_cells_are_stored_as_they_were_counted(counts: CountStore, rows: Rows) -> None:
    await counts.flush(
        [
            window(
                42,
                {("all", "bank", "Monzo"): 3, ("fraud", "bank", "Monzo"): 1},
                {("all", "GBP"): (2, 570), ("all", "JPY"): (1, 90)},
                partition=5,
                epoch=2,
            )
        ]
    )
    columns = "epoch, source_partition, population, dimension, value, count, applied_offset"
    assert rows(f"SELECT {columns} FROM window_counts ORDER BY population") == [
        (2, 5, "all", "bank", "Monzo", 3, 42),
        (2, 5, "fraud", "bank", "Monzo", 1, 42),
    ]
    columns = "population, currency, count, sum_minor, minor_per_major, applied_offset"
    assert rows(f"SELECT {columns} FROM window_amounts ORDER BY currency") == [
        ("all", "GBP", 2, 570, 100, 42),
        ("all", "JPY", 1, 90, 1, 42),
    ]


async def test_a_window_starts_at_its_time_in_utc_on_both_sides_of_midnight(
    counts: CountStore, rows: Rows
) -> None:
    await counts.flush([window(1, start=start) for start in (MIDNIGHT - 300, MIDNIGHT)])
    starts = [str(start) for (start,) in rows("SELECT window_start FROM window_counts ORDER BY 1")]
    assert starts == ["2026-03-01 23:55:00", "2026-03-02 00:00:00"]


async def test_flushing_again_changes_nothing(counts: CountStore, rows: Rows) -> None:
    cells = window(42, {("all", "bank", "Monzo"): 3}, {("all", "GBP"): (2, 570)})
    await counts.flush([cells])
    before = [
        rows(f"SELECT * FROM {table}") for table in ("window_counts", "window_amounts", "window_progress")
    ]
    await counts.flush([cells, cells])
    await counts.flush([])
    after = [
        rows(f"SELECT * FROM {table}") for table in ("window_counts", "window_amounts", "window_progress")
    ]
    assert after == before


@pytest.mark.parametrize("order", list(itertools.permutations([10, 20, 30])))
async def test_the_latest_cells_of_a_window_stand_in_whatever_order_flushes_arrive(
    counts: CountStore, rows: Rows, order: tuple[int, ...]
) -> None:
    for applied in order:
        cells = {("all", "bank", "Monzo"): applied, ("all", "bank", f"new at {applied}"): 1}
        await counts.flush([window(applied, cells, {("all", "GBP"): (applied, applied * 100)})])
    assert rows("SELECT count, applied_offset FROM window_counts WHERE value = 'Monzo'") == [(30, 30)]
    assert rows("SELECT count, sum_minor, applied_offset FROM window_amounts") == [(30, 3000, 30)]
    assert rows("SELECT value FROM window_counts WHERE value <> 'Monzo'") == [("new at 30",)]
    assert await counts.highest_offsets(1) == {0: 30}


async def test_partitions_windows_and_epochs_do_not_touch_each_other(counts: CountStore, rows: Rows) -> None:
    await counts.flush(
        [
            window(5, partition=0),
            window(3, partition=1),
            window(9, partition=0, start=NOON + 300),
            window(1, partition=0, epoch=2),
        ]
    )
    assert sorted(count for (count,) in rows("SELECT count FROM window_counts")) == [1, 3, 5, 9]
    assert await counts.highest_offsets(1) == {0: 9, 1: 3}
    assert await counts.highest_offsets(2) == {0: 1}
    assert await counts.highest_offsets(3) == {}


ODD_VALUES = [
    "a",
    "A",
    "a ",
    " a",
    "á",
    "",
    "%s",
    "'",
    '"',
    "\\",
    "\\'",
    "line\nbreak",
    "\x1a",
    "£",
    "\U0001f4b3",
    "x" * 128,
]


async def test_values_that_differ_in_a_byte_are_different_values(counts: CountStore, rows: Rows) -> None:
    cells = {("all", "merchant_group", value): index for index, value in enumerate(ODD_VALUES)}
    await counts.flush([window(1, cells)])
    await counts.flush([window(2, cells)])
    stored = dict(rows("SELECT value, count FROM window_counts"))
    assert stored == {value: index for index, value in enumerate(ODD_VALUES)}


async def test_the_summary_shows_odd_values_as_valid_json(counts: CountStore, rows: Rows) -> None:
    values = {value: number for number, value in enumerate(ODD_VALUES, start=1)}
    await counts.flush([window(1, {("all", "bank", value): number for value, number in values.items()})])
    [(banks,)] = rows("SELECT bank FROM transaction_summaries")
    assert json.loads(banks) == values


async def test_mariadb_refuses_a_number_larger_than_its_column_and_stores_nothing(mariadb_url: str) -> None:
    counts = connect_count_store(mariadb_url)
    await counts.open()
    with pytest.raises(pymysql.err.DataError, match="Out of range"):
        await counts.flush([window(1), window(2**63, start=NOON + 300)])
    assert await counts.highest_offsets(1) == {}
    await counts.flush([window(1)])
    assert await counts.highest_offsets(1) == {0: 1}
    await counts.close()


async def test_the_largest_numbers_fit(counts: CountStore, rows: Rows) -> None:
    largest = 2**63 - 1
    for partition in (0, 1):
        cells = {("all", "decision", "approve"): 1}
        amounts = {("all", "GBP"): (1, largest), ("all", "EUR"): (1, -largest)}
        await counts.flush([window(largest, cells, amounts, partition=partition)])
    assert rows("SELECT DISTINCT sum_minor, applied_offset FROM window_amounts ORDER BY 1") == [
        (-largest, largest),
        (largest, largest),
    ]
    [(averages,)] = rows("SELECT average_amounts FROM transaction_summaries")
    assert json.loads(averages)["GBP"] == pytest.approx(largest / 100)


async def test_a_flush_of_ten_thousand_cells_is_whole(counts: CountStore, rows: Rows) -> None:
    cells = {("all", "merchant_group", f"shop {n}"): n for n in range(10_000)}
    await counts.flush([window(1, cells)])
    assert rows("SELECT COUNT(*), SUM(count) FROM window_counts") == [(10_000, sum(range(10_000)))]


async def test_everything_is_there_after_closing_and_opening_again(
    counts: CountStore, counts_url: str
) -> None:
    await counts.flush([window(7)])
    await counts.close()
    await counts.close()
    await counts.open()
    await counts.open()
    await counts.ping()
    again = connect_count_store(counts_url)
    await again.open()
    assert await again.highest_offsets(1) == {0: 7}
    await again.close()


async def test_workers_may_open_and_flush_at_once(counts: CountStore, counts_url: str, rows: Rows) -> None:
    workers = [connect_count_store(counts_url) for _ in range(4)]
    await asyncio.gather(*(worker.open() for worker in workers))
    for applied in (10, 20):
        cells = {("all", "bank", f"bank {n}"): applied for n in range(50)}
        await asyncio.gather(
            *(
                worker.flush(
                    [window(applied, cells, partition=partition, start=NOON + 300 * n) for n in range(5)]
                )
                for partition, worker in enumerate(workers)
            )
        )
    await asyncio.gather(*(worker.close() for worker in workers))
    assert rows("SELECT COUNT(*), SUM(count) FROM window_counts") == [(1000, 20_000)]


# The views


def counted(decision: str, bank: str, number: int) -> Counter[tuple[str, str, str]]:
    found = Counter({("all", "decision", decision): number, ("all", "bank", bank): number})
    if decision != "approve":
        found += Counter({("fraud", "decision", decision): number, ("fraud", "bank", bank): number})
    return found


async def test_a_summary_has_one_row_a_window_summed_over_partitions_and_epochs(
    counts: CountStore, rows: Rows
) -> None:
    first = counted("approve", "Monzo", 5) + counted("review", "RBS", 2)
    second = counted("approve", "Monzo", 7) + counted("decline", "Monzo", 1)
    await counts.flush(
        [
            window(9, dict(first), partition=0),
            window(9, dict(second), partition=1),
            window(3, dict(counted("approve", "RBS", 4)), epoch=2),
            window(3, dict(counted("approve", "Halifax", 1)), start=NOON + 300),
        ]
    )
    query = "SELECT created_at, transaction_count, fraud_count, bank, decision FROM {} ORDER BY created_at"

    def read(view: str) -> list[tuple[Any, ...]]:
        return [
            (str(at), int(number), int(fraud), json.loads(bank), json.loads(decision))
            for at, number, fraud, bank, decision in rows(query.format(view))
        ]

    assert read("transaction_summaries") == [
        (
            "2026-03-01 12:00:00",
            19,
            3,
            {"Monzo": 13, "RBS": 6},
            {"approve": 16, "review": 2, "decline": 1},
        ),
        ("2026-03-01 12:05:00", 1, 0, {"Halifax": 1}, {"approve": 1}),
    ]
    assert read("fraud_summaries") == [
        ("2026-03-01 12:00:00", 3, 3, {"Monzo": 1, "RBS": 2}, {"review": 2, "decline": 1})
    ]


async def test_the_average_is_in_major_units_over_all_partitions(counts: CountStore, rows: Rows) -> None:
    decided = {("all", "decision", "approve"): 1}
    await counts.flush(
        [
            window(1, decided, {("all", "GBP"): (3, 1000)}, partition=0),
            window(1, decided, {("all", "GBP"): (1, 235)}, partition=1),
            window(1, decided, {("all", "JPY"): (2, 301)}, start=NOON + 300),
            window(1, decided, {}, start=NOON + 600),
        ]
    )
    found = rows("SELECT average_amount, average_amounts FROM transaction_summaries ORDER BY created_at")
    assert [None if average is None else float(average) for average, _ in found] == [3.0875, 150.5, None]
    assert [averages and json.loads(averages) for _, averages in found] == [
        {"GBP": 3.0875},
        {"JPY": 150.5},
        None,
    ]


async def test_amounts_of_several_currencies_have_no_common_average(counts: CountStore, rows: Rows) -> None:
    amounts = {("all", "GBP"): (2, 500), ("all", "KWD"): (1, 1500), ("all", "other"): (9, 0)}
    await counts.flush([window(1, {("all", "decision", "approve"): 12}, amounts)])
    [(average, averages)] = rows("SELECT average_amount, average_amounts FROM transaction_summaries")
    assert average is None
    assert json.loads(averages) == {"GBP": 2.5, "KWD": 1.5}


async def test_every_category_is_a_column_of_both_summaries(counts: CountStore, rows: Rows) -> None:
    names = [
        "card_type",
        "entry_mode",
        "transaction_type",
        "merchant_group",
        "transaction_country",
        "shipping_country",
        "residence_country",
        "bank",
        "decision",
    ]
    cells = {(population, name, f"a {name}"): 2 for population in ("all", "fraud") for name in names}
    await counts.flush([window(1, cells)])
    for view in ("transaction_summaries", "fraud_summaries"):
        [found] = rows(f"SELECT {', '.join(names)} FROM {view}")
        assert [json.loads(value) for value in found] == [{f"a {name}": 2} for name in names]
