"""The counts of one window."""

from fraudstream.core.counted import ALL, DIMENSIONS, FRAUD, OTHER, UNKNOWN, CountedClassification
from fraudstream.core.messages import Decision
from fraudstream.core.window_rows import WindowRow

APPROVE = Decision.APPROVE.value

MAX_VALUE_CHARS = 128
"""Longer values count as ``other``: nobody reads a category that long. So do those with a NUL, which ends a
text in some stores."""

MAX_SUM_MINOR = 2**63 - 1
"""Sums stop here, where 64-bit columns end.

That is 92 quadrillion pounds in five minutes: an attack, and it must not stop every later flush.
"""


def window_start(second: int, size_seconds: int) -> int:
    """Return the start of the window a moment belongs to, both in seconds since 1970-01-01 UTC.

    >>> window_start(299, 300), window_start(300, 300), window_start(-1, 300)
    (0, 300, -300)
    """
    return second - second % size_seconds


def is_closed(window: tuple[int, int], closed: tuple[int, int]) -> bool:
    """Return whether a window (epoch, start) is closed when all before ``closed`` (epoch, second) are."""
    return window[0] < closed[0] or (window[0] == closed[0] and window[1] < closed[1])


class Window:
    """Counts of one window: a mapping of value to count for each dimension, in their order.

    What transactions do not state is not counted but told by the difference to their number, which that of
    their decisions is; and ``fraud`` is empty until something was flagged. Where windows are many and hold
    few transactions of which little is stated, that is most of the work.

    Attributes
    ----------
    applied
        Offset of the last classification counted.
    offered, flushed
        Value of ``applied`` when cells were last taken for a flush, and in the last one acknowledged; -1
        for none.
    """

    __slots__ = ("all", "all_amounts", "applied", "flushed", "fraud", "fraud_amounts", "offered")

    def __init__(self) -> None:
        self.applied = -1
        self.offered = -1
        self.flushed = -1
        self.all: list[dict[str, int]] = [{} for _ in DIMENSIONS]
        self.fraud: list[dict[str, int]] = []
        self.all_amounts: dict[str, list[int]] = {}
        self.fraud_amounts: dict[str, list[int]] = {}

    def count(self, classification: CountedClassification, values_per_dimension: int) -> None:
        """Count one classification.

        A value that is not among the first ``values_per_dimension`` of its dimension, is too long or holds a
        NUL counts as ``other``.
        """
        transaction = classification.transaction
        decision = classification.decision
        flagged = decision != APPROVE
        values = [
            transaction.card_type,
            transaction.entry_mode,
            transaction.transaction_type,
            transaction.merchant_group,
            transaction.transaction_country,
            transaction.shipping_country,
            transaction.residence_country,
            transaction.bank,
            decision,
        ]
        if flagged and not self.fraud:
            self.fraud = [{} for _ in DIMENSIONS]
        for place in range(len(values)):
            stated = values[place]
            if not stated:
                continue
            seen = self.all[place]
            number = seen.get(stated)
            if number is None:
                stated = _admit(stated, seen, values_per_dimension)
                number = seen.get(stated, 0)
            seen[stated] = number + 1
            if flagged:
                fraud = self.fraud[place]
                fraud[stated] = fraud.get(stated, 0) + 1
        amount_minor = transaction.amount_minor
        if amount_minor is not None:
            currency = _admit(transaction.currency or UNKNOWN, self.all_amounts, values_per_dimension)
            if currency == OTHER:
                amount_minor = 0
            total = self.all_amounts.get(currency)
            if total is None:
                total = self.all_amounts[currency] = [0, 0]
            total[0] += 1
            total[1] += amount_minor
            if flagged:
                total = self.fraud_amounts.setdefault(currency, [0, 0])
                total[0] += 1
                total[1] += amount_minor

    def cells(self) -> dict[tuple[str, str, str], int]:
        """Return the count of each (population, dimension, value)."""
        found: dict[tuple[str, str, str], int] = {}
        for population, counts in ((ALL, self.all), (FRAUD, self.fraud)):
            total = sum(counts[-1].values()) if counts else 0
            for dimension, seen in zip(DIMENSIONS, counts, strict=False):
                left = total
                for value, count in seen.items():
                    found[population, dimension, value] = count
                    left -= count
                if left:
                    key = (population, dimension, UNKNOWN)
                    found[key] = found.get(key, 0) + left
        return found

    def amounts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return number and sum of the amounts of each (population, currency)."""
        return {
            (population, currency): amount
            for population, amounts in ((ALL, self.all_amounts), (FRAUD, self.fraud_amounts))
            for currency, amount in _bounded(amounts).items()
        }

    def to_row(self) -> WindowRow:
        """Return everything that must survive a restart."""
        return WindowRow(
            applied=self.applied,
            all=_stated(self.all),
            fraud=_stated(self.fraud),
            all_amounts=_bounded(self.all_amounts),
            fraud_amounts=_bounded(self.fraud_amounts),
        )

    @classmethod
    def from_row(cls, row: WindowRow) -> "Window":
        """Return the window a row was made of, as never flushed."""
        window = cls()
        window.applied = row.applied
        window.all = [row.all.get(dimension, {}) for dimension in DIMENSIONS]
        if row.fraud:
            window.fraud = [row.fraud.get(dimension, {}) for dimension in DIMENSIONS]
        window.all_amounts = {currency: list(total) for currency, total in row.all_amounts.items()}
        window.fraud_amounts = {currency: list(total) for currency, total in row.fraud_amounts.items()}
        return window


def _stated(counts: list[dict[str, int]]) -> dict[str, dict[str, int]]:
    return {dimension: seen for dimension, seen in zip(DIMENSIONS, counts, strict=False) if seen}


def _admit(value: str, seen: dict[str, int] | dict[str, list[int]], room: int) -> str:
    """Return the value that counts: itself if it has a cell or may have one."""
    if value in seen or (len(value) <= MAX_VALUE_CHARS and len(seen) < room and "\0" not in value):
        return value
    return OTHER


def _bounded(amounts: dict[str, list[int]]) -> dict[str, tuple[int, int]]:
    return {
        c: (number, max(-MAX_SUM_MINOR, min(total, MAX_SUM_MINOR))) for c, (number, total) in amounts.items()
    }
