"""From transactions to classifications: what is scored, what is remembered, and what a replay leaves
alone."""

import copy
import math
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.core.history import MEAN_WINDOW, CardHistory
from fraudstream.core.learning import Learner
from fraudstream.core.messages import Classification, Decision, LabelValue, Position, Transaction
from fraudstream.core.policy import BEYOND_BUDGET, AmountRule, Policy
from fraudstream.core.risk import EntityRisk
from fraudstream.core.scoring import DEGRADED, PartitionState, classify
from fraudstream.core.serving import ServingModel
from fraudstream.core.snapshot import decode_snapshot, encode_snapshot
from fraudstream.core.terms import CROSS_TERMS, TERM_OF, TERMS
from fraudstream.errors import InvalidMessage
from tests.model_building import NOON, example, street_purchase, transaction

UNTAUGHT = ServingModel()


def scored(
    spent: Transaction,
    offset: int = 0,
    state: PartitionState | None = None,
    serving: ServingModel | None = None,
    policy: Policy | None = None,
) -> Classification:
    return classify(
        spent,
        Position(1, 0, offset),
        NOON + timedelta(seconds=1),
        state or PartitionState(),
        serving or UNTAUGHT,
        policy or Policy(),
    )


def taught(frauds: int = 40) -> ServingModel:
    """A serving model that has learned ordinary transactions at terminal-1 to be frauds."""
    learner = Learner()
    for offset in range(2_000):
        keys = scored(transaction(terminal_id=f"terminal-{offset}")).keys
        learner.learn(example(offset, keys=keys, terminal_id=f"terminal-{offset}"), offset)
    for offset in range(2_000, 2_000 + frauds):
        keys = scored(transaction(amount_minor=90_000), state=with_history(), serving=following(learner)).keys
        learner.learn(example(offset, "fraud", keys=keys), offset)
    return following(learner)


def following(learner: Learner) -> ServingModel:
    serving = ServingModel()
    serving.apply_snapshot(decode_snapshot(encode_snapshot(learner.snapshot(NOON))))
    for terminal_id, risk in learner.risks.items():
        serving.apply_risk(terminal_id, list(risk.to_row()))
    return serving


def with_history(count: int = 5) -> PartitionState:
    state = PartitionState()
    for offset in range(-count, 0):
        scored(transaction(offset / 10), offset + count, state)
    for history in state.cards.values():
        history.applied = -1
    for mean in state.means.values():
        mean.applied = -1
    state.take_touched()
    return state


transactions = st.builds(
    transaction,
    st.floats(-400, 400),
    amount_minor=st.one_of(st.none(), st.integers(-(10**6), 10**20)),
    currency=st.sampled_from(["EUR", "GBP", None]),
    card_id=st.sampled_from(["a", "b", None]),
    terminal_id=st.sampled_from(["x", "y", None]),
    hour=st.one_of(st.none(), st.integers(0, 23)),
    entry_mode=st.sampled_from(["Tap", "", None]),
    merchant_group=st.sampled_from(["Food", None]),
    transaction_country=st.sampled_from(["India", None]),
    residence_country=st.sampled_from(["India", "Peru", None]),
    gender=st.sampled_from(["F", None]),
)


@settings(deadline=None)
@given(st.lists(transactions, max_size=25))
def test_any_transactions_are_scored_and_decided_on(spent: list[Transaction]) -> None:
    state, serving = PartitionState(), UNTAUGHT
    for offset, one in enumerate(spent):
        made = scored(one, offset, state, serving)
        assert 0.0 <= made.score <= 1.0
        assert made.decision in Decision
        assert (made.features is None) == (one.amount_minor is None or not (one.card_id or one.terminal_id))
    counted = Counter(one.card_id for one in spent if one.card_id)
    assert {card_id: history.count for card_id, history in state.cards.items()} == counted


