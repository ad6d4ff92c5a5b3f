"""Reasons in words, a family of terms each: what is remarkable about a transaction, to a person."""

from collections.abc import Callable
from functools import lru_cache

from fraudstream.core.crosses import NIGHT_ENDS, PRICES, circumstances, price_class
from fraudstream.core.history import CardHistory
from fraudstream.core.messages import Transaction
from fraudstream.core.observation import Observation
from fraudstream.core.risk import UNKNOWN, EntityRisk
from fraudstream.core.terms import (
    AMOUNT,
    CARD,
    CIRCUMSTANCES,
    FAMILIES,
    HOLDER,
    MEETING,
    PLACE,
    PURCHASE,
    RHYTHM,
    SPIKES,
    TERMINAL,
)

ODD_HOUR = 0.5
"""An hour of the week with less than this share of a mean hour's payments is told as one when few pay."""

_BUSY = 20
"""Tenths of a card's usual pace from which it is told as used more often."""

_TEXTS = 4096
"""Texts remembered of each kind."""

_MOST_LABELS = 1_000_000
"""Labels a text of a terminal can count to: far above what a week brings one terminal."""

_TENTHS = 1000
"""Ratios are told to the tenth below a hundred."""


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
    if tenths < 0:
        return f"{hour}, first use of the card"
    if tenths < _BUSY:
        return f"{hour}, card used no more often than usual"
    return f"{hour}, card used {_times(tenths)} times as often as usual within a day"


def _rhythm(_t: Transaction, seen: Observation, history: CardHistory | None, _r: EntityRisk | None) -> str:
    known = history is not None and history.count
    return _rhythm_text(_tenths(seen.pace) if known else -1, odd=seen.hour_share < ODD_HOUR)


@lru_cache(_TEXTS)
def _place_text(tenths: int, uses: int) -> str:
    place = f"terminal new to a card that changes once in {uses} uses" if uses > 1 else "terminal nothing new"
    return f"{place}, amount {_times(tenths)} times the card's usual at its prices"


def _place(_t: Transaction, seen: Observation, _h: CardHistory | None, _r: EntityRisk | None) -> str:
    return _place_text(_tenths(seen.ratio / 2.0**seen.level), int(seen.novelty + 0.5))


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
    PLACE: _place,
    CIRCUMSTANCES: _circumstances,
    PURCHASE: _purchase,
    HOLDER: _holder,
}
WORDS = tuple(_BY_FAMILY[family] for family in FAMILIES)
"""For each family, in the order of ``FAMILIES``, what puts its reason into words."""
