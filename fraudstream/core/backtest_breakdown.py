"""The test part of a backtest by day and by segment."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraudstream.core.evaluation import average_precision
from fraudstream.core.segments import OTHER

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

MOST_SEGMENT_ROWS = 20
"""Values of a segment shown, those with most transactions; the others are one row."""

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_DIGITS = 12
"""Decimals kept: below them platforms differ in how they add."""


class DayRow(msgspec.Struct, kw_only=True):
    """One day of the test part, UTC."""

    day: str
    transactions: int
    frauds: int
    average_precision: float | None
    alerts: int
    alerted_frauds: int
    score_sum: float


class SegmentRow(msgspec.Struct, kw_only=True):
    """One value of one segment in the test part. ``predicted`` and ``observed``: mean score, fraud rate."""

    segment: str
    value: str
    transactions: int
    frauds: int
    average_precision: float | None
    predicted: float
    observed: float
    alerts: int
    precision: float | None
    recall: float | None


def share(part: int, whole: int) -> float | None:
    """Return a part of a whole, ``None`` of nothing."""
    return rounded(part / whole) if whole else None


def rounded(value: float) -> float | None:
    """Return a number to so many decimals that platforms agree, ``None`` for one that is not finite."""
    return round(value, _DIGITS) if isfinite(value) else None


def by_day(days: Numbers, s: Floats, y: Flags, alerted: Flags) -> list[DayRow]:
    """Return the rows of a table by day; ``days`` are counted from 1970."""
    rows = []
    for day in np.unique(days).tolist():
        held = days == day
        rows.append(
            DayRow(
                day=(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat(),
                transactions=int(held.sum()),
                frauds=int(y[held].sum()),
                average_precision=rounded(average_precision(s[held], y[held])),
                alerts=int(alerted[held].sum()),
                alerted_frauds=int((alerted & y)[held].sum()),
                score_sum=rounded(float(s[held].sum())) or 0.0,
            )
        )
    return rows


def by_segment(  # noqa: PLR0913, PLR0917  columns of one table
    name: str, values: Sequence[str], codes: Numbers, s: Floats, y: Flags, alerted: Flags, acted: Flags
) -> list[SegmentRow]:
    """Return the rows of a table by the values of a segment, the largest ones, in an order people expect.

    ``codes`` are places in ``values``; ``acted``: what was not approved.
    """
    counts = np.bincount(codes, minlength=len(values))
    ranked = [code for code in np.argsort(-counts, kind="stable").tolist() if counts[code]]
    shown = sorted(ranked[:MOST_SEGMENT_ROWS], key=lambda code: _place(name, values[code]))
    groups: list[tuple[str, Sequence[int]]] = [(values[code], [code]) for code in shown]
    if rest := ranked[MOST_SEGMENT_ROWS:]:
        groups.append((OTHER, rest))
    rows = []
    for value, members in groups:
        held = np.isin(codes, members)
        caught = int((acted & y)[held].sum())
        rows.append(
            SegmentRow(
                segment=name,
                value=value,
                transactions=int(held.sum()),
                frauds=int(y[held].sum()),
                average_precision=rounded(average_precision(s[held], y[held])),
                predicted=float(s[held].mean()),
                observed=float(y[held].mean()),
                alerts=int(alerted[held].sum()),
                precision=share(caught, int(acted[held].sum())),
                recall=share(caught, int(y[held].sum())),
            )
        )
    return rows


def _place(name: str, value: str) -> float:
    """Return where a value belongs in its table: numbers and times by size, other values where they stand."""
    if name == "weekday":
        return _WEEKDAYS.index(value) if value in _WEEKDAYS else 7.0
    found = re.search(r"\d+", value) if name in {"amount", "part_of_day", "hour", "age"} else None
    if found is None:
        return 0.0 if value else float("inf")
    return float(found[0]) - (0.5 if value.startswith("under") else 0.0)
