"""From scores, budgets, costs, lists and rules to decisions."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.core.cost import Costs
from fraudstream.core.lists import ListedField, NamedList
from fraudstream.core.messages import Decision
from fraudstream.core.policy import AmountRule, Judgement, Policy
from fraudstream.core.policy_file import load_policy, parse_policy
from fraudstream.errors import InvalidInput
from tests.model_building import NOON, transaction

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


BLOCKED = NamedList(
    name="stolen", field=ListedField.CARD_ID, decision=Decision.DECLINE, values=frozenset({"card-1"})
)
TRUSTED = NamedList(
    name="payroll", field=ListedField.TERMINAL_ID, decision=Decision.APPROVE, values=frozenset({"terminal-1"})
)
WATCHED = NamedList(
    name="watched", field=ListedField.TERMINAL_ID, decision=Decision.REVIEW, values=frozenset({"terminal-1"})
)


def test_who_blocks_is_right_before_who_trusts_and_both_before_rules_and_scores() -> None:
    policy = Policy(rules=(HUGE,), lists=(WATCHED, TRUSTED, BLOCKED))
    spent = transaction(amount_minor=900_000)

    assert policy.judge(0.99, spent) == (Decision.DECLINE, ("stolen", "payroll", "watched", "huge"), True)
    elsewhere = transaction(card_id="card-2", amount_minor=900_000)
    assert policy.judge(0.99, elsewhere) == (Decision.APPROVE, ("payroll", "watched", "huge"), False)
    other = transaction(card_id="card-2", terminal_id="t-9", amount_minor=900_000)
    assert policy.judge(0.0, other) == (Decision.DECLINE, ("huge",), True)


def test_a_watched_terminal_has_a_person_look_and_never_lowers_a_decision() -> None:
    policy = Policy(lists=(WATCHED,))

    assert policy.judge(0.0, transaction()) == (Decision.REVIEW, ("watched",), True)
    assert policy.judge(0.99, transaction()) == (Decision.DECLINE, ("watched",), True)


def test_a_list_that_has_run_out_says_nothing() -> None:
    until = NamedList(
        name="stolen",
        field=ListedField.CARD_ID,
        decision=Decision.DECLINE,
        values=frozenset({"card-1"}),
        until=NOON + timedelta(hours=1),
    )

    assert until.speaks(transaction())
    assert not until.speaks(transaction(days=1 / 24))


def test_a_list_says_nothing_about_a_field_that_is_missing() -> None:
    assert not BLOCKED.speaks(transaction(card_id=None))


def test_under_a_budget_people_see_what_exceeds_its_threshold_and_nothing_else() -> None:
    policy = Policy(budget=10, decline_at=0.9)

    assert policy.judge(0.2, transaction(), stands_out=True) == Judgement(Decision.REVIEW, (), True)
    assert policy.judge(0.8, transaction(), stands_out=False) == Judgement(Decision.APPROVE, (), False)
    assert policy.judge(0.95, transaction(), stands_out=True) == Judgement(Decision.DECLINE, (), True)
    assert policy.judge(0.95, transaction(), stands_out=False) == Judgement(Decision.DECLINE, (), False)


def test_a_rule_has_its_alert_seen_even_beyond_the_budget() -> None:
    policy = Policy(budget=10, rules=(LARGE,))

    judged = policy.judge(0.01, transaction(amount_minor=100_000), stands_out=False)

    assert judged == Judgement(Decision.REVIEW, ("large",), True)


@given(st.floats(0, 1), st.integers(0, 10**7))
def test_costs_lead_to_the_decision_that_costs_least(score: float, amount_minor: int) -> None:
    costs = Costs(review_minor=300, review_catches=0.9, declined_share=0.1, declined_minor=500)
    policy = Policy(costs={"EUR": costs})

    decision, _ = policy.decide(score, transaction(amount_minor=amount_minor))

    expected = {
        one: score * costs.loss(one, True, amount_minor) + (1 - score) * costs.loss(one, False, amount_minor)
        for one in Decision
    }
    assert expected[decision] == min(expected.values())


def test_an_amount_worth_less_than_a_look_is_approved() -> None:
    policy = Policy(costs={"default": Costs(review_minor=300, declined_share=1.0)})

    assert policy.decide(0.5, transaction(amount_minor=500))[0] is Decision.APPROVE
    assert policy.decide(0.5, transaction(amount_minor=5_000))[0] is Decision.REVIEW


def test_without_amount_or_costs_of_its_currency_thresholds_decide() -> None:
    policy = Policy(costs={"GBP": Costs(review_minor=300)}, review_at=0.3)

    assert policy.decide(0.4, transaction(amount_minor=1))[0] is Decision.REVIEW
    assert policy.decide(0.4, transaction(amount_minor=None))[0] is Decision.REVIEW


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("budget = 0", "more than 0"),
        ("budget = 100\n[costs.EUR]", "two ways"),
        ("threshold = 0.3", "unknown threshold"),
        ("review_at = ", "Invalid value"),
        ('[[lists]]\nname = "x"\nfield = "card_id"\ndecision = "decline"\nvalues = []', "values"),
        ('[[lists]]\nname = "x"\nfield = "age"\ndecision = "decline"\nvalues = ["1"]', "age"),
        (
            '[[lists]]\nname = "x"\nfield = "bank"\ndecision = "decline"\nvalues = ["1"]\n'
            "until = 2026-01-01T00:00:00",
            "offset",
        ),
    ],
)
def test_a_policy_file_with_a_fault_is_refused_and_the_fault_named(
    text: str, fault: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)

    with pytest.raises(InvalidInput, match=fault) as refused:
        load_policy(file)

    assert str(file) in str(refused.value)


def test_a_policy_file_says_all_that_a_policy_can() -> None:
    policy = parse_policy(
        """
        decline_at = 0.95
        [costs.default]
        review_minor = 300
        [[lists]]
        name = "stolen"
        field = "card_id"
        decision = "decline"
        values = ["card-1"]
        [[rules]]
        name = "huge"
        decision = "decline"
        amount_minor = 900000
        currency = "EUR"
        """
    )

    assert policy == Policy(
        decline_at=0.95, costs={"default": Costs(review_minor=300)}, lists=(BLOCKED,), rules=(HUGE,)
    )


def test_a_policy_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.toml"):
        load_policy(tmp_path / "nowhere.toml")


def test_a_policy_may_be_json_but_not_a_list(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"budget": 50}')
    assert load_policy(file).budget == 50

    file.write_text("[]")
    with pytest.raises(InvalidInput, match="names with values"):
        load_policy(file)
