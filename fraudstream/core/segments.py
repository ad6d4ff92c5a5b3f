"""What transactions can be told apart by: fields with few values, and classes of amounts and times."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence

from fraudstream.core.backtest_entries import Entry
from fraudstream.core.crosses import PRICES, price_class
from fraudstream.core.messages import Transaction
from fraudstream.errors import InvalidInput

MOST_VALUES = 1000
"""Values of one segment told apart; further ones count as :data:`OTHER`."""

OTHER = "other"
NO_VALUE = ""

_FIELDS = frozenset(
    {
        *(
            "currency",
            "merchant_group",
            "transaction_type",
            "entry_mode",
            "card_type",
            "bank",
            "gender",
            "age",
        ),
        *(
            "transaction_country",
            "shipping_country",
            "residence_country",
            "card_id",
            "customer_id",
            "terminal_id",
        ),
    }
)


class Segment:
    """A column of small numbers that stand for the values of one segment."""

    def __init__(self, value_of: Callable[[Transaction], object]) -> None:
        self._value_of = value_of
        self._codes: dict[object, int] = {}
        self.codes = array("h")

    def extend(self, entries: Sequence[Entry]) -> None:
        """Take the next transactions."""
        value_of, codes = self._value_of, self._codes
        for entry in entries:
            value = value_of(entry[0])
            code = codes.get(value)
            if code is None:
                code = len(codes)
                if code >= MOST_VALUES:
                    value = OTHER
                    code = codes.get(value, code)
                codes[value] = code
            self.codes.append(code)

    @property
    def values(self) -> tuple[str, ...]:
        """The value each number stands for; :data:`NO_VALUE` where the field was missing."""
        return tuple(NO_VALUE if value is None else str(value) for value in self._codes)


def amount_class(transaction: Transaction) -> str | None:
    """Return the amount's class in words, by the edges that the model's crosses use.

    >>> from datetime import UTC, datetime
    >>> amount_class(Transaction(transaction_id="1", event_time=datetime.now(UTC), amount_minor=1_250))
    '10 to 20'
    """
    at = price_class(transaction.amount_minor, transaction.currency)
    if at is None:
        return None
    if at == 0:
        return f"under {PRICES[0]}"
    return f"{PRICES[at - 1]} to {PRICES[at]}" if at < len(PRICES) else f"from {PRICES[-1]}"


def hour_of(transaction: Transaction) -> int:
    """Return the hour of day: as the producer states it, else that of the event time in UTC."""
    return transaction.event_time.hour if transaction.hour is None else transaction.hour


def _part_of_day(transaction: Transaction) -> str:
    return _PARTS_OF_DAY[bisect_right((7, 12, 18), hour_of(transaction))]


_PARTS_OF_DAY = ("0 to 7 h", "7 to 12 h", "12 to 18 h", "18 to 24 h")

_DERIVED: dict[str, Callable[[Transaction], object]] = {
    "amount": amount_class,
    "part_of_day": _part_of_day,
    "hour": hour_of,
    "weekday": lambda transaction: transaction.event_time.strftime("%A"),
}

SEGMENTS = tuple(sorted(_FIELDS | _DERIVED.keys()))
"""What transactions can be told apart by."""


def segment(name: str) -> Segment:
    """Return an empty column for a segment of :data:`SEGMENTS`.

    Raises
    ------
    InvalidInput
        There is no such segment.
    """
    if name in _DERIVED:
        return Segment(_DERIVED[name])
    if name in _FIELDS:
        return Segment(lambda transaction: getattr(transaction, name))
    fault = f"there is no segment {name!r}: expected one of {', '.join(SEGMENTS)}"
    raise InvalidInput(fault)
