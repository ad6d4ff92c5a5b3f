"""The terms of the model: every feature in one table.

A term is a product of binned values, or of categories. Each combination has one key, an index into the
model's weights; a transaction has one key of each term whose fields it has, and each key is worth 1. Keys of
*leaning* terms have a twin each, see :mod:`~fraudstream.core.ftrl`. To add
a term, append a line to :data:`TERMS` (and, if it needs a new value, its bin to ``features``): key ranges,
the assembling code, families for reasons, what drift is told by, the table in the documents and the terms
that snapshots name follow.

**A key, once given, keeps its meaning**, because labels come days after keys were written down: archived
classifications and training examples hold them. So terms are only ever appended; one that is given up, or
whose bins change, is marked ``retired`` and keeps its range and its weights, and what replaces it is a new
line under a new name.
"""

import hashlib
from collections.abc import Sequence
from enum import Flag
from itertools import accumulate, product
from math import prod
from operator import eq
from typing import Any

import msgspec


class Needs(Flag):
    """Fields a bin is made of."""

    AMOUNT = 1
    CARD = 2
    TERMINAL = 4


class Bin(msgspec.Struct, frozen=True):
    """A value cut into ``size`` bins, the fields it is made of, and what it is in words.

    A ``usual`` bin makes no key: where nearly every transaction lies in it, it says nothing, and its terms
    are for the others alone.
    """

    name: str
    size: int
    needs: Needs
    meaning: str
    usual: int | None = None


BINS: tuple[Bin, ...] = (
    Bin("amount_fine", 386, Needs.AMOUNT, "amount over the mean of its currency, 32 bins an octave"),
    Bin("amount_coarse", 20, Needs.AMOUNT, "the same, 2 bins an octave"),
    Bin("ratio_coarse", 12, Needs.AMOUNT | Needs.CARD, "amount over the card's usual, 2 bins an octave"),
    Bin("ratio_fine", 38, Needs.AMOUNT | Needs.CARD, "the same, 4 bins an octave"),
    Bin(
        "surprise",
        14,
        Needs.AMOUNT | Needs.CARD,
        "deviation of the logarithm of the amount from the card's mean, in half standard deviations",
    ),
    Bin("count", 11, Needs.CARD, "transactions of the card so far, doubling"),
    Bin("heat", 11, Needs.CARD, "weight of the card's recent outsized amounts, fading in 7 days, doubling"),
    Bin("since_spike", 10, Needs.CARD, "days since the card's last outsized amount, doubling"),
    Bin(
        "since_genuine",
        26,
        Needs.TERMINAL,
        "days since the terminal's newest genuine label, 4 bins an octave",
    ),
    Bin(
        "episode_age",
        16,
        Needs.TERMINAL,
        "days since the terminal's present fraud episode began, 2 bins an octave",
    ),
    Bin("episode_days", 61, Needs.TERMINAL, "the same in whole days, up to 60"),
    Bin("fraud_run", 7, Needs.TERMINAL, "fraud labels of that episode, doubling"),
    Bin("genuine_run", 7, Needs.TERMINAL, "genuine labels since its last fraud, doubling"),
    Bin("rate_short", 12, Needs.TERMINAL, "fraud rate of the terminal's labels, fading in 3 days, by tenths"),
    Bin("rate_long", 12, Needs.TERMINAL, "the same, fading in 7 days"),
    Bin("last_label", 3, Needs.TERMINAL, "newest label of the terminal: none, genuine or fraud"),
    Bin("hour_rarity", 7, Needs.AMOUNT, "payments in this hour of the week over a mean hour's, doubling", 6),
    Bin("pace", 8, Needs.CARD, "uses of the card of late over its usual, 2 bins an octave", 0),
    Bin(
        "novelty",
        8,
        Needs.CARD | Needs.TERMINAL,
        "at a terminal not among the card's last 16: once in how many uses that happens, 2 bins an octave",
        0,
    ),
    Bin("hour_share", 10, Needs.AMOUNT, "payments in this hour of the week over a mean hour's, doubling"),
    Bin("pace_fine", 14, Needs.CARD, "uses of the card of late over its usual, 2 bins an octave"),
    Bin("astray", 12, Needs.CARD, "such uses of the card of late, fading in a day, 2 bins an octave", 0),
    Bin(
        "price_level",
        9,
        Needs.TERMINAL,
        "what cards pay at the terminal over what they pay anywhere, 2 bins an octave",
        4,
    ),
    Bin(
        "ratio_here",
        20,
        Needs.AMOUNT | Needs.CARD | Needs.TERMINAL,
        "amount over the card's usual, divided by the terminal's price level, 2 bins an octave",
    ),
    Bin("ratio_here_fine", 38, Needs.AMOUNT | Needs.CARD | Needs.TERMINAL, "the same, 4 bins an octave"),
    Bin("ratio_here_coarse", 9, Needs.AMOUNT | Needs.CARD | Needs.TERMINAL, "the same, one bin an octave"),
    Bin(
        "newness",
        10,
        Needs.CARD | Needs.TERMINAL,
        "at a terminal not among the card's last 16: once in how many uses, whether seldom or often",
    ),
    Bin("pace_coarse", 8, Needs.CARD, "uses of the card of late over its usual, one bin an octave"),
)