@settings(deadline=None)
@given(st.lists(transactions, max_size=20), st.data())
def test_a_replay_changes_neither_histories_nor_means(spent: list[Transaction], data: st.DataObject) -> None:
    once, replayed = PartitionState(), PartitionState()
    for offset, one in enumerate(spent):
        scored(one, offset, once)
    kept = data.draw(st.integers(0, len(spent)))
    for offset, one in enumerate(spent[:kept]):
        scored(one, offset, replayed)
    for offset, one in enumerate(spent):
        scored(one, offset, replayed)

    assert replayed.cards == once.cards
    assert replayed.means == once.means


@settings(deadline=None)
@given(transactions)
def test_scoring_changes_neither_the_transaction_nor_the_model(spent: Transaction) -> None:
    serving = ServingModel()
    before = (copy.deepcopy(spent), copy.deepcopy(serving.tables))
    scored(spent, serving=serving)
    assert (spent, serving.tables) == before
    assert serving.risk == {}
    assert not any(serving.weights)


def test_a_checkpoint_gets_each_touched_card_and_currency_once() -> None:
    state = PartitionState()
    for offset, card_id in enumerate(["a", "b", "a"]):
        scored(transaction(card_id=card_id), offset, state)

    cards, means = state.take_touched()

    assert {card_id: history.applied for card_id, history in cards.items()} == {"a": 2, "b": 1}
    assert {currency: mean.applied for currency, mean in means.items()} == {"EUR": 2}
    assert state.take_touched() == ({}, {})


def test_a_state_restored_from_its_touched_rows_scores_on_alike() -> None:
    rng = random.Random(5)
    spent = [
        transaction(day, amount_minor=rng.randrange(100, 90_000), card_id=f"c{day % 4}") for day in range(40)
    ]
    state, restored = PartitionState(4), PartitionState(4)
    for offset, one in enumerate(spent):
        if offset == 20:
            cards, means = state.take_touched()
            restored = PartitionState(4, copy.deepcopy(cards), copy.deepcopy(means))
        theirs = scored(one, offset, state)
        ours = scored(one, offset, restored) if offset >= 20 else theirs
        assert ours == theirs


def test_partitions_share_the_window_of_the_running_means() -> None:
    assert PartitionState(4).window == MEAN_WINDOW / 4


def test_currencies_have_means_of_their_own() -> None:
    state = PartitionState()
    scored(transaction(amount_minor=1_000, currency="EUR"), 0, state)
    scored(transaction(amount_minor=900_000, currency="JPY"), 1, state)
    scored(transaction(amount_minor=500, currency=None), 2, state)
    assert {currency: mean.mean for currency, mean in state.means.items()} == {
        "EUR": 10.0,
        "JPY": 9000.0,
        "": 5.0,
    }


def test_without_a_model_every_score_is_the_prior_and_says_so() -> None:
    made = scored(transaction())
    assert made.score == pytest.approx(1 / (1 + math.exp(5)))
    assert (made.flags, made.model_version, made.reasons) == ((DEGRADED,), 0, ())


def test_a_classification_names_its_model_source_and_time() -> None:
    serving = taught()
    made = scored(transaction(), 7, serving=serving)
    assert made.source == Position(1, 0, 7)
    assert made.model_version == serving.version > 0
    assert made.flags == ()
    assert made.event_time == NOON
    assert made.scored_at == NOON + timedelta(seconds=1)


def test_a_transaction_with_everything_has_the_keys_of_state_and_circumstances() -> None:
    made = scored(street_purchase(card_id="c", terminal_id="m"))
    common = {index for index, term in enumerate(TERMS) if not term.is_rare}
    assert len(made.keys) == len(common)
    assert {TERM_OF[key] for key in made.keys} == common
    assert list(made.keys) == sorted(made.keys)


