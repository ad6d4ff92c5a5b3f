"""The learner: replays, repeats, corrections, restarts, and what goes out."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Outcome
from fraudstream.core.messages import Features, LabelPosition, LabelValue, TrainingExample
from fraudstream.core.risk import LABEL_FRAUD, LABEL_GENUINE
from fraudstream.core.snapshot import decode_snapshot, encode_snapshot
from fraudstream.errors import InvalidMessage
from tests.model_building import NOON, example


def some_examples(count: int, seed: int = 1) -> list[TrainingExample]:
    rng = random.Random(seed)
    return [
        example(
            offset,
            "fraud" if rng.random() < 0.2 else "genuine",
            keys=tuple(term * 150 + rng.randrange(12) for term in range(19)),
            terminal_id=rng.choice([None, "m1", "m2", "m3"]),
            features=rng.choice(
                [None, Features(ratio=rng.random() * 4, relative_amount=rng.random() * 4, spike=0.0)]
            ),
        )
        for offset in range(count)
    ]


def state(learner: Learner) -> tuple[object, ...]:
    taken = learner.snapshot(NOON)
    return (encode_snapshot(taken), {name: risk.to_row() for name, risk in learner.risks.items()})


def test_the_same_examples_lead_to_the_same_state_to_the_last_bit() -> None:
    one, other = Learner(), Learner()
    for offset, given in enumerate(some_examples(500)):
        one.learn(given, offset)
        other.learn(given, offset)
    assert state(one) == state(other)


@pytest.mark.parametrize("stopped_after", [0, 1, 137, 499])
def test_a_learner_restored_from_its_snapshot_goes_on_as_if_it_had_never_stopped(stopped_after: int) -> None:
    examples = some_examples(500)
    steady, stopped = Learner(), Learner()
    for offset, given in enumerate(examples):
        steady.learn(given, offset)
    for offset, given in enumerate(examples[:stopped_after]):
        stopped.learn(given, offset)
    published = decode_snapshot(encode_snapshot(stopped.snapshot(NOON)))

    restored = Learner.restore(published, {name: list(row) for name, row in stopped.take_changed().items()})
    for offset, given in enumerate(examples[:stopped_after]):
        restored.remember(given, offset)
    for offset, given in enumerate(examples):
        outcome = restored.learn(given, offset)
        assert (outcome is Outcome.REPLAYED) == (offset < stopped_after)

    steady.version = restored.version
    assert state(restored) == state(steady)


def unchanged_by(act: Callable[[Learner], Outcome]) -> Outcome:
    learner = Learner()
    learner.learn(example(0, "fraud"), 0)
    weights, tables, risk = (
        list(learner.model.weights),
        learner.tables.to_row(),
        learner.risks["terminal-1"].to_row(),
    )
    outcome = act(learner)
    assert list(learner.model.weights) == weights
    assert learner.tables.to_row() == tables
    assert learner.risks["terminal-1"].to_row() == risk
    return outcome


def test_an_example_delivered_again_is_not_learned_again() -> None:
    assert unchanged_by(lambda learner: learner.learn(example(0, "fraud"), 0)) is Outcome.REPLAYED


def test_the_same_label_parked_and_sent_once_more_is_not_learned_again() -> None:
    assert unchanged_by(lambda learner: learner.learn(example(0, "fraud"), 1)) is Outcome.REPEATED


def test_the_same_truth_from_a_second_label_is_not_learned_again() -> None:
    second = example(0, "fraud", label_position=LabelPosition(3, 99))
    assert unchanged_by(lambda learner: learner.learn(second, 1)) is Outcome.REPEATED


def test_an_old_label_that_comes_again_does_not_undo_its_correction() -> None:
    learner = Learner()
    first = example(0, "genuine", label_position=LabelPosition(0, 5))
    correction = example(0, "fraud", label_position=LabelPosition(0, 9))
    outcomes = [learner.learn(given, offset) for offset, given in enumerate([first, correction, first])]
    assert outcomes == [Outcome.LEARNED, Outcome.CORRECTED, Outcome.REPEATED]
    assert learner.risks["terminal-1"].last_label in {LABEL_GENUINE, LABEL_FRAUD}
    assert learner.tables.frauds == 1


def test_an_old_label_of_another_partition_does_not_undo_it_either() -> None:
    learner = Learner()
    first = example(0, "genuine", label_position=LabelPosition(0, 5))
    correction = example(0, "fraud", label_position=LabelPosition(1, 2))
    for offset, given in enumerate([first, correction]):
        learner.learn(given, offset)
    assert learner.learn(first, 2) is Outcome.REPEATED
    assert learner.tables.frauds == 1


def test_remembering_old_labels_again_does_not_forget_the_newest() -> None:
    learner = Learner()
    first = example(0, "genuine", label_position=LabelPosition(0, 5))
    correction = example(0, "fraud", label_position=LabelPosition(0, 9))
    for offset, given in enumerate((first, correction, first)):
        learner.remember(given, offset)
    assert learner.learn(correction, 3) is Outcome.REPEATED


def test_a_changed_label_teaches_the_weights_and_puts_the_counts_right() -> None:
    learner = Learner()
    learner.learn(example(0, "genuine"), 0)
    before = learner.model.score_keys((10, 400, 700))

    outcome = learner.learn(example(0, "fraud", label_position=LabelPosition(0, 77)), 1)

    assert outcome is Outcome.CORRECTED
    assert learner.model.score_keys((10, 400, 700)) > before
    assert (learner.tables.labels, learner.tables.frauds) == (1, 1)


def test_a_label_that_says_what_it_replaces_corrects_even_when_that_was_forgotten() -> None:
    learner = Learner(remembered_labels=1)
    learner.learn(example(0, "genuine"), 0)
    learner.learn(example(1, "genuine"), 1)

    outcome = learner.learn(
        example(0, "fraud", label_position=LabelPosition(0, 9), replaces=LabelValue.GENUINE), 2
    )

    assert outcome is Outcome.CORRECTED
    assert (learner.tables.labels, learner.tables.frauds) == (2, 1)


def test_memory_of_labels_stays_bounded() -> None:
    learner = Learner(remembered_labels=10)
    for offset, given in enumerate(some_examples(100)):
        learner.learn(given, offset)
    assert len(learner._labels) == 10


def test_circumstances_alone_teach_weights_and_no_counts() -> None:
    learner = Learner()
    learner.learn(example(0, "fraud", terminal_id=None, features=None), 0)
    assert learner.tables.labels == 0
    assert learner.risks == {}
    assert learner.model.weights[400] > 0.0


def test_a_terminal_is_counted_where_the_amount_was_unknown() -> None:
    learner = Learner()
    learner.learn(example(0, "genuine", features=None), 0)
    assert learner.risks["terminal-1"].last_label == LABEL_GENUINE


def test_only_terminals_with_a_new_label_go_out() -> None:
    learner = Learner()
    learner.learn(example(0, terminal_id="a"), 0)
    learner.learn(example(1, terminal_id="b"), 1)
    assert set(learner.take_changed()) == {"a", "b"}
    learner.learn(example(2, terminal_id="b"), 2)
    changed = learner.take_changed()
    assert changed == {"b": learner.risks["b"].to_row()}
    assert learner.take_changed() == {}


def test_each_snapshot_is_a_newer_version_and_stays_as_it_was_taken() -> None:
    learner = Learner()
    learner.learn(example(0, "fraud"), 0)
    first = learner.snapshot(NOON)
    encoded = encode_snapshot(first)
    learner.learn(example(1, "fraud"), 1)
    second = learner.snapshot(NOON + timedelta(seconds=1))

    assert (first.version, first.training_offset, first.learned) == (1, 0, 1)
    assert (second.version, second.training_offset, second.learned) == (2, 1, 2)
    assert encode_snapshot(first) == encoded


def test_typical_weights_follow_recent_examples() -> None:
    learner = Learner()
    for offset in range(8_000):
        learner.learn(example(offset, "fraud" if offset % 200 == 0 else "genuine", keys=(10,)), offset)
    assert learner.typical[0] == pytest.approx(learner.model.weights[10], abs=0.1)
    assert learner.typical[0] != 0.0
    assert learner.typical[1:] == [0.0] * (len(learner.typical) - 1)


def test_a_learner_is_not_restored_from_damaged_risks() -> None:
    with pytest.raises(InvalidMessage):
        Learner.restore(Learner().snapshot(NOON), {"m": ["nonsense"]})
