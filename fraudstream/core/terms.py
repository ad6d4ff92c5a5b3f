"""The terms of the model: every feature in one table.

A term is a product of one or two binned values. Each combination of bins has one key, an index into the
model's weights; a transaction has one key of each term whose fields it has, and each key is worth 1. To add
a term, add a line here (and its bin to ``features``): key ranges, the assembling code, families for reasons
and the checksum that snapshots carry follow.
"""

import hashlib
from collections.abc import Callable, Sequence
from enum import Flag

import msgspec

FORMAT = 1
"""Rises when keys change their meaning without any name, range or family changing."""


class Needs(Flag):
    """Fields a bin is made of."""

    AMOUNT = 1
    CARD = 2
    TERMINAL = 4


class Bin(msgspec.Struct, frozen=True):
    """A value cut into ``size`` bins."""

    name: str
    size: int
    needs: Needs


BINS: tuple[Bin, ...] = (
    Bin("amount_fine", 386, Needs.AMOUNT),
    Bin("amount_coarse", 20, Needs.AMOUNT),
    Bin("ratio_coarse", 12, Needs.AMOUNT | Needs.CARD),
    Bin("ratio_fine", 38, Needs.AMOUNT | Needs.CARD),
    Bin("surprise", 14, Needs.AMOUNT | Needs.CARD),
    Bin("count", 11, Needs.CARD),
    Bin("heat", 11, Needs.CARD),
    Bin("since_spike", 10, Needs.CARD),
    Bin("since_genuine", 26, Needs.TERMINAL),
    Bin("episode_age", 16, Needs.TERMINAL),
    Bin("episode_days", 61, Needs.TERMINAL),
    Bin("fraud_run", 7, Needs.TERMINAL),
    Bin("genuine_run", 7, Needs.TERMINAL),
    Bin("rate_short", 12, Needs.TERMINAL),
    Bin("rate_long", 12, Needs.TERMINAL),
    Bin("last_label", 3, Needs.TERMINAL),
)

AMOUNT, CARD, SPIKES, TERMINAL, MEETING = "amount", "card", "spikes", "terminal", "card and terminal"
CIRCUMSTANCES, PURCHASE, HOLDER = "circumstances", "purchase", "holder"
FAMILIES = (AMOUNT, CARD, SPIKES, TERMINAL, MEETING, CIRCUMSTANCES, PURCHASE, HOLDER)
"""What a reason can be about; terms of one family are summed into one reason."""


class Term(msgspec.Struct, frozen=True):
    """One feature: a family and the values it combines, one or two bins or any number of categories."""

    family: str
    of: tuple[str, ...]

    @property
    def name(self) -> str:
        """The combined values, as the weight tables and documents show them."""
        return " * ".join(self.of)


STATE_TERMS = (
    Term(AMOUNT, ("amount_fine",)),
    Term(CARD, ("amount_coarse", "ratio_coarse")),
    Term(CARD, ("ratio_fine", "count")),
    Term(CARD, ("ratio_coarse", "surprise")),
    Term(SPIKES, ("heat",)),
    Term(SPIKES, ("since_spike",)),
    Term(SPIKES, ("heat", "since_spike")),
    Term(SPIKES, ("surprise", "heat")),
    Term(SPIKES, ("surprise", "since_spike")),
    Term(MEETING, ("ratio_coarse", "last_label")),
    Term(MEETING, ("surprise", "rate_long")),
    Term(MEETING, ("heat", "rate_long")),
    Term(TERMINAL, ("since_genuine", "episode_age")),
    Term(TERMINAL, ("rate_short", "episode_age")),
    Term(TERMINAL, ("episode_days", "fraud_run")),
    Term(TERMINAL, ("episode_days", "genuine_run")),
    Term(MEETING, ("surprise", "fraud_run")),
    Term(CARD, ("surprise",)),
    Term(MEETING, ("surprise", "episode_age")),
)
"""Terms of a transaction that names its card or its terminal: they rest on running state."""

