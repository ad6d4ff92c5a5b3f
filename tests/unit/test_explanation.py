"""Past decisions computed again: equal where the state is, and told where it is not."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from fraudstream.core.explanation import explain
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.learning import Learner
from fraudstream.core.messages import Classification, LabelValue
from fraudstream.core.model_difference import difference
from fraudstream.core.policy import Policy
from fraudstream.core.prequential import OfflinePass
from tests.model_building import NOON, street_purchase, transaction

POLICY = Policy(review_at=0.3, decline_at=0.9)


class Lived:
    """Transactions scored and learned, and for each of the last ones the learner as it was then."""

    def __init__(self) -> None:
        run = OfflinePass(LabelDelay(seconds=3600.0))
        self.decisions: list[tuple[Classification, Learner]] = []
        for number in range(420):
            bad = number % 9 == 0
            at = NOON + timedelta(minutes=11 * number)
            sent = transaction(
                transaction_id=str(number),
                event_time=at,
                amount_minor=60_000 if number % 14 == 0 else 1_000 + 37 * (number % 50),
                card_id=f"card-{number % 12}",
                terminal_id=f"terminal-{0 if bad else 1 + number % 5}",
                label=LabelValue.FRAUD if bad or number % 14 == 0 else LabelValue.GENUINE,
            )
            if number % 3 == 2:
                label = LabelValue.FRAUD if number % 15 == 2 else LabelValue.GENUINE
                sent = street_purchase(event_time=at, transaction_id=str(number), label=label)
            made = run.classify(sent, POLICY)
            if number >= 380:
                self.decisions.append((made, self._copy(run, made)))

    @staticmethod
    def _copy(run: OfflinePass, made: Classification) -> Learner:
        learner = run.learner
        version = learner.version
        snapshot = learner.snapshot(NOON)
        learner.version = version
        rows = {name: risk.to_row() for name, risk in learner.risks.items()}
        copy = Learner.restore(snapshot, rows)
        copy.version = made.model_version
        copy.typical = list(run.serving.explainer._typical)  # an offline pass renews them now and then only
        return copy


@pytest.fixture(scope="module")
def lived() -> Lived:
    return Lived()


def test_every_decision_comes_out_equal(lived: Lived) -> None:
    for stored, learner in lived.decisions:
        told = explain(stored, learner)
        assert told.differences == ()
        assert told.equal
        assert told.score == stored.score
        assert told.reasons == stored.reasons


def changed(stored: Classification, **changes: Any) -> Classification:
    return msgspec.structs.replace(stored, **changes)


def first(lived: Lived, *, card: bool = True) -> tuple[Classification, Learner]:
    """Return the first decision with a card and reasons, and a learner of one's own to it."""
    stored, learner = next(
        one for one in lived.decisions if (one[0].transaction.card_id is not None) is card and one[0].reasons
    )
    rows = {name: risk.to_row() for name, risk in learner.risks.items()}
    copy = Learner.restore(learner.snapshot(NOON), rows)
    learner.version = copy.version = stored.model_version
    return stored, copy


def what_differs(stored: Classification, learner: Learner) -> set[str]:
    return {one.what for one in explain(stored, learner).differences}


def test_the_least_change_of_a_weight_is_told(lived: Lived) -> None:
    stored, learner = first(lived)
    learner.model.weights[stored.keys[0]] += 1e-12
    assert what_differs(stored, learner) == {"score"}


def test_the_least_change_of_the_stored_score_is_told(lived: Lived) -> None:
    stored, learner = first(lived)
    different = changed(stored, score=stored.score + 1e-16)
    assert (different.score != stored.score) == (what_differs(different, learner) == {"score"})
    assert what_differs(changed(stored, score=stored.score * (1 + 1e-12)), learner) == {"score"}


def test_another_usual_weight_another_table_and_another_risk_are_told(lived: Lived) -> None:
    stored, learner = first(lived)
    learner.typical = [one + 0.5 for one in learner.typical]
    assert what_differs(stored, learner) == {"reasons"}
    stored, learner = first(lived)
    learner.risks[stored.transaction.terminal_id or ""].fraud_run += 40
    assert "keys of the terminal" in what_differs(stored, learner)
    large = next(one for one in lived.decisions if one[0].features and one[0].features.spike > 0.0)
    learner = Learner.restore(large[1].snapshot(NOON), {})
    learner.tables.ratio_frauds[:] = [0] * len(learner.tables.ratio_frauds)
    assert "weight of the spike" in what_differs(large[0], learner)


def test_other_words_and_another_version_are_told(lived: Lived) -> None:
    stored, learner = first(lived)
    reworded = tuple(msgspec.structs.replace(one, text="because") for one in stored.reasons)
    assert what_differs(changed(stored, reasons=reworded), learner) <= {"reasons"}
    learner.version += 1
    assert what_differs(stored, learner) == {"model version"}


def test_it_is_told_in_words(lived: Lived) -> None:
    stored, learner = first(lived)
    text = explain(stored, learner).text()
    assert f"score {stored.score:.4f}, decision {stored.decision}" in text
    assert stored.reasons[0].text in text
    assert text.endswith("computed again: equal to the last bit")
    learner.model.intercept += 1.0
    assert "DIFFERS in score: stored " in explain(stored, learner).text()


def test_families_and_intercept_of_typical_terms_add_up(lived: Lived) -> None:
    stored, learner = first(lived, card=False)
    told = explain(stored, learner)
    assert told.logit == pytest.approx(
        told.intercept + sum(learner.model.weights[key] for key in stored.keys)
    )
    assert len(told.terms) == 5
    steps = [abs(one.contribution) for one in told.terms]
    assert steps == sorted(steps, reverse=True)


def test_two_versions_differ_in_what_was_learned_between_them(lived: Lived) -> None:
    (_, before), (_, after) = lived.decisions[0], lived.decisions[-1]
    found = difference(before, after)
    assert not found.is_none
    assert found.learned == after.learned - before.learned > 0
    assert found.terminals > 0
    assert {one.term for one in found.keys} <= {one.term for one in found.terms}
    assert all(after.model.weights[one.key] == one.after != one.before for one in found.keys)
    none = difference(after, after)
    assert none.is_none
    assert (none.learned, none.keys, none.terms) == (0, (), ())
