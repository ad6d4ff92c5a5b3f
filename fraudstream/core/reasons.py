"""Why a score is what it is: exact, additive, in words.

The log odds are the intercept plus one weight a key. Each weight minus its term's typical weight (the mean
over recent examples) is what this transaction adds to or takes from a typical one; terms of one family are
summed into one reason.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from fraudstream.core.crosses import NIGHT_ENDS, PRICES, circumstances, price_class
from fraudstream.core.features import Observation
from fraudstream.core.history import CardHistory
from fraudstream.core.messages import Reason, Transaction
from fraudstream.core.risk import UNKNOWN, EntityRisk
from fraudstream.core.terms import (
    AMOUNT,
    CARD,
    CIRCUMSTANCES,
    FAMILIES,
    FAMILY_OF,
    HOLDER,
    KEYS,
    MEETING,
    PURCHASE,
    RHYTHM,
    SIZES,
    SPIKES,
    STARTS,
    STATE_TERMS,
    TERM_OF,
    TERMINAL,
)

MOST_REASONS = 3

LEAST_CONTRIBUTION = 0.1
"""In logits: less moves the odds by about a tenth and says nothing to a person."""

ODD_HOUR = 0.25
"""An hour of the week with less than this share of a mean hour's payments is told as one when few pay."""

_TEXTS = 4096
"""Texts remembered of each kind."""

_MOST_LABELS = 1_000_000
"""Labels a text of a terminal can count to: far above what a week brings one terminal."""

_TENTHS = 1000
"""Ratios are told to the tenth below a hundred."""


def contributions(weights: Sequence[float], typical: Sequence[float], keys: Iterable[int]) -> list[float]:
    """Return what each family, in the order of ``FAMILIES``, adds to the log odds of a typical transaction.

    Their sum is the logit minus the intercept minus the typical weights of the terms present, up to rounding.
    """
    sums = [0.0] * len(FAMILIES)
    for key in keys:
        term = TERM_OF[key]
        sums[FAMILY_OF[term]] += weights[key] - typical[term]
    return sums


Weigh = Callable[[Sequence[float], tuple[int, ...]], tuple[float, ...]]


def _weigher() -> Weigh:
    """Write out the sums of a transaction with all state terms and no crosses, from the term table.

    The first result adds the weights in the order of the keys, as every logit is added; the others are one
    family each.
    """
    every = range(len(STATE_TERMS))
    members: dict[str, list[str]] = {}
    for index in every:
        members.setdefault(STATE_TERMS[index].family, []).append(f"w{index}")
    source = [
        "def weigh(weights, keys):",
        f"    {', '.join(f'k{i}' for i in every)} = keys",
        *(f"    w{i} = weights[k{i}]" for i in every),
        f"    return {' + '.join(f'w{i}' for i in every)}, "
        + ", ".join(" + ".join(members[family]) for family in FAMILIES if family in members),
    ]
    scope: dict[str, Weigh] = {}
    exec("\n".join(source), {"__builtins__": {}}, scope)  # noqa: S102  names and numbers of the term table only
    return scope["weigh"]


_weigh_state = _weigher()
_STATE_TERM_COUNT = len(STATE_TERMS)
_LAST_FROM = STARTS[STATE_TERMS[-1].name]
_LAST_TO = _LAST_FROM + SIZES[STATE_TERMS[-1].name]


