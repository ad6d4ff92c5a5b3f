"""Reasons: exact, additive, ranked, in words."""

import random

import pytest

from fraudstream.core.features import observe
from fraudstream.core.ftrl import logit_of
from fraudstream.core.history import CardHistory, CurrencyMeans, hour_of_week
from fraudstream.core.look_tables import LookTables
from fraudstream.core.messages import Transaction
from fraudstream.core.observation import Observation
from fraudstream.core.reasons import LEAST_CONTRIBUTION, MOST_REASONS, reasons
from fraudstream.core.risk import UNKNOWN, EntityRisk
from fraudstream.core.scoring import keys_of
from fraudstream.core.terms import FAMILIES, KEYS, TERM_OF, TERMS
from fraudstream.core.weighing import Explainer
from tests.model_building import DAY, NOON, street_purchase, transaction

RNG = random.Random(11)
WEIGHTS = [RNG.gauss(0, 1) for _ in range(KEYS)]
TYPICAL = [RNG.gauss(0, 0.2) for _ in TERMS]


def seen(
    spent: Transaction,
    history: CardHistory | None = None,
    risk: EntityRisk | None = None,
    mean: float = 50.0,
) -> Observation:
    amount = None if spent.amount_minor is None else spent.amount_minor / 100
    means = CurrencyMeans(0, mean, 1, 0.5)
    return observe(spent.event_time.timestamp(), amount, means, history, risk, LookTables())


@pytest.mark.parametrize(
    ("spent", "history", "risk"),
    [
        (transaction(), CardHistory(), UNKNOWN),
        (transaction(terminal_id=None), CardHistory(), None),
        (street_purchase(), None, None),
        (street_purchase(card_id="c", terminal_id="m"), CardHistory(), UNKNOWN),
    ],
)
def test_contributions_add_up_to_the_logit_over_that_of_a_typical_transaction(
    spent: Transaction, history: CardHistory | None, risk: EntityRisk | None
) -> None:
    keys = keys_of(spent, seen(spent, history, risk))

    total, parts = Explainer(WEIGHTS, TYPICAL).weigh(keys)

    assert total == logit_of(WEIGHTS, keys)
    assert sum(parts) == pytest.approx(total - sum(TYPICAL[TERM_OF[key]] for key in keys))


def test_the_largest_contributions_come_first_whichever_way_they_speak() -> None:
    spent = transaction()
    told = reasons(
        [0.5, -2.0, 0.01, 1.0, -0.3], spent, seen(spent, CardHistory(), UNKNOWN), CardHistory(), UNKNOWN
    )

    assert [(reason.name, reason.contribution) for reason in told] == [
        ("card", -2.0),
        ("terminal", 1.0),
        ("amount", 0.5),
    ]
    assert len(told) == MOST_REASONS


def test_what_moves_the_odds_too_little_is_no_reason() -> None:
    spent = transaction()
    parts = [LEAST_CONTRIBUTION / 2, -LEAST_CONTRIBUTION / 2, 0.0, LEAST_CONTRIBUTION, 0.0]
    told = reasons(parts, spent, seen(spent, CardHistory(), UNKNOWN), CardHistory(), UNKNOWN)
    assert [reason.name for reason in told] == ["terminal"]


AT = NOON.timestamp()
OLD = CardHistory(count=9, amounts=9.0)
SPIKED = CardHistory(count=9, amounts=9.0, heat=1.0, heat_at=AT - 2.5 * DAY)


def said(
    family: str, spent: Transaction, history: CardHistory | None = OLD, risk: EntityRisk | None = UNKNOWN
) -> str:
    parts = [1.0 if name == family else 0.0 for name in FAMILIES]
    (told,) = reasons(parts, spent, seen(spent, history, risk), history, risk)
    return told.text


@pytest.mark.parametrize(
    ("family", "amount_minor", "text"),
    [
        ("amount", 10_000, "amount 2.0 times the usual in EUR"),
        ("card", 41_000, "amount 8.2 times this card's usual"),
        ("card", 100_000_000, "amount 20,000 times this card's usual"),
        ("card and terminal", 1_000, "small amount at a terminal without a label yet"),
        ("card and terminal", 5_000, "ordinary amount at a terminal without a label yet"),
        ("card and terminal", 12_000, "large amount at a terminal without a label yet"),
        ("card and terminal", 90_000, "very large amount at a terminal without a label yet"),
    ],
)
def test_amounts_are_told_against_what_is_usual(family: str, amount_minor: int, text: str) -> None:
    assert said(family, transaction(amount_minor=amount_minor)) == text


