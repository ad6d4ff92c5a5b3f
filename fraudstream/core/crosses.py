"""Keys of transactions that carry their circumstances: countries, hour, entry mode, merchant group.

They need no state. A combination's key is a stable hash into the range of its cross, so that workers that
never spoke agree.
"""

from bisect import bisect_right
from collections.abc import Callable
from itertools import product
from operator import itemgetter
from sys import intern
from zlib import crc32

from fraudstream.core.currencies import minor_units_per_major
from fraudstream.core.messages import Transaction
from fraudstream.core.terms import CROSS_SLOTS, CROSS_TERMS, STARTS

NIGHT_ENDS = 7
"""First hour of the day: before it, few people buy."""

PRICES = (10, 20, 30, 50, 80, 120, 170, 230, 300)
"""Upper edges, exclusive, of amount classes in major units."""

_MOST_REMEMBERED = 10_000
"""Combinations of one cross whose key is remembered: hashing again costs half a microsecond, and an
attacker's invented merchants must not cost memory."""


def circumstances(transaction: Transaction) -> str | None:
    """Return night and the three country mismatches as four marks, ``None`` where nothing is known of any.

    ``y`` yes, ``n`` no, ``?`` unknown: night; transaction, shipping and residence country differing pairwise.

    >>> from datetime import UTC, datetime
    >>> bought = Transaction(transaction_id="1", event_time=datetime(2020, 10, 13, tzinfo=UTC), hour=3,
    ...                      transaction_country="India", residence_country="United Kingdom")
    >>> circumstances(bought)
    'y?y?'
    """
    hour = transaction.hour
    used = transaction.transaction_country
    shipped = transaction.shipping_country
    lives = transaction.residence_country
    return _MARKS[
        _UNKNOWN if hour is None else hour < NIGHT_ENDS,
        used != shipped if used and shipped else _UNKNOWN,
        used != lives if used and lives else _UNKNOWN,
        shipped != lives if shipped and lives else _UNKNOWN,
    ]


_UNKNOWN = 2
_MARKS = {
    answers: None if set(answers) == {_UNKNOWN} else "".join("ny?"[answer] for answer in answers)
    for answers in product((False, True, _UNKNOWN), repeat=4)
}


def price_class(amount_minor: int | None, currency: str | None) -> int | None:
    """Return the amount's class, 0 to 9, by :data:`PRICES`; ``None`` where the amount is unknown.

    Without a currency the amount is taken to have two decimals.

    >>> price_class(1_000, "GBP"), price_class(1_000, "JPY")
    (1, 9)
    """
    if amount_minor is None:
        return None
    return bisect_right(PRICES, amount_minor / (minor_units_per_major(currency) if currency else 100))


_VALUES = (
    "circumstances",
    "price",
    "entry_mode",
    "merchant_group",
    "gender",
    "card_type",
    "bank",
    "residence_country",
)


class _Cross:
    """One cross: which values it combines, where its keys start, and the keys of combinations seen."""

    __slots__ = ("key_of", "pick", "start", "values")

    def __init__(self, names: tuple[str, ...], start: int) -> None:
        self.values = frozenset(names)
        self.pick = itemgetter(*(_VALUES.index(name) for name in names))
        self.start = start
        self.key_of: dict[object, int] = {}

    def add(self, combination: object) -> int:
        """Work out the key of a combination seen for the first time, and remember it."""
        if len(self.key_of) >= _MOST_REMEMBERED:
            self.key_of.clear()
        parts = combination if isinstance(combination, tuple) else (combination,)
        slot = crc32("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")) % CROSS_SLOTS
        key = self.key_of[combination] = self.start + slot
        return key


_CROSSES = tuple(_Cross(term.of, STARTS[term.name]) for term in CROSS_TERMS)


def _looker() -> Callable[..., tuple[int, ...]]:
    """Write out the look-up of every cross's key, from the table of crosses; KeyError where one is new."""
    keys = [f"k{index}[{', '.join(term.of)}]" for index, term in enumerate(CROSS_TERMS)]
    source = f"lambda {', '.join(_VALUES)}: ({', '.join(keys)})"
    tables: dict[str, object] = {f"k{index}": cross.key_of for index, cross in enumerate(_CROSSES)}
    looker: Callable[..., tuple[int, ...]] = eval(source, {"__builtins__": {}, **tables})  # noqa: S307  names of the term table only
    return looker


_remembered = _looker()


def cross_keys(transaction: Transaction) -> tuple[int, ...]:
    """Return the keys of every cross whose fields the transaction has, in the order of the crosses.

    A missing or empty field drops the crosses that hold it; a transaction with none of the fields has no
    keys. Nothing depends on what was seen before: the keys remembered only save their hashing.
    """
    # Interned, a text that was seen before is the same object as then: combinations are compared at a
    # glance. What no combination remembers any more is forgotten by the interpreter too.
    values = (
        circumstances(transaction),
        price_class(transaction.amount_minor, transaction.currency),
        intern(transaction.entry_mode or ""),
        intern(transaction.merchant_group or ""),
        intern(transaction.gender or ""),
        intern(transaction.card_type or ""),
        intern(transaction.bank or ""),
        intern(transaction.residence_country or ""),
    )
    try:
        return _remembered(*values)
    except KeyError:
        return _keys_of(values)


def _keys_of(values: tuple[object, ...]) -> tuple[int, ...]:
    """Return the keys of values of which some are absent, or not remembered."""
    absent = {name for name, value in zip(_VALUES, values, strict=True) if value is None or value == ""}
    keys = []
    for cross in _CROSSES:
        if absent.isdisjoint(cross.values):
            combination = cross.pick(values)
            key = cross.key_of.get(combination)
            keys.append(cross.add(combination) if key is None else key)
    return tuple(keys)
