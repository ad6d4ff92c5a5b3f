"""Payments as columns, before they become messages."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from fraudstream.simulation.population import Flags, Integers

GENUINE = -1
"""What ``pattern`` holds for a payment that is no fraud; else the place of its pattern in the world."""

HOME = -1
"""What ``country`` and ``shipping`` hold for the terminal's and the card's own country."""

COUNTRIES = ("GB", "US", "JP", "DE", "FR", "ES", "PL", "BR", "IN", "CN", "AU", "NG", "TR", "VN", "MX", "ZA")
"""Where cards can be used far from home."""


@dataclass(frozen=True)
class Payments:
    """Columns of equal length. Times are milliseconds since 1970 UTC, amounts minor units.

    ``card`` and ``terminal`` are slots of the population, ``card_number`` what filled the slot; ``remote``
    payments were made without the card being there.
    """

    time_ms: Integers
    card: Integers
    card_number: Integers
    terminal: Integers
    amount_minor: Integers
    country: Integers
    shipping: Integers
    remote: Flags
    pattern: Integers

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, rows: Integers | Flags) -> "Payments":
        """Return these rows, in this order."""
        return Payments(*(getattr(self, one.name)[rows] for one in fields(self)))

    @classmethod
    def join(cls, parts: Sequence["Payments"]) -> "Payments":
        """Return all rows of all parts, one part after another."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    @classmethod
    def none(cls) -> "Payments":
        """Return no rows."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, empty, empty, empty, empty, empty, np.zeros(0, dtype=np.bool_), empty)
