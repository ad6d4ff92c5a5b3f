"""Labels and frauds counted by the look of their transaction: what explains a fraud without its terminal."""

from typing import Self

from fraudstream.core.looks import (
    AMOUNT_LOOK_FROM,
    BLAME_LIFT,
    LOOKS,
    RATIO_LOOK_FROM,
    known_rate,
    look,
)
from fraudstream.core.rows import values_from

TABLES_ROW = tuple[list[int], list[int], list[int], list[int], int, int, int, int, int, int]


class LookTables:  # noqa: PLW1641  it changes, so it has no hash
    """Labels and frauds counted by the look of their transaction, over everything.

    ``ratio_*`` by amount over the card's usual, ``amount_*`` by amount over the currency's mean.
    ``labels``, ``frauds``: totals. ``followed``, ``followed_by_fraud``: labels that came next at a terminal
    after a fraud blamed on it, and the frauds among them, each with one in advance. ``levels``,
    ``level_sum``: genuine labels whose ratio is known, and the sum of their ratios in 256ths of an octave.
    """

    __slots__ = (
        "amount_frauds",
        "amount_labels",
        "followed",
        "followed_by_fraud",
        "frauds",
        "labels",
        "level_sum",
        "levels",
        "ratio_frauds",
        "ratio_labels",
    )

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        ratio_labels: list[int] | None = None,
        ratio_frauds: list[int] | None = None,
        amount_labels: list[int] | None = None,
        amount_frauds: list[int] | None = None,
        labels: int = 0,
        frauds: int = 0,
        followed: int = 1,
        followed_by_fraud: int = 1,
        levels: int = 0,
        level_sum: int = 0,
    ) -> None:
        self.ratio_labels: list[int] = [0] * LOOKS if ratio_labels is None else ratio_labels
        self.ratio_frauds: list[int] = [0] * LOOKS if ratio_frauds is None else ratio_frauds
        self.amount_labels: list[int] = [0] * LOOKS if amount_labels is None else amount_labels
        self.amount_frauds: list[int] = [0] * LOOKS if amount_frauds is None else amount_frauds
        self.labels = labels
        self.frauds = frauds
        self.followed = followed
        self.followed_by_fraud = followed_by_fraud
        self.levels = levels
        self.level_sum = level_sum

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LookTables) and self.to_row() == other.to_row()

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        return type(self), self.to_row()

    def __repr__(self) -> str:
        return f"LookTables{self.to_row()}"

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

    def to_row(self) -> TABLES_ROW:
        """Return the fields in order, as plain numbers and lists of their own."""
        return (
            self.ratio_labels[:],
            self.ratio_frauds[:],
            self.amount_labels[:],
            self.amount_frauds[:],
            self.labels,
            self.frauds,
            self.followed,
            self.followed_by_fraud,
            self.levels,
            self.level_sum,
        )

    @classmethod
    def from_row(cls, row: object) -> Self:
        """Rebuild what :meth:`to_row` gave, sharing nothing; anything else is an ``InvalidMessage``."""
        return cls(*values_from(row, TABLES_ROW, cls.__name__))
