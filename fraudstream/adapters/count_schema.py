"""Tables and views of window counts, the same for every store that speaks SQL.

``window_counts`` and ``window_amounts`` hold one row for each (window, source partition, category).
``transaction_summaries`` and ``fraud_summaries`` show one row for each window, summed over partitions and
epochs, in the shape dashboards like.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from fraudstream.core.counted import ALL, DIMENSIONS, FRAUD, OTHER


class Dialect(NamedTuple):
    """What differs between stores.

    ``text``: type of a short text compared byte by byte, trailing spaces included. ``instant``: type of a
    window's start, in UTC. ``json_object``: the aggregate that makes a JSON object. ``total``: the sum that
    cannot overflow. ``table_options``: what follows a table's columns. ``replace_view``: statement head that
    makes a view anew.
    """

    text: str
    instant: str
    json_object: str
    total: str
    table_options: str
    replace_view: str


SQLITE = Dialect("TEXT", "TEXT", "json_group_object", "TOTAL", " WITHOUT ROWID", "CREATE VIEW")
MARIADB = Dialect(
    "VARCHAR(128)",
    "DATETIME",
    "JSON_OBJECTAGG",
    "SUM",
    " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
    "CREATE OR REPLACE VIEW",
)

VIEWS = {"transaction_summaries": ALL, "fraud_summaries": FRAUD}


def store_time(window_start: int) -> str:
    """Return a window's start as stores write it, in UTC.

    >>> store_time(1772366400)
    '2026-03-01 12:00:00'
    """
    return datetime.fromtimestamp(window_start, UTC).strftime("%Y-%m-%d %H:%M:%S")


def table_statements(dialect: Dialect) -> list[str]:
    """Return the statements that create tables which are missing.

    ``window_progress`` holds the highest applied offset of each source partition, so that asking for it
    needs no scan.
    """
    source = (
        f"epoch BIGINT NOT NULL, window_start {dialect.instant} NOT NULL, source_partition INT NOT NULL,"
        f" population {dialect.text} NOT NULL"
    )
    return [
        f"CREATE TABLE IF NOT EXISTS window_counts ({source}, dimension {dialect.text} NOT NULL,"
        f" value {dialect.text} NOT NULL, count BIGINT NOT NULL, applied_offset BIGINT NOT NULL,"
        " PRIMARY KEY (epoch, window_start, source_partition, population, dimension, value))"
        f"{dialect.table_options}",
        f"CREATE TABLE IF NOT EXISTS window_amounts ({source}, currency {dialect.text} NOT NULL,"
        " count BIGINT NOT NULL, sum_minor BIGINT NOT NULL, minor_per_major INT NOT NULL,"
        " applied_offset BIGINT NOT NULL,"
        " PRIMARY KEY (epoch, window_start, source_partition, population, currency))"
        f"{dialect.table_options}",
        "CREATE TABLE IF NOT EXISTS window_progress (epoch BIGINT NOT NULL, source_partition INT NOT NULL,"
        " applied_offset BIGINT NOT NULL, PRIMARY KEY (epoch, source_partition))"
        f"{dialect.table_options}",
    ]


def view_statements(dialect: Dialect) -> list[str]:
    """Return the statements that make both views anew."""
    return [f"{dialect.replace_view} {name} AS {_summaries(dialect, of)}" for name, of in VIEWS.items()]


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
