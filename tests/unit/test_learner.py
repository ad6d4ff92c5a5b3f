"""The estimator: River's contract, and its fast way of learning."""

import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import checks

from fraudstream.core.ftrl import log_loss_gradient, probability
from fraudstream.core.learner import KeyedFTRL

keyed = st.lists(st.tuples(st.sets(st.integers(0, 9), min_size=1, max_size=5), st.booleans()), max_size=40)


@pytest.fixture
def river_checks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """River imports scikit-learn for the data sets of multi-output models, which this is none of."""
    stand_in = ModuleType("sklearn")
    stand_in.datasets = ModuleType("sklearn.datasets")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sklearn", stand_in)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", stand_in.datasets)
    return list(checks.yield_checks(KeyedFTRL(keys=100)))


def test_the_estimator_keeps_every_promise_of_a_river_classifier(river_checks: list[object]) -> None:
    names = {check.__name__ for check in river_checks}  # type: ignore[attr-defined]
    assert {"check_emerging_features", "check_predict_one_pure", "check_pickling"} <= names
    for check in river_checks:
        check(KeyedFTRL(keys=100))  # type: ignore[operator]


@given(keyed)
def test_learning_keys_is_learning_a_mapping_of_ones(examples: list[tuple[set[int], bool]]) -> None:
    by_keys, by_mapping = KeyedFTRL(keys=10), KeyedFTRL(keys=10)

    for keys, fraud in examples:
        by_keys.learn_keys(tuple(keys), fraud)
        by_mapping.learn_one(dict.fromkeys(keys, 1), fraud)

    assert by_keys.weights == pytest.approx(by_mapping.weights, rel=1e-12)
    assert by_keys.squares == pytest.approx(by_mapping.squares, rel=1e-12)
    assert by_keys.intercept == pytest.approx(by_mapping.intercept, rel=1e-12)


@given(keyed, st.sets(st.integers(0, 9), max_size=5))
def test_scoring_changes_nothing(examples: list[tuple[set[int], bool]], asked: set[int]) -> None:
    model = KeyedFTRL(keys=10)
    for keys, fraud in examples:
        model.learn_keys(tuple(keys), fraud)
    before = (list(model.weights), list(model.squares), model.intercept)

    score = model.score_keys(asked)
    model.predict_proba_one({**dict.fromkeys(asked, 1), "never seen": 3.0})

    assert 0.0 <= score <= 1.0
    assert (model.weights, model.squares, model.intercept) == before


def test_names_and_numbers_beyond_the_keys_get_places_of_their_own() -> None:
    model = KeyedFTRL(keys=3)
    model.learn_one({"amount": 2.0, 7: 1.0, True: 1.0}, y=True)

    assert len(model.weights) == 6
    assert model.weights[:3] == [0.0, 0.0, 0.0]
    assert model.predict_proba_one({"amount": 2.0})[True] > model.predict_proba_one({})[True]


@pytest.mark.parametrize("logit", [-1e9, -800.0, -20.0, 0.0, 20.0, 800.0, 1e9])
def test_no_logit_is_too_far_out(logit: float) -> None:
    assert 0.0 <= probability(logit) <= 1.0
    assert -1.0 <= log_loss_gradient(logit, True) <= 0.0 <= log_loss_gradient(logit, False) <= 1.0
    assert log_loss_gradient(logit, False) == pytest.approx(probability(logit), abs=1e-7)


def test_an_example_foreseen_with_certainty_teaches_nothing() -> None:
    model = KeyedFTRL(keys=3, intercept_init=1_000.0)
    model.learn_keys((1, 2), fraud=True)
    assert model.weights == [0.0, 0.0, 0.0]
    assert model.intercept == 1_000.0