def test_keys_rise_also_where_a_term_behind_the_crosses_applies() -> None:
    #   a card in use all day long, so that its pace has a key
    history = CardHistory(count=900, recent=9.0, steady=30.0, seen_at=NOON.timestamp(), since=-1e9)
    made = scored(street_purchase(card_id="c", terminal_id="m"), 0, PartitionState(cards={"c": history}))

    assert "pace" in {TERMS[TERM_OF[key]].name for key in made.keys}
    assert list(made.keys) == sorted(made.keys)


def test_circumstances_alone_leave_no_state_behind() -> None:
    state = PartitionState()
    made = scored(street_purchase(), 0, state)
    assert made.features is None
    assert len(made.keys) == len(CROSS_TERMS)
    assert (state.cards, state.means) == ({}, {})


def test_what_was_learned_raises_the_score_and_is_told() -> None:
    serving = taught()
    made = scored(transaction(amount_minor=90_000), 10, with_history(), serving)

    assert made.score > 0.5 > scored(transaction(), 11, with_history(), serving).score
    assert made.features is not None
    assert made.features.ratio == pytest.approx(18.0)
    assert "amount 18.0 times this card's usual" in [reason.text for reason in made.reasons]


def test_rules_that_fire_are_recorded() -> None:
    rule = AmountRule(name="limit", decision=Decision.DECLINE, amount_minor=1, currency="EUR")
    made = scored(transaction(), policy=Policy(rules=(rule,)))
    assert (made.decision, made.rules) == (Decision.DECLINE, ("limit",))


def test_an_older_or_equal_snapshot_is_not_served() -> None:
    learner = Learner()
    first, second = learner.snapshot(NOON), learner.snapshot(NOON)
    serving = ServingModel()
    assert [serving.apply_snapshot(one) for one in (second, second, first)] == [True, False, False]
    assert serving.version == 2


def test_a_risk_is_taken_over_replaced_and_forgotten() -> None:
    serving = ServingModel()
    serving.apply_risk("m", EntityRisk(last_label=1).to_row())
    serving.apply_risk("m", EntityRisk(last_label=2).to_row())
    assert serving.risk["m"].last_label == 2
    with pytest.raises(InvalidMessage):
        serving.apply_risk("m", ["nonsense"])
    assert serving.risk["m"].last_label == 2
    serving.apply_risk("m", None)
    serving.apply_risk("m", None)
    assert serving.risk == {}


def test_a_label_inside_the_message_is_no_feature() -> None:
    plain = scored(transaction())
    told = scored(transaction(label=LabelValue.FRAUD))
    assert told.keys == plain.keys


def test_amounts_beyond_reason_and_refunds_are_scored_like_the_largest_and_the_smallest() -> None:
    def keys(minor: Any) -> tuple[int, ...]:
        return scored(transaction(amount_minor=minor), 9, with_history()).keys

    assert keys(10**40) == keys(10**15)
    assert keys(-500) == keys(0)


def test_a_replayed_transaction_uses_up_no_budget() -> None:
    state, policy = PartitionState(), Policy(budget=10)
    for offset in range(5):
        scored(transaction(offset / 10), offset, state, policy=policy)
    kept = state.take_review()
    assert kept is not None
    before = copy.copy(kept)

    for offset in range(5):
        scored(transaction(offset / 10), offset, state, policy=policy)

    assert state.review == before
    assert state.take_review() is None


def test_every_partition_spends_an_equal_share_of_the_budget() -> None:
    whole, half = PartitionState(1), PartitionState(2)
    for offset in range(500):
        scored(transaction(offset / 100), offset, whole, policy=Policy(budget=50))
        scored(transaction(offset / 100), offset, half, policy=Policy(budget=100))

    assert whole.review == half.review


def test_what_is_declined_beyond_the_budget_is_marked_so() -> None:
    state, policy = PartitionState(), Policy(budget=10, review_at=0.0, decline_at=0.0)
    scored(transaction(), 0, state, policy=policy)
    assert state.review is not None
    state.review.threshold = 10.0

    made = scored(transaction(), 1, state, policy=policy)

    assert made.decision is Decision.DECLINE
    assert BEYOND_BUDGET in made.flags
