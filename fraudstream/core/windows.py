"""Tumbling windows of event time, counted per category."""

import msgspec


class WindowCells(msgspec.Struct, frozen=True, kw_only=True):
    """All counts of one (window, source partition), as they stand after ``applied_offset``.

    ``cells``: (population, dimension, value) to count, population being ``all`` or ``fraud``. ``amounts``: (population,
    currency) to (number of amounts, their sum in minor units).
    """

    epoch: int
    window_start: int
    source_partition: int
    applied_offset: int
    cells: dict[tuple[str, str, str], int]
    amounts: dict[tuple[str, str], tuple[int, int]]
