"""Lists of cards, terminals and the like that are decided on without their score."""

from datetime import datetime
from enum import StrEnum

import msgspec

from fraudstream.core.messages import Decision, Transaction
from fraudstream.errors import InvalidInput


class ListedField(StrEnum):
    """Fields of a transaction that a list can name values of."""

    CARD_ID = "card_id"
    CUSTOMER_ID = "customer_id"
    TERMINAL_ID = "terminal_id"
    MERCHANT_GROUP = "merchant_group"
    TRANSACTION_COUNTRY = "transaction_country"
    SHIPPING_COUNTRY = "shipping_country"
    RESIDENCE_COUNTRY = "residence_country"
    BANK = "bank"


class NamedList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values of one field, and what their transactions are decided.

    ``decision`` ``decline`` blocks, ``approve`` trusts, ``review`` has a person look. With ``until`` (aware)
    the list speaks only about transactions whose event time is earlier.

    Raises
    ------
    InvalidInput
        The list has no name or no values, or ``until`` has no offset from UTC.

    Examples
    --------
    >>> stolen = NamedList(name="stolen", field=ListedField.CARD_ID, decision=Decision.DECLINE, values={"c7"})
    >>> stolen.speaks(Transaction("t", datetime(2026, 3, 1), card_id="c7"))
    True
    """

    name: str
    field: ListedField
    decision: Decision
    values: frozenset[str]
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse lists that cannot mean anything."""
        if not self.name or not self.values:
            fault = f"expected a list with a name and values, got {self.name!r} with {len(self.values)}"
            raise InvalidInput(fault)
        if self.until is not None and self.until.tzinfo is None:
            fault = f"list {self.name}: expected until with an offset from UTC, got {self.until.isoformat()}"
            raise InvalidInput(fault)

    def speaks(self, transaction: Transaction) -> bool:
        """Whether the list holds this transaction's value and has not run out."""
        return getattr(transaction, self.field) in self.values and (
            self.until is None or transaction.event_time < self.until
        )
