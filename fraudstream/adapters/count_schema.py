"""Tables and views of window counts, the same for every store that speaks SQL.

``window_cells`` holds one row for each (window, source partition), with its cells as JSON: what was counted
together is written, compared and replaced together, and a flush costs a row a window, not a row a cell. The
views ``window_counts`` and ``window_amounts`` show one row for each category; ``transaction_summaries`` and
``fraud_summaries`` one for each window, summed over partitions and epochs, in the shape dashboards like.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from fraudstream.core.counted import ALL, DIMENSIONS, FRAUD, OTHER
from fraudstream.core.currencies import minor_units_per_major
from fraudstream.core.window_cells import WindowCells


class Dialect(NamedTuple):
    """What differs between stores.

    ``text``: type of a short text compared byte by byte, trailing spaces included. ``json``: type of the text
    of cells. ``instant``: type of a window's start, in UTC. ``unfold``: given a column that holds an array of
    arrays, and names and types of what is in each of those, returns the columns to select and the source to
    select them from. ``json_object``: the aggregate that makes a JSON object. ``total``: the sum that cannot
    overflow. ``table_options``: what follows a table's columns. ``replace_view``: statement head that makes a
    view anew.
    """

    text: str
    json: str
    instant: str
    unfold: Callable[[str, Mapping[str, str]], tuple[str, str]]
    json_object: str
    total: str
    table_options: str
    replace_view: str


def _unfold_in_sqlite(column: str, members: Mapping[str, str]) -> tuple[str, str]:
    columns = (f"json_extract(cell.value, '$[{place}]') AS {name}" for place, name in enumerate(members))
    return ", ".join(columns), f"json_each({column}) AS cell"


def _unfold_in_mariadb(column: str, members: Mapping[str, str]) -> tuple[str, str]:
    columns = (f"{name} {kind} PATH '$[{place}]'" for place, (name, kind) in enumerate(members.items()))
    unfolded = f"JSON_TABLE({column}, '$[*]' COLUMNS ({', '.join(columns)})) AS cell"
    return ", ".join(f"cell.{name}" for name in members), unfolded


_COMPARED_BY_BYTE = "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"

SQLITE = Dialect(
    text="TEXT",
    json="TEXT",
    instant="TEXT",
    unfold=_unfold_in_sqlite,
    json_object="json_group_object",
    total="TOTAL",
    table_options="",
    replace_view="CREATE VIEW",
)
MARIADB = Dialect(
    text=f"VARCHAR(128) {_COMPARED_BY_BYTE}",
    json="MEDIUMTEXT",
    instant="DATETIME",
    unfold=_unfold_in_mariadb,
    json_object="JSON_OBJECTAGG",
    total="SUM",
    table_options=f" ENGINE = InnoDB DEFAULT {_COMPARED_BY_BYTE}",
    replace_view="CREATE OR REPLACE VIEW",
)

SUMMARIES = {"transaction_summaries": ALL, "fraud_summaries": FRAUD}

VIEWS = ("window_counts", "window_amounts", *SUMMARIES)

_encode = msgspec.json.Encoder().encode


def store_time(window_start: int) -> str:
    """Return a window's start as stores write it, in UTC.

    >>> store_time(1772366400)
    '2026-03-01 12:00:00'
    """
    return datetime.fromtimestamp(window_start, UTC).strftime("%Y-%m-%d %H:%M:%S")


def cells_as_json(window: WindowCells) -> tuple[str, str]:
    """Return the columns ``cells`` and ``amounts`` of a window: arrays of what the views show as rows.

    No control character is in either: JSON escapes them.
    """
    cells = [(*key, count) for key, count in window.cells.items()]
    amounts = [
        (population, currency, *amount, minor_units_per_major(currency))
        for (population, currency), amount in window.amounts.items()
    ]
    return _encode(cells).decode(), _encode(amounts).decode()


def table_statements(dialect: Dialect) -> list[str]:
    """Return the statements that create tables which are missing.

    ``window_progress`` holds the highest applied offset of each source partition, so that asking for it
    needs no scan.
    """
    return [
        f"CREATE TABLE IF NOT EXISTS window_cells (epoch BIGINT NOT NULL, window_start {dialect.instant} NOT"
        f" NULL, source_partition INT NOT NULL, applied_offset BIGINT NOT NULL, cells {dialect.json} NOT"
        f" NULL, amounts {dialect.json} NOT NULL, PRIMARY KEY (epoch, window_start, source_partition))"
        f"{dialect.table_options}",
        "CREATE TABLE IF NOT EXISTS window_progress (epoch BIGINT NOT NULL, source_partition INT NOT NULL,"
        " applied_offset BIGINT NOT NULL, PRIMARY KEY (epoch, source_partition))"
        f"{dialect.table_options}",
    ]


def view_statements(dialect: Dialect) -> list[str]:
    """Return the statements that make all views anew."""
    text = dialect.text
    counts = {"population": text, "dimension": text, "value": text, "count": "BIGINT"}
    amounts = {
        "population": text,
        "currency": text,
        "count": "BIGINT",
        "sum_minor": "BIGINT",
        "minor_per_major": "INT",
    }
    queries = {
        "window_counts": _unfolded(dialect, "cells", counts),
        "window_amounts": _unfolded(dialect, "amounts", amounts),
        **{name: _summaries(dialect, population) for name, population in SUMMARIES.items()},
    }
    return [f"{dialect.replace_view} {name} AS {query}" for name, query in queries.items()]


def _unfolded(dialect: Dialect, column: str, members: Mapping[str, str]) -> str:
    columns, source = dialect.unfold(column, members)
    return (
        f"SELECT epoch, window_start, source_partition, {columns}, applied_offset"  # noqa: S608 - our own names
        f" FROM window_cells, {source}"
    )


def _summaries(dialect: Dialect, population: str) -> str:
    """Return the query of one view.

    ``average_amount`` is in major units and only where all amounts of the window have one currency: an
    average over several means nothing. ``average_amounts`` has one for each currency.
    """
    columns = ", ".join(
        f"MAX(CASE WHEN dimension = '{dimension}' THEN counts END) AS {dimension}" for dimension in DIMENSIONS
    )
    average = f"ROUND({dialect.total}(sum_minor) * 1.0 / SUM(count) / MAX(minor_per_major), 4)"
    return (
        f"SELECT summary.*, amounts.average_amount, amounts.average_amounts,"  # noqa: S608 - names of our own only
        " COALESCE(flagged.fraud_count, 0) AS fraud_count FROM ("
        f" SELECT window_start AS created_at, MAX(total) AS transaction_count, {columns} FROM ("
        f" SELECT window_start, dimension, SUM(total) AS total, {dialect.json_object}(value, total) AS counts"
        " FROM (SELECT window_start, dimension, value, SUM(count) AS total FROM window_counts"
        f" WHERE population = '{population}' GROUP BY window_start, dimension, value) AS per_value"
        " GROUP BY window_start, dimension) AS per_dimension GROUP BY window_start) AS summary"
        " LEFT JOIN (SELECT window_start, CASE WHEN COUNT(*) = 1 THEN MAX(average) END AS average_amount,"
        f" {dialect.json_object}(currency, average) AS average_amounts"
        f" FROM (SELECT window_start, currency, {average} AS average FROM window_amounts"
        f" WHERE population = '{population}' AND currency <> '{OTHER}' GROUP BY window_start, currency)"
        " AS per_currency GROUP BY window_start) AS amounts ON amounts.window_start = summary.created_at"
        " LEFT JOIN (SELECT window_start, SUM(count) AS fraud_count FROM window_counts"
        f" WHERE population = '{FRAUD}' AND dimension = 'decision' GROUP BY window_start) AS flagged"
        " ON flagged.window_start = summary.created_at"
    )
