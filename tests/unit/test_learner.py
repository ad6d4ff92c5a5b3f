"""The estimator: River's contract, and its fast way of learning."""

import random
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import checks

from fraudstream.core.ftrl import log_loss_gradient, probability
from fraudstream.core.learner import KeyedFTRL
from fraudstream.core.terms import FIRST_LEANING, TWINS

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

    score = model.score_keys(tuple(asked))
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


NIGHT, DAY = FIRST_LEANING, FIRST_LEANING + 1
"""Two values of a term that leans."""


def nights_and_suspects(count: int) -> list[tuple[tuple[int, ...], bool]]:
    """Return examples in which the night is a sign of fraud for suspects, and of none for anybody else."""
    rng = random.Random(5)
    examples = []
    for _ in range(count):
        suspect, night = rng.random() < 0.2, rng.random() < 0.5
        rate = (0.9 if night else 0.3) if suspect else (0.001 if night else 0.02)
        examples.append(((1 if suspect else 2, NIGHT if night else DAY), rng.random() < rate))
    return examples


def test_what_leans_speaks_for_fraud_in_a_suspect_and_against_it_in_anybody() -> None:
    model = KeyedFTRL()
    for keys, fraud in nights_and_suspects(20_000):
        model.learn_keys(keys, fraud)

    assert model.logit_keys((1, NIGHT)) > model.logit_keys((1, DAY)) + 1.0
    assert model.logit_keys((2, NIGHT)) < model.logit_keys((2, DAY)) - 1.0


def test_plain_keys_learn_as_if_no_key_leaned() -> None:
    model, alone = KeyedFTRL(), KeyedFTRL()
    for keys, fraud in nights_and_suspects(2_000):
        model.learn_keys(keys, fraud, 0.5)
        alone.learn_keys(keys[:1], fraud, 0.5)

    assert model.weights[:FIRST_LEANING] == alone.weights[:FIRST_LEANING]
    assert model.intercept == alone.intercept
    assert any(model.weights[FIRST_LEANING:])


def test_far_from_suspicion_the_first_weight_counts_alone_and_beyond_it_the_second() -> None:
    model = KeyedFTRL()
    twin = NIGHT + TWINS[NIGHT]
    model.weights[NIGHT], model.weights[twin] = 0.25, 0.75

    told = []
    for plain in (-3.0, -1.0, 2.0, 5.0, 8.0):
        model.weights[1] = plain
        told.append(model.logit_keys((1, NIGHT)) - model.intercept - plain)

    assert told == [0.25, 0.25, 0.5, 0.75, 0.75]
