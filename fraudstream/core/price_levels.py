"""What a terminal usually takes, measured by what each of its cards usually pays.

An electronics shop takes several times what its customers spend elsewhere, a bus a fraction of it. The
level is the mean of the ratios of genuine transactions in octaves, so that no card counts by its wealth; it
rests on labels and belongs with the terminal's risk.
"""

from math import floor, log2
from typing import Final

LEVEL_LIMIT: Final = 4.0
"""Octaves from a card's usual that one amount counts at most: a slip of the till moves no level."""

LEVEL_STEPS: Final = 256
"""Parts of an octave that ratios are summed in: whole numbers add up alike in any order, and take back
exactly."""

LEVEL_PRIOR: Final = 5.0
"""Genuine labels that the overall level counts for in a terminal's own."""

COMMON_LEVEL: Final = 4
"""Bin of terminals whose level lies within a quarter of an octave of the overall one."""


def level_step(ratio: float) -> int:
    """Return what a ratio (above 0) adds to a sum of levels, in 256ths of an octave."""
    octaves = log2(ratio)
    if octaves > LEVEL_LIMIT:
        octaves = LEVEL_LIMIT
    elif octaves < -LEVEL_LIMIT:
        octaves = -LEVEL_LIMIT
    return floor(octaves * LEVEL_STEPS + 0.5)


def price_level(labels: int, total: int, all_labels: int, all_total: int) -> float:
    """Return by how many octaves genuine amounts of a terminal lie above what their cards pay anywhere.

    0 for a terminal like all others, and for one without genuine labels.

    Parameters
    ----------
    labels, total
        Genuine labels of the terminal, and the sum of their steps by :func:`level_step`.
    all_labels, all_total
        The same of everything.
    """
    if not labels or not all_labels:
        return 0.0
    above = total - all_total / all_labels * labels
    return above / (LEVEL_STEPS * (labels + LEVEL_PRIOR))


def level_bin(level: float) -> int:
    """Return the bin of a level: two an octave, around the overall one.

    >>> [level_bin(level) for level in (-9.0, -0.3, -0.2, 0.0, 0.2, 0.3, 1.0, 9.0)]
    [0, 3, 4, 4, 4, 5, 6, 8]
    """
    if level >= 1.75:
        return 2 * COMMON_LEVEL
    return floor(2.0 * level + 0.5) + COMMON_LEVEL if level > -2.0 else 0
