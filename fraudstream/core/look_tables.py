"""Labels and frauds counted by the look of their transaction: what explains a fraud without its terminal."""

from typing import Self

import msgspec

from fraudstream.core.looks import (
    AMOUNT_LOOK_FROM,
    BLAME_LIFT,
    LOOKS,
    RATIO_LOOK_FROM,
    known_rate,
    look,
)
from fraudstream.core.rows import row_of, struct_from


def _zeros() -> list[int]:
    return [0] * LOOKS


class LookTables(msgspec.Struct, array_like=True):
    """Labels and frauds counted by the look of their transaction, over everything.

    ``ratio_*`` by amount over the card's usual, ``amount_*`` by amount over the currency's mean.
    ``labels``, ``frauds``: totals. ``followed``, ``followed_by_fraud``: labels that came next at a terminal
    after a fraud blamed on it, and the frauds among them, each with one in advance. ``levels``,
    ``level_sum``: genuine labels whose ratio is known, and the sum of their ratios in 256ths of an octave.
    """

    ratio_labels: list[int] = msgspec.field(default_factory=_zeros)
    ratio_frauds: list[int] = msgspec.field(default_factory=_zeros)
    amount_labels: list[int] = msgspec.field(default_factory=_zeros)
    amount_frauds: list[int] = msgspec.field(default_factory=_zeros)
    labels: int = 0
    frauds: int = 0
    followed: int = 1
    followed_by_fraud: int = 1
    levels: int = 0
    level_sum: int = 0

    def base_rate(self) -> float:
        """Return the overall fraud rate, with half a fraud in a hundred labels as prior."""
        return (self.frauds + 0.5) / (self.labels + 100.0)

    def explains(self, ratio: float, relative_amount: float) -> bool:
        """Whether the look of a fraud explains it without its terminal."""
        rate = self.base_rate()
        limit = BLAME_LIFT * rate
        at = look(ratio, RATIO_LOOK_FROM)
        if known_rate(self.ratio_labels[at], self.ratio_frauds[at], ratio, rate) > limit:
            return True
        at = look(relative_amount, AMOUNT_LOOK_FROM)
        return known_rate(self.amount_labels[at], self.amount_frauds[at], relative_amount, rate) > limit

    def to_row(self) -> tuple[int | list[int], ...]:
        """Return the fields in order, as plain numbers and lists."""
        return row_of(self)

    @classmethod
    def from_row(cls, row: object) -> Self:
        """Rebuild what :meth:`to_row` gave; anything else is an ``InvalidMessage``."""
        return struct_from(cls, row)