AMOUNT, CARD, SPIKES, TERMINAL, MEETING = "amount", "card", "spikes", "terminal", "card and terminal"
RHYTHM, PLACE = "rhythm", "place"
CIRCUMSTANCES, PURCHASE, HOLDER = "circumstances", "purchase", "holder"
FAMILIES = (AMOUNT, CARD, SPIKES, TERMINAL, MEETING, RHYTHM, PLACE, CIRCUMSTANCES, PURCHASE, HOLDER)
"""What a reason can be about; terms of one family are summed into one reason."""


class Term(msgspec.Struct, frozen=True):
    """One feature: a family and the values it combines, any number of bins or any number of categories.

    A ``retired`` term makes no keys any more; labels of transactions scored by it still find its weights.
    A ``leaning`` one, of bins, has two weights a value: the first counts where all that does not lean speaks
    against fraud, the second where it speaks for it, and in between each has its share.
    """

    family: str
    of: tuple[str, ...]
    retired: bool = False
    leaning: bool = False

    @property
    def name(self) -> str:
        """The combined values, as snapshots and documents name the term; ``leaning`` before those that do."""
        return "leaning " * self.leaning + " * ".join(self.of)

    @property
    def is_cross(self) -> bool:
        """Whether it combines categories, so that it needs no state."""
        return not all(name in _BY_NAME for name in self.of)

    @property
    def is_rare(self) -> bool:
        """Whether transactions with all its fields may lack it, their values being usual."""
        return any(map(_is_rare, self.of))


def _is_rare(name: str) -> bool:
    return name in _BY_NAME and _BY_NAME[name].usual is not None


_BY_NAME = {found.name: found for found in BINS}

TERMS = (
    # of a transaction that names its card or its terminal: they rest on running state
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
    # of a transaction that names the fields themselves: ``circumstances`` is night and mismatch of countries
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
    # of a transaction at an hour when few pay, or of a card used unusually often
    Term(RHYTHM, ("hour_rarity",)),
    Term(RHYTHM, ("pace",)),
    # of a card at a terminal new to it, and of amounts by what is usual at the terminal
    Term(PLACE, ("novelty",)),
    Term(PLACE, ("novelty", "ratio_here")),
    Term(PLACE, ("novelty", "pace_fine")),
    Term(PLACE, ("novelty", "hour_share")),
    Term(PLACE, ("astray",)),
    Term(PLACE, ("novelty", "astray")),
    Term(PLACE, ("ratio_here_fine",)),
    Term(PLACE, ("ratio_here", "price_level")),
    # what the rest makes of them: the same hour or amount says one thing of a suspect, another of anybody
    Term(PLACE, ("ratio_here_coarse",), leaning=True),
    Term(PLACE, ("newness",), leaning=True),
    Term(RHYTHM, ("hour_share",), leaning=True),
    Term(RHYTHM, ("pace_coarse",), leaning=True),
)
"""Every term there is or was, in the order in which they came: append only."""

STATE_TERMS = tuple(term for term in TERMS if not term.is_cross and not term.retired)
CROSS_TERMS = tuple(term for term in TERMS if term.is_cross and not term.retired)

RARE_TERMS = frozenset(index for index, term in enumerate(TERMS) if term.is_rare)
"""Indices in :data:`TERMS` of those that a typical transaction lacks."""

CROSS_SLOTS = 8192
"""Keys of each cross: far above the combinations seen, so that two seldom share one; a power of two wastes
none."""


def _values(term: Term) -> int:
    return CROSS_SLOTS if term.is_cross else prod(_BY_NAME[name].size for name in term.of)


def _size(term: Term) -> int:
    return _values(term) * (1 + term.leaning)


SIZES = {term.name: _size(term) for term in TERMS}
"""Keys of each term."""

if len(SIZES) < len(TERMS):
    fault = "two terms combine the same values: which keys are whose?"
    raise ValueError(fault)

_ENDS = tuple(accumulate(SIZES.values()))
STARTS = dict(zip(SIZES, (0, *_ENDS), strict=False))
"""First key of each term."""

KEYS = _ENDS[-1]

TERM_OF = bytes(index for index, size in enumerate(SIZES.values()) for _ in range(size))
"""For each key the index of its term in :data:`TERMS`."""