@pytest.mark.parametrize(
    ("risk", "text"),
    [
        (UNKNOWN, "terminal without recent labels"),
        (None, "terminal without recent labels"),
        (EntityRisk(labels_long=5.2), "terminal: none of its last 5 labelled transactions was fraud"),
        (
            EntityRisk(labels_long=5.2, frauds_long=1.1),
            "terminal: 1 of its last 5 labelled transactions was fraud",
        ),
        (
            EntityRisk(labels_long=7.9, frauds_long=6.2),
            "terminal: 6 of its last 8 labelled transactions were fraud",
        ),
    ],
)
def test_a_terminal_is_told_by_its_recent_labels(risk: EntityRisk | None, text: str) -> None:
    assert said("terminal", transaction(), risk=risk) == text


def test_the_last_label_of_a_terminal_is_told() -> None:
    for last, word in ((1, "genuine"), (2, "fraud")):
        text = said("card and terminal", transaction(), risk=EntityRisk(last_label=last))
        assert text == f"ordinary amount at a terminal whose last label was {word}"


@pytest.mark.parametrize(
    ("recent", "night", "text"),
    [
        (0.2, False, "at a usual hour, card used no more often than usual"),
        (5.0, False, "at a usual hour, card used 4.2 times as often as usual within a day"),
        (5.0, True, "at an hour when few pay, card used 4.2 times as often as usual within a day"),
    ],
)
def test_hour_and_pace_are_told_together(recent: float, night: bool, text: str) -> None:
    #   a card used once a day for years, in a currency paid in at noon or at night
    history = CardHistory(count=900, recent=recent, steady=30.0, seen_at=AT, since=AT - 900 * DAY)
    means = CurrencyMeans.starting_with(50.0)
    means.hours[hour_of_week(AT - 12 * 3_600 * night)] = means.timed = 10_000
    spent = transaction()
    parts = [1.0 if name == "rhythm" else 0.0 for name in FAMILIES]

    (told,) = reasons(
        parts, spent, observe(AT, 50.0, means, history, UNKNOWN, LookTables()), history, UNKNOWN
    )

    assert told.text == text


def test_the_first_use_of_a_card_is_told() -> None:
    assert said("rhythm", transaction(), CardHistory()) == "at a usual hour, first use of the card"


def test_a_card_is_told_by_what_is_known_of_it() -> None:
    assert said("card", transaction(), CardHistory()) == "first transaction seen of this card"
    assert said("spikes", transaction(), OLD) == "no outsized amounts on this card before"
    assert (
        said("spikes", transaction(), SPIKED) == "outsized amounts on this card, the last one 2.5 days before"
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "countries agree, by day"),
        ({"hour": None}, "countries agree"),
        (
            {"transaction_country": "India", "shipping_country": "India", "hour": 3},
            "at night, before 7 o'clock; used abroad: transaction country differs from residence; "
            "shipped to another country than the residence",
        ),
        (
            {"shipping_country": "India"},
            "shipped to another country than the transaction's; "
            "shipped to another country than the residence",
        ),
    ],
)
def test_circumstances_are_told_in_words(changes: dict[str, object], text: str) -> None:
    assert said("circumstances", street_purchase(**changes), None, None) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "amount under 10, entry mode Tap, merchant group Entertainment"),
        ({"amount_minor": 2_500}, "amount 20 to 30, entry mode Tap, merchant group Entertainment"),
        ({"amount_minor": 99_900}, "amount from 300, entry mode Tap, merchant group Entertainment"),
        ({"amount_minor": None, "merchant_group": None}, "entry mode Tap"),
        ({"amount_minor": None, "entry_mode": None}, "merchant group Entertainment"),
    ],
)
def test_a_purchase_is_told_by_price_entry_and_merchant(changes: dict[str, object], text: str) -> None:
    assert said("purchase", street_purchase(**changes), None, None) == text


def test_a_holder_is_told_by_card_and_gender() -> None:
    assert (
        said("holder", street_purchase(), None, None) == "Visa card, holder's gender M, buying Entertainment"
    )
    bare = street_purchase(card_type=None, gender=None, merchant_group=None)
    assert said("holder", bare, None, None) == "circumstances of the holder"
