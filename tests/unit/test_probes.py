"""Is a model sane: what is refused, and that sound models pass."""

from datetime import UTC, datetime

import msgspec
import pytest

from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.learning import Learner
from fraudstream.core.look_tables import LookTables
from fraudstream.core.messages import Reason, Transaction
from fraudstream.core.prequential import OfflinePass
from fraudstream.core.probes import (
    ENOUGH_FRAUDS,
    ENOUGH_LABELS,
    EVERY,
    FRAUD,
    GENUINE,
    check_sanity,
    probe_logits,
)
from fraudstream.core.snapshot import Snapshot
from fraudstream.errors import InvalidSnapshot
from tests.model_building import handbook_transactions

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MUCH = LookTables(labels=ENOUGH_LABELS, frauds=ENOUGH_FRAUDS)


def taught(*, turned_around: bool = False, tables: LookTables = MUCH) -> Snapshot:
    """Return a model that was told what is fraud among the probes, or the opposite of it."""
    learner = Learner()
    learner.tables = tables
    for _ in range(20):
        for probes in FRAUD.values():
            for keys in probes:
                learner.model.learn_keys(keys, not turned_around)
        for keys in GENUINE:
            learner.model.learn_keys(keys, turned_around)
    return learner.snapshot(NOW)


def test_probes_are_all_different() -> None:
    assert len(set(EVERY)) == len(EVERY)


def test_a_sound_model_passes() -> None:
    check_sanity(taught(), None)
    check_sanity(taught(), check_sanity(taught(), None))


def test_a_model_that_takes_fraud_for_genuine_is_refused() -> None:
    with pytest.raises(InvalidSnapshot, match="below everyday ones"):
        check_sanity(taught(turned_around=True), None)


def test_a_model_of_few_labels_or_few_frauds_is_let_through() -> None:
    few = LookTables(labels=ENOUGH_LABELS - 1, frauds=ENOUGH_FRAUDS)
    check_sanity(taught(turned_around=True, tables=few), None)
    no_frauds = LookTables(labels=ENOUGH_LABELS, frauds=ENOUGH_FRAUDS - 1)
    check_sanity(taught(turned_around=True, tables=no_frauds), None)
    check_sanity(Learner().snapshot(NOW), None)


def test_a_model_that_gives_every_probe_one_score_is_refused() -> None:
    learner = Learner()
    learner.tables = MUCH
    with pytest.raises(InvalidSnapshot, match="scores all probes alike"):
        check_sanity(learner.snapshot(NOW), None)


def test_a_score_that_is_no_number_is_refused() -> None:
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(InvalidSnapshot, match="as no number"):
            check_sanity(msgspec.structs.replace(taught(), intercept=wrong), None)


def test_a_model_that_scores_suddenly_otherwise_is_refused_unless_much_was_learned_between() -> None:
    good = taught()
    seen = check_sanity(good, None)
    moved = msgspec.structs.replace(good, intercept=good.intercept + 3.5)
    with pytest.raises(InvalidSnapshot, match=r"moves the probes by 3\.500 log odds"):
        check_sanity(moved, seen)
    check_sanity(moved, None)
    check_sanity(msgspec.structs.replace(moved, learned=good.learned + 1_000), seen)
    check_sanity(msgspec.structs.replace(good, intercept=good.intercept + 2.5), seen)


def test_logits_of_probes_are_those_of_the_model() -> None:
    learner = Learner()
    for number, keys in enumerate(EVERY):
        learner.model.learn_keys(keys, number % 3 == 0)
    logits = probe_logits(learner.snapshot(NOW), EVERY)
    assert logits == pytest.approx([learner.model.logit_keys(keys) for keys in EVERY], abs=1e-12)


class TurnedAround:
    """Learns the opposite of every label from the keys of a run that learns the truth."""

    def __init__(self) -> None:
        self.learner = Learner()

    def scored(self, transaction: Transaction, _at: float, keys: tuple[int, ...], score: float) -> bool:
        return False

    def explained(self, transaction: Transaction, told: tuple[Reason, ...]) -> None:
        raise AssertionError

    def learned(self, keys: tuple[int, ...], fraud: bool) -> None:
        self.learner.model.learn_keys(keys, not fraud)


@pytest.mark.shared_data
@pytest.mark.timeout(120)
def test_a_model_of_real_transactions_passes_and_the_same_with_labels_turned_around_does_not() -> None:
    wrong = TurnedAround()
    run = OfflinePass(LabelDelay(seconds=86_400.0), watcher=wrong)
    for one in handbook_transactions(100_000):
        run.score(one)
    check_sanity(run.learner.snapshot(NOW), None)
    wrong.learner.tables = run.learner.tables
    with pytest.raises(InvalidSnapshot, match="below everyday ones"):
        check_sanity(wrong.learner.snapshot(NOW), None)