TWINS = bytes(
    _values(term) if term.leaning and value < _values(term) else 0
    for term in TERMS
    for value in range(_size(term))
)
"""For each key how far behind it its twin stands; 0 where it has none, and for a twin itself, which is no
transaction's key."""

FIRST_LEANING = next((key for key, apart in enumerate(TWINS) if apart), KEYS)
"""Below this key none leans: most keys are told by that alone."""

FAMILY_OF = tuple(FAMILIES.index(term.family) for term in TERMS)
"""For each term the index of its family in :data:`FAMILIES`."""


def terms_checksum() -> str:
    """Return a digest of all that gives keys their meaning."""
    described = [
        [(b.name, b.size, b.usual) for b in BINS],
        [(t.family, t.of, t.retired, t.leaning) for t in TERMS],
    ]
    return hashlib.sha256(msgspec.json.encode(described)).hexdigest()


def bins_of(keys: Sequence[int]) -> dict[str, int]:
    """Return the bins, by name, that the keys of state terms stand for; keys of crosses are passed over.

    >>> bins_of((STARTS["heat"] + 3,))
    {'heat': 3}
    """
    bins: dict[str, int] = {}
    for key in keys:
        term = TERMS[TERM_OF[key]]
        if not term.is_cross:
            rest = key - STARTS[term.name]
            for name in reversed(term.of):
                rest, bins[name] = divmod(rest, _BY_NAME[name].size)
    return bins


def plain_features(keys: Sequence[int]) -> dict[int, int]:
    """Return keys as an estimator of features takes them: each plain one worth 1.

    Leaning ones are left out: what they are worth depends on our own model's view of the rest.
    """
    return {key: 1 for key in keys if not TWINS[key]}


def _key_objects(term: Term) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
    """Return the keys of a term by index; of a rare one, each in a tuple that is empty for usual values."""
    keys = tuple(range(STARTS[term.name], STARTS[term.name] + _values(term)))
    if not term.is_rare:
        return keys
    bins = product(*(range(_BY_NAME[name].size) for name in term.of))
    usual = [_BY_NAME[name].usual for name in term.of]
    return tuple(() if any(map(eq, found, usual)) else (key,) for key, found in zip(keys, bins, strict=True))


KEY_OBJECTS: dict[str, tuple[Any, ...]] = {term.name: _key_objects(term) for term in STATE_TERMS}
"""Of each term of state what :func:`assembling` looks its keys up in."""


def assembling() -> str:
    """Return the text of a module that turns bins into keys: :mod:`~fraudstream.core.assembling`.

    Its ``assemble`` takes fields as a number (1 amount, 2 card, 4 terminal) and bins in the order of
    :data:`BINS`, and gives the keys of all state terms that such fields are enough for. Written out from the
    table above, as dataclasses write their methods, it takes a third of the time of a loop over the terms.
    Keys are looked up rather than added up: the same number is then the same object everywhere, which saves
    making it and half a kilobyte for each transaction that waits for its label. With neither card nor
    terminal no term remains: an amount alone is left to the crosses.
    """
    text = ["from typing import Any, Final", "from fraudstream.core.terms import KEY_OBJECTS"]
    for place, term in enumerate(STATE_TERMS):
        kind = "tuple[tuple[Any, ...], ...]" if term.is_rare else "tuple[Any, ...]"
        text.append(f"K{place}: Final[{kind}] = KEY_OBJECTS[{term.name!r}]")
    bins = ", ".join(f"{found.name}: int" for found in BINS)
    text.append(f"def assemble(fields: int, {bins}) -> tuple[int, ...]:")
    for fields in range(7, 1, -1):
        text += [f"    if fields == {fields}:", *_assembling(Needs(fields))]
    return "\n".join([*text, "    return ()", ""])


def _assembling(fields: Needs) -> list[str]:
    """Return the lines that give the keys of some fields."""
    keys: list[str] = []
    common: list[str] = []
    usual: dict[str, str] = {}
    for place, term in enumerate(STATE_TERMS):
        needs = Needs(0)
        index = ""
        for name in term.of:
            needs |= _BY_NAME[name].needs
            index = f"({index}) * {_BY_NAME[name].size} + {name}" if index else name
        if needs in fields:
            key = f"K{place}[{index}], "
            keys.append(f"*{key}" if term.is_rare else key)
            if term.is_rare:
                usual |= {name: f"{name} == {_BY_NAME[name].usual}" for name in term.of if _is_rare(name)}
            else:
                common.append(key)
    # Most transactions are usual in everything: they are spared the terms that would give them no key.
    return [
        f"        if {' and '.join(usual.values()) or True}:",
        f"            return ({''.join(common)})",
        f"        return ({''.join(keys)})",
    ]
