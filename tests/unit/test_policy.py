"""From scores and rules to decisions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.core.messages import Decision
from fraudstream.core.policy import AmountRule, Policy
from fraudstream.errors import InvalidInput
from tests.model_building import transaction

LARGE = AmountRule(name="large", decision=Decision.REVIEW, amount_minor=100_000, currency="EUR")
HUGE = AmountRule(name="huge", decision=Decision.DECLINE, amount_minor=900_000, currency="EUR")
SEVERITY = list(Decision)


@pytest.mark.parametrize(
    ("score", "decision"),
    [
        (0.0, Decision.APPROVE),
        (0.2999, Decision.APPROVE),
        (0.3, Decision.REVIEW),
        (0.9, Decision.DECLINE),
        (1.0, Decision.DECLINE),
    ],
)
def test_a_threshold_belongs_to_the_severer_decision(score: float, decision: Decision) -> None:
    assert Policy(review_at=0.3, decline_at=0.9).decide(score, transaction()) == (decision, ())


def test_the_severest_rule_that_fires_raises_the_decision_and_all_that_fire_are_named() -> None:
    policy = Policy(rules=(LARGE, HUGE))
    assert policy.decide(0.0, transaction(amount_minor=900_000)) == (Decision.DECLINE, ("large", "huge"))
    assert policy.decide(0.0, transaction(amount_minor=100_000)) == (Decision.REVIEW, ("large",))


@given(st.floats(0, 1), st.integers(0, 2_000_000), st.sampled_from(["EUR", "GBP", None]))
def test_no_rule_ever_lowers_a_decision(score: float, amount_minor: int, currency: str | None) -> None:
    spent = transaction(amount_minor=amount_minor, currency=currency)
    policy = Policy(rules=(LARGE, HUGE))
    decision, fired = policy.decide(score, spent)
    assert SEVERITY.index(decision) >= SEVERITY.index(policy.of_score(score))
    assert not fired or currency == "EUR"


def test_a_rule_says_nothing_about_an_unknown_amount() -> None:
    assert not LARGE.fires(transaction(amount_minor=None))


@pytest.mark.parametrize("thresholds", [(0.9, 0.3), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.9)])
def test_thresholds_out_of_order_are_refused(thresholds: tuple[float, float]) -> None:
    with pytest.raises(InvalidInput, match="review_at"):
        Policy(review_at=thresholds[0], decline_at=thresholds[1])


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="differing names"):
        Policy(rules=(LARGE, LARGE))
