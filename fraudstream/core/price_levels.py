"""What a terminal usually takes, measured by what each of its cards usually pays.

An electronics shop takes several times what its customers spend elsewhere, a bus a fraction of it. The
level is the mean of the ratios of genuine transactions in octaves, so that no card counts by its wealth; it
rests on labels and belongs with the terminal's risk.
"""

from math import floor, log2
from typing import Protocol

LEVEL_LIMIT = 4.0
"""Octaves from a card's usual that one amount counts at most: a slip of the till moves no level."""

LEVEL_STEPS = 256
"""Parts of an octave that ratios are summed in: whole numbers add up alike in any order, and take back
exactly."""

LEVEL_PRIOR = 5.0
"""Genuine labels that the overall level counts for in a terminal's own."""

COMMON_LEVEL = 4
"""Bin of terminals whose level lies within a quarter of an octave of the overall one."""


class Levels(Protocol):
    """Genuine labels whose ratio is known, and the sum of their ratios, in 256ths of an octave."""

    levels: int
    level_sum: int


def count_level(holder: Levels, ratio: float, step: int) -> None:
    """Count the ratio (above 0) of one genuine label, or with ``step`` -1 take it out again."""
    octaves = log2(ratio)
    if octaves > LEVEL_LIMIT:
        octaves = LEVEL_LIMIT
    elif octaves < -LEVEL_LIMIT:
        octaves = -LEVEL_LIMIT
    if holder.levels + step >= 0:
        holder.levels += step
        holder.level_sum += step * floor(octaves * LEVEL_STEPS + 0.5)


def price_level(here: Levels, everywhere: Levels) -> float:
    """Return by how many octaves genuine amounts here lie above what their cards pay anywhere.

    0 for a terminal like all others, and for one without genuine labels.
    """
    count = here.levels
    if not count or not everywhere.levels:
        return 0.0
    above = here.level_sum - everywhere.level_sum / everywhere.levels * count
    return above / (LEVEL_STEPS * (count + LEVEL_PRIOR))


def level_bin(level: float) -> int:
    """Return the bin of a level: two an octave, around the overall one.

    >>> [level_bin(level) for level in (-9.0, -0.3, -0.2, 0.0, 0.2, 0.3, 1.0, 9.0)]
    [0, 3, 4, 4, 4, 5, 6, 8]
    """
    if level >= 1.75:
        return 2 * COMMON_LEVEL
    return floor(2.0 * level + 0.5) + COMMON_LEVEL if level > -2.0 else 0