CROSS_TERMS = (
    Term(CIRCUMSTANCES, ("circumstances",)),
    Term(PURCHASE, ("price", "entry_mode", "merchant_group")),
    Term(PURCHASE, ("circumstances", "price", "entry_mode")),
    Term(HOLDER, ("circumstances", "merchant_group", "gender")),
    Term(HOLDER, ("circumstances", "gender", "card_type", "entry_mode")),
    Term(CIRCUMSTANCES, ("circumstances", "bank")),
    Term(HOLDER, ("circumstances", "price", "gender")),
    Term(PURCHASE, ("circumstances", "merchant_group")),
    Term(CIRCUMSTANCES, ("circumstances", "card_type")),
    Term(PURCHASE, ("circumstances", "price")),
    Term(CIRCUMSTANCES, ("circumstances", "residence_country")),
    Term(HOLDER, ("circumstances", "gender", "card_type", "entry_mode", "merchant_group")),
    Term(HOLDER, ("circumstances", "bank", "gender")),
)
"""Terms of a transaction that names the fields themselves: they need no state. ``circumstances`` is night
and mismatch of countries."""

CROSS_SLOTS = 8192
"""Keys of each cross: far above the combinations seen, so that two seldom share one; a power of two wastes
none."""

TERMS = STATE_TERMS + CROSS_TERMS

_BY_NAME = {found.name: found for found in BINS}


def _size(term: Term) -> int:
    size = 1
    for name in term.of:
        size *= _BY_NAME[name].size
    return size


def _starts(sizes: Sequence[int]) -> tuple[int, ...]:
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    return tuple(starts)


_SIZES = [*map(_size, STATE_TERMS), *(CROSS_SLOTS for _ in CROSS_TERMS)]
STARTS = _starts(_SIZES)
"""First key of each term; the last entry is the number of keys."""

STATE_KEYS = STARTS[len(STATE_TERMS)]
KEYS = STARTS[-1]

TERM_OF = bytes(index for index, size in enumerate(_SIZES) for _ in range(size))
"""For each key the index of its term in :data:`TERMS`."""

FAMILY_OF = tuple(FAMILIES.index(term.family) for term in TERMS)
"""For each term the index of its family in :data:`FAMILIES`."""


def terms_checksum() -> str:
    """Return a digest of all that gives keys their meaning: models of one digest share weights."""
    described = [
        FORMAT,
        [(b.name, b.size) for b in BINS],
        [(t.family, t.of, n) for t, n in zip(TERMS, _SIZES, strict=True)],
    ]
    return hashlib.sha256(msgspec.json.encode(described)).hexdigest()


def bins_of(keys: Sequence[int]) -> dict[str, int]:
    """Return the bins, by name, that the keys of state terms stand for; keys of crosses are passed over.

    >>> bins_of((STARTS[4] + 3,))
    {'heat': 3}
    """
    bins: dict[str, int] = {}
    for key in keys:
        if key < STATE_KEYS:
            at = TERM_OF[key]
            rest = key - STARTS[at]
            for name in reversed(STATE_TERMS[at].of):
                rest, bins[name] = divmod(rest, _BY_NAME[name].size)
    return bins


_KEY_OBJECTS = tuple(range(STATE_KEYS))

Assembler = Callable[..., tuple[int, ...]]


def assembler(fields: Needs) -> Assembler:
    """Build the function that turns bins, in the order of :data:`BINS`, into keys.

    It gives the keys of all state terms that such fields are enough for. Generated from the table above, as
    dataclasses generate their methods: written out it takes a third of the time of a loop over the terms.
    Keys are looked up rather than added up: the same number is then the same object everywhere, which saves
    making it and half a kilobyte for each transaction that waits for its label. With neither card nor
    terminal no term remains: an amount alone is left to the crosses.
    """
    keys = []
    ranges: dict[str, object] = {"__builtins__": {}}
    for term, start in zip(STATE_TERMS, STARTS, strict=False):
        needs = Needs(0)
        for name in term.of:
            needs |= _BY_NAME[name].needs
        if needs in fields and fields & (Needs.CARD | Needs.TERMINAL):
            index = (
                term.of[0]
                if len(term.of) == 1
                else f"{term.of[0]} * {_BY_NAME[term.of[1]].size} + {term.of[1]}"
            )
            name = f"keys_{start}"
            ranges[name] = _KEY_OBJECTS[start : start + _size(term)]
            keys.append(f"{name}[{index}]")
    arguments = ", ".join(found.name for found in BINS)
    source = f"lambda {arguments}: ({''.join(key + ', ' for key in keys)})"
    built: Assembler = eval(source, ranges)  # noqa: S307  names and numbers of this module only
    return built