class Explainer:
    """Weighs transactions and finds the reasons of their scores, under one model.

    Parameters
    ----------
    weights
        Of every key.
    typical
        Mean weight of each term over recent examples.
    """

    def __init__(self, weights: Sequence[float], typical: Sequence[float]) -> None:
        self._weights = weights
        self._typical = tuple(typical)
        usual = contributions([0.0] * KEYS, self._typical, [STARTS[term.name] for term in STATE_TERMS])
        self._usual = tuple(-amount for amount in usual)

    def weigh(self, keys: tuple[int, ...]) -> tuple[float, list[float]]:
        """Return the sum of the weights of some keys, and what each family adds to a typical one.

        The sum is added up in the order of the keys, so it is the same to the last bit wherever it is
        computed.
        """
        if len(keys) == _STATE_TERM_COUNT and _LAST_FROM <= keys[-1] < _LAST_TO:
            total, amount, card, spikes, terminal, meeting, rhythm = _weigh_state(self._weights, keys)
            usual = self._usual
            return total, [
                amount - usual[0],
                card - usual[1],
                spikes - usual[2],
                terminal - usual[3],
                meeting - usual[4],
                rhythm - usual[5],
            ]
        weights = self._weights
        total = 0.0
        for key in keys:
            total += weights[key]
        return total, contributions(weights, self._typical, keys)


def reasons(
    parts: Sequence[float],
    transaction: Transaction,
    observation: Observation,
    history: CardHistory | None,
    risk: EntityRisk | None,
) -> tuple[Reason, ...]:
    """Return at most three reasons, the largest contribution first, whether it speaks for fraud or against.

    ``parts`` are the contributions of the families; ``history`` and ``risk`` as they were before the
    transaction entered.
    """
    ranked = [
        (amount if amount > 0.0 else -amount, family, amount)
        for family, amount in enumerate(parts)
        if amount >= LEAST_CONTRIBUTION or amount <= -LEAST_CONTRIBUTION
    ]
    ranked.sort(reverse=True)
    return tuple(
        [
            Reason(
                name=FAMILIES[family],
                text=_WORDS[family](transaction, observation, history, risk),
                contribution=int(amount * 1000.0) / 1000.0,
            )
            for _, family, amount in ranked[:MOST_REASONS]
        ]
    )


Words = Callable[[Transaction, Observation, CardHistory | None, EntityRisk | None], str]


def _tenths(ratio: float) -> int:
    return int(ratio * 10.0 + 0.5) if ratio < _TENTHS / 10 else int(ratio) * 10


def _times(tenths: int) -> str:
    return f"{tenths / 10:.1f}" if tenths < _TENTHS else f"{tenths // 10:,}"


@lru_cache(_TEXTS)
def _amount_text(tenths: int, currency: str | None) -> str:
    return f"amount {_times(tenths)} times the usual" + (f" in {currency}" if currency else "")


def _amount(
    transaction: Transaction, seen: Observation, _h: CardHistory | None, _r: EntityRisk | None
) -> str:
    return _amount_text(_tenths(seen.relative_amount), transaction.currency)


@lru_cache(_TEXTS)
def _card_text(tenths: int) -> str:
    return f"amount {_times(tenths)} times this card's usual"


def _card(_t: Transaction, seen: Observation, history: CardHistory | None, _r: EntityRisk | None) -> str:
    if history is None or not history.count:
        return "first transaction seen of this card"
    return _card_text(_tenths(seen.ratio))


@lru_cache(_TEXTS)
def _spikes_text(tenths: int) -> str:
    return f"outsized amounts on this card, the last one {tenths / 10:.1f} days before"


def _spikes(_t: Transaction, seen: Observation, history: CardHistory | None, _r: EntityRisk | None) -> str:
    if history is None or not seen.heat:
        return "no outsized amounts on this card before"
    return _spikes_text(_tenths(max(seen.at - history.heat_at, 0.0) / 86400.0))


@lru_cache(_TEXTS)
def _terminal_text(packed: int) -> str:
    frauds, labels = divmod(packed, _MOST_LABELS)
    if not labels:
        return "terminal without recent labels"
    if not frauds:
        return f"terminal: none of its last {labels} labelled transactions was fraud"
    verb = "was" if frauds == 1 else "were"
    return f"terminal: {frauds} of its last {labels} labelled transactions {verb} fraud"


def _terminal(_t: Transaction, _s: Observation, _h: CardHistory | None, risk: EntityRisk | None) -> str:
    risk = UNKNOWN if risk is None else risk
    labels = int(risk.labels_long + 0.5)
    frauds = int(risk.frauds_long + 0.5)
    return _terminal_text(frauds * _MOST_LABELS + (labels if labels < _MOST_LABELS else _MOST_LABELS - 1))


