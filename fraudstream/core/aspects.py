"""What transactions can be told apart by, to say where a change sits: features, times and segments.

An *aspect* is one way to sort transactions into a few values. Aspects of the model's own features have
numbered places, found from the keys a transaction was scored by, so nothing has to be remembered or computed
again; a *segment* is a field of the transaction, its values named.
"""

from collections.abc import Iterable
from datetime import datetime
from math import prod
from typing import NamedTuple

from fraudstream.core.messages import Transaction
from fraudstream.core.terms import (
    BINS,
    CARD,
    FAMILIES,
    KEYS,
    MEETING,
    SIZES,
    SPIKES,
    STARTS,
    STATE_TERMS,
    TERMINAL,
)

HOUR, AMOUNT_SIZE = "hour of day", "amount"

SEGMENTS = (
    "card_type",
    "currency",
    "entry_mode",
    "merchant_group",
    "transaction_type",
    "transaction_country",
    "shipping_country",
    "residence_country",
    "bank",
    "gender",
)
"""Fields with few values, which quality is told by."""

MOST_PLACES = 32
"""Values an aspect of a feature has, at most: neighbouring bins of a finer one are taken together, so that a
value holds enough transactions to compare."""

_SIZES = 64
"""Half octaves of an amount in minor units."""


class Aspect(NamedTuple):
    """One aspect with numbered values, at ``start`` to ``start + size`` of a row of counts.

    ``family``: what a reason of this feature is about; empty for the hour and the size of the amount.
    """

    name: str
    family: str
    start: int
    size: int


def _aspects() -> tuple[tuple[Aspect, ...], tuple[tuple[int, ...], ...]]:
    """Lay out the aspects of all bins; for each key say which places it counts at.

    Bins of rare terms are left out: most transactions lack them. Those of leaning ones are others again.
    """
    found: list[Aspect] = []
    places: list[tuple[int, ...]] = [()] * KEYS
    at = 0
    for one in BINS:
        term = next(
            (term for term in STATE_TERMS if one.name in term.of and not (term.is_rare or term.leaning)), None
        )
        if term is None:
            continue
        step = -(-one.size // MOST_PLACES)
        size = -(-one.size // step)
        family = _FAMILY_OF_BIN.get(one.name, term.family)
        found.append(Aspect(one.name, family, at, size))
        after = prod(_SIZE_OF[name] for name in term.of[term.of.index(one.name) + 1 :])
        start = STARTS[term.name]
        for index in range(SIZES[term.name]):
            value = index // after % one.size
            places[start + index] += (at + value // step,)
        at += size
    found += [Aspect(HOUR, "", at, 24), Aspect(AMOUNT_SIZE, "", at + 24, _SIZES)]
    return tuple(found), tuple(places)


_SIZE_OF = {one.name: one.size for one in BINS}

_FAMILY_OF_BIN = {
    **dict.fromkeys(("count", "ratio_coarse", "ratio_fine", "surprise"), CARD),
    **dict.fromkeys(("heat", "since_spike"), SPIKES),
    **dict.fromkeys(
        (
            "since_genuine",
            "episode_age",
            "episode_days",
            "fraud_run",
            "genuine_run",
            "rate_short",
            "rate_long",
            "last_label",
        ),
        TERMINAL,
    ),
}
"""Of bins whose first term combines them with a value of another family."""

assert MEETING not in _FAMILY_OF_BIN.values()  # noqa: S101 - a bin belongs to the card or to the terminal
assert set(_FAMILY_OF_BIN.values()) <= set(FAMILIES)  # noqa: S101 - as above

ASPECTS, _PLACES_OF_KEY = _aspects()
"""Every aspect with numbered values: the bins of the model, hour of day, size of the amount."""

PLACES = ASPECTS[-1].start + ASPECTS[-1].size
"""Length of a row that counts all of them."""

_HOUR_AT = ASPECTS[-2].start
_AMOUNT_AT = ASPECTS[-1].start


def places_of(keys: Iterable[int]) -> list[int]:
    """Return where a transaction with these keys counts; keys of crosses have no place."""
    table = _PLACES_OF_KEY
    return [place for key in keys for place in table[key]]


def place_of_hour(event_time: datetime, hour: int | None = None) -> int:
    """Return where a transaction counts for its hour: as its producer states it, else that in UTC."""
    return _HOUR_AT + (event_time.hour if hour is None else hour)


def place_of_amount(amount_minor: int) -> int:
    """Return where an amount counts for its size, in half octaves of its minor unit.

    >>> [place_of_amount(minor) - place_of_amount(0) for minor in (0, 1, 2, 3, 4, 1_000)]
    [0, 1, 3, 4, 5, 20]
    """
    if amount_minor <= 0:
        return _AMOUNT_AT
    octave = amount_minor.bit_length() - 1
    upper_half = amount_minor * amount_minor >= 1 << (2 * octave + 1)
    return _AMOUNT_AT + min(1 + 2 * octave + upper_half, _SIZES - 1)


def segments_of(transaction: Transaction) -> dict[str, str] | None:
    """Return the segments a transaction belongs to; ``None`` where it names none."""
    found = {}
    for name in SEGMENTS:
        value = getattr(transaction, name)
        if value:
            found[name] = value
    return found or None


def name_of_place(aspect: Aspect, place: int) -> str:
    """Return the value of an aspect in words: hours and amounts as such, bins by their number.

    >>> name_of_place(ASPECTS[-1], place_of_amount(1_000))
    'from 7.24 to 10.24'
    """
    number = place - aspect.start
    if aspect.name == HOUR:
        return f"{number} h"
    if aspect.name == AMOUNT_SIZE:
        if number == 0:
            return "0"
        low, high = (2.0 ** ((number - 1 + step) / 2.0) / 100.0 for step in (0, 1))
        return f"from {low:.2f} to {high:.2f}"
    return f"bin {number}"
