"""What decisions cost: each case worked out by hand."""

import pytest

from fraudstream.core.cost import AMOUNTS_ONLY, Costs, Ledger
from fraudstream.core.messages import Decision
from fraudstream.errors import InvalidInput

APPROVE, REVIEW, DECLINE = Decision.APPROVE, Decision.REVIEW, Decision.DECLINE
COSTS = Costs(
    fraud_share=0.5,
    fraud_minor=100.0,
    review_minor=30.0,
    review_catches=0.75,
    declined_share=0.1,
    declined_minor=5.0,
)


@pytest.mark.parametrize(
    ("decision", "fraud", "cost"),
    [
        (APPROVE, True, 600.0),
        (REVIEW, True, 180.0),
        (DECLINE, True, 0.0),
        (APPROVE, False, 0.0),
        (REVIEW, False, 30.0),
        (DECLINE, False, 105.0),
    ],
)
def test_each_decision_has_its_cost(decision: Decision, fraud: bool, cost: float):
    assert COSTS.loss(decision, fraud, 1_000) == pytest.approx(cost)


def test_a_ledger_adds_up_each_currency_by_itself():
    ledger = Ledger({"EUR": COSTS, "default": Costs()})
    ledger.add("EUR", REVIEW, True, 1_000)
    ledger.add("EUR", DECLINE, False, 1_000)
    ledger.add("JPY", APPROVE, True, 700)

    euro, yen = ledger.savings()

    assert (euro.currency, euro.without_minor, euro.with_minor, euro.saved_minor) == ("EUR", 600, 285, 315)
    assert (euro.review_minor, euro.declined_minor) == (30, 105)
    assert (yen.currency, yen.without_minor, yen.with_minor, yen.saved_minor) == ("JPY", 700, 700, 0)


def test_without_a_table_frauds_cost_their_amount_and_work_nothing():
    ledger = Ledger(AMOUNTS_ONLY)
    ledger.add("", REVIEW, True, 1_000)

    assert ledger.savings()[0].saved_minor == 1_000


def test_a_currency_without_costs_is_an_error():
    with pytest.raises(InvalidInput, match="JPY"):
        Ledger({"EUR": COSTS}).add("JPY", APPROVE, True, 1)


@pytest.mark.parametrize(
    "wrong", [{"fraud_minor": -1.0}, {"review_catches": 1.5}, {"fraud_share": float("nan")}]
)
def test_impossible_costs_are_refused(wrong: dict[str, float]):
    with pytest.raises(InvalidInput):
        Costs(**wrong)
