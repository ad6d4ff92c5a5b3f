"""What is flushed of a window."""

import msgspec


class WindowCells(msgspec.Struct, frozen=True, kw_only=True):
    """All counts of one (window, source partition), as they stand after ``applied_offset``.

    ``window_start`` is in seconds since 1970-01-01 UTC. ``cells``: (population, dimension, value) to count,
    population being ``all`` or ``fraud``. ``amounts``: (population, currency) to (number of amounts, their
    sum in minor units); currency ``other`` sums nothing: amounts of different currencies are never added.
    """

    epoch: int
    window_start: int
    source_partition: int
    applied_offset: int
    cells: dict[tuple[str, str, str], int]
    amounts: dict[tuple[str, str], tuple[int, int]]