_MEETING_TEXTS = tuple(
    tuple(f"{size} amount at a terminal {last}" for size in ("small", "ordinary", "large", "very large"))
    for last in ("without a label yet", "whose last label was genuine", "whose last label was fraud")
)


def _meeting(_t: Transaction, seen: Observation, _h: CardHistory | None, risk: EntityRisk | None) -> str:
    ratio = seen.ratio
    size = 0 if ratio < 0.5 else 1 if ratio < 2.0 else 2 if ratio < 4.0 else 3
    return _MEETING_TEXTS[0 if risk is None else risk.last_label][size]


@lru_cache(_TEXTS)
def _rhythm_text(tenths: int, *, odd: bool) -> str:
    hour = "at an hour when few pay" if odd else "at a usual hour"
    often = "for the first time" if tenths < 0 else f"{_times(tenths)} times as often of late as before"
    return f"{hour}, card used {often}"


def _rhythm(_t: Transaction, seen: Observation, history: CardHistory | None, _r: EntityRisk | None) -> str:
    known = history is not None and history.count
    return _rhythm_text(_tenths(seen.pace) if known else -1, odd=seen.hour_share < ODD_HOUR)


@lru_cache(_TEXTS)
def _circumstances_text(marks: str) -> str:
    night, shipped, away, delivered = tuple(marks)
    found = []
    if night == "y":
        found.append(f"at night, before {NIGHT_ENDS} o'clock")
    if away == "y":
        found.append("used abroad: transaction country differs from residence")
    if shipped == "y":
        found.append("shipped to another country than the transaction's")
    if delivered == "y":
        found.append("shipped to another country than the residence")
    return "; ".join(found) or "countries agree" + (", by day" if night == "n" else "")


def _circumstances(
    transaction: Transaction, _s: Observation, _h: CardHistory | None, _r: EntityRisk | None
) -> str:
    return _circumstances_text(circumstances(transaction) or "????")


@lru_cache(_TEXTS)
def _purchase_text(price: int | None, entry_mode: str | None, merchant_group: str | None) -> str:
    parts = []
    if price is not None:
        low, high = ("", *PRICES)[price], (*PRICES, "")[price]
        parts.append(
            f"amount {low} to {high}"
            if low and high
            else f"amount from {low}"
            if low
            else f"amount under {high}"
        )
    if entry_mode:
        parts.append(f"entry mode {entry_mode}")
    if merchant_group:
        parts.append(f"merchant group {merchant_group}")
    return ", ".join(parts) or "circumstances of the purchase"


def _purchase(t: Transaction, _s: Observation, _h: CardHistory | None, _r: EntityRisk | None) -> str:
    return _purchase_text(price_class(t.amount_minor, t.currency), t.entry_mode, t.merchant_group)


@lru_cache(_TEXTS)
def _holder_text(card_type: str | None, gender: str | None, merchant_group: str | None) -> str:
    parts = []
    if card_type:
        parts.append(f"{card_type} card")
    if gender:
        parts.append(f"holder's gender {gender}")
    if merchant_group:
        parts.append(f"buying {merchant_group}")
    return ", ".join(parts) or "circumstances of the holder"


def _holder(t: Transaction, _s: Observation, _h: CardHistory | None, _r: EntityRisk | None) -> str:
    return _holder_text(t.card_type, t.gender, t.merchant_group)


_BY_FAMILY: dict[str, Words] = {
    AMOUNT: _amount,
    CARD: _card,
    SPIKES: _spikes,
    TERMINAL: _terminal,
    MEETING: _meeting,
    RHYTHM: _rhythm,
    CIRCUMSTANCES: _circumstances,
    PURCHASE: _purchase,
    HOLDER: _holder,
}
_WORDS = tuple(_BY_FAMILY[family] for family in FAMILIES)
