"""What frauds, alerts and wrong declines cost, and so what a system saves.

Money is counted in the minor unit of each currency and never added across currencies.
"""

from collections.abc import Mapping

import msgspec

from fraudstream.core.messages import Decision
from fraudstream.errors import InvalidInput

ANY = "default"
"""Row of a cost table for every currency without a row of its own."""


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decisions cost in one currency.

    A fraud that is approved costs ``fraud_share`` of its amount and ``fraud_minor``. A fraud in review is
    caught with ``review_catches`` as its chance; a declined one is caught. Each alert that a person looks
    at costs ``review_minor``. A genuine transaction that is declined costs ``declined_share`` of its amount
    and ``declined_minor``.
    """

    fraud_share: float = 1.0
    fraud_minor: float = 0.0
    review_minor: float = 0.0
    review_catches: float = 1.0
    declined_share: float = 0.0
    declined_minor: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative costs and chances above 1."""
        values = [getattr(self, name) for name in self.__struct_fields__]
        if not all(0.0 <= value < float("inf") for value in values) or self.review_catches > 1.0:
            fault = f"expected costs of at least 0 and review_catches of at most 1, got {self}"
            raise InvalidInput(fault)

    def loss(self, decision: Decision, fraud: bool, amount_minor: int) -> float:
        """Return what one decision costs, in minor units.

        >>> Costs(review_minor=300).loss(Decision.REVIEW, True, 5_000)
        300.0
        >>> Costs(fraud_minor=1_500).loss(Decision.APPROVE, True, 5_000)
        6500.0
        """
        lost = 0.0
        if fraud:
            suffered = amount_minor * self.fraud_share + self.fraud_minor
            if decision is Decision.APPROVE:
                lost = suffered
            elif decision is Decision.REVIEW:
                lost = (1.0 - self.review_catches) * suffered
        elif decision is Decision.DECLINE:
            lost = amount_minor * self.declined_share + self.declined_minor
        return lost + self.review_minor if decision is Decision.REVIEW else lost


CostTable = Mapping[str, Costs]
"""Costs by currency code, and under :data:`ANY` those of every other currency."""

AMOUNTS_ONLY: CostTable = {ANY: Costs()}
"""Frauds cost their amount, work costs nothing: the most a system can save."""


class Saving(msgspec.Struct, kw_only=True):
    """Money in one currency, in its minor unit.

    ``without_minor``: what approving everything would have cost; ``with_minor``: what the decisions cost;
    ``saved_minor``: the difference. ``review_minor`` and ``declined_minor`` are parts of ``with_minor``:
    looking at alerts, and genuine transactions declined.
    """

    currency: str
    without_minor: int
    with_minor: int
    saved_minor: int
    review_minor: int
    declined_minor: int


class Ledger:
    """Adds up what decisions cost, currency by currency."""

    def __init__(self, table: CostTable = AMOUNTS_ONLY) -> None:
        self._table = table
        self._sums: dict[str, list[float]] = {}

    def add(self, currency: str, decision: Decision, fraud: bool, amount_minor: int) -> None:
        """Count one decision on a transaction whose truth is known.

        Raises
        ------
        InvalidInput
            The table has neither the currency nor a default.
        """
        costs = self._table.get(currency) or self._table.get(ANY)
        if costs is None:
            fault = f"the cost table has neither {currency or 'amounts without currency'} nor [{ANY}]"
            raise InvalidInput(fault)
        sums = self._sums.setdefault(currency, [0.0, 0.0, 0.0, 0.0])
        sums[0] += costs.loss(Decision.APPROVE, fraud, amount_minor)
        sums[1] += costs.loss(decision, fraud, amount_minor)
        if decision is Decision.REVIEW:
            sums[2] += costs.review_minor
        if decision is Decision.DECLINE and not fraud:
            sums[3] += costs.loss(decision, fraud, amount_minor)

    def savings(self) -> tuple[Saving, ...]:
        """Return what was saved in each currency, by its code; rounded to whole minor units."""
        return tuple(
            Saving(
                currency=currency,
                without_minor=round(without),
                with_minor=round(cost),
                saved_minor=round(without) - round(cost),
                review_minor=round(review),
                declined_minor=round(declined),
            )
            for currency, (without, cost, review, declined) in sorted(self._sums.items())
        )
