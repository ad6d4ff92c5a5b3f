"""Terminal risk as the learner owns it: bounded, the same after a restart, right in any order and number."""

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Limits, Outcome
from fraudstream.core.messages import LabelPosition, LabelSource, TrainingExample
from fraudstream.core.risk import coldest
from fraudstream.core.serving import ServingModel
from fraudstream.core.snapshot import decode_snapshot, encode_snapshot
from tests.model_building import NOON, example

_FEW = Limits(terminals=16)


def state(learner: Learner) -> tuple[object, ...]:
    rows = {name: risk.to_row() for name, risk in learner.risks.items()}
    return learner.tables.to_row(), rows, tuple(learner.model.weights), learner.trust


@st.composite
def labels_of_transactions(draw: st.DrawFn) -> list[TrainingExample]:
    """Draw labels of a few transactions at a few terminals, some corrected, each from a place of its own."""
    number = draw(st.integers(1, 12))
    drawn = []
    for transaction in range(number):
        for label in draw(st.lists(st.sampled_from(["fraud", "genuine"]), min_size=1, max_size=3)):
            drawn.append(
                example(
                    transaction,
                    label,
                    terminal_id=f"m{transaction % 3}",
                    label_position=LabelPosition(0, len(drawn)),
                    label_source=draw(st.sampled_from(list(LabelSource))),
                )
            )
    return drawn


@settings(deadline=None, max_examples=50)
@given(labels_of_transactions(), st.data())
def test_labels_delivered_again_at_any_later_time_change_nothing(
    labels: list[TrainingExample], data: st.DataObject
) -> None:
    once, often = Learner(), Learner()
    offset = 0
    for number, label in enumerate(labels):
        once.learn(label, number)
        often.learn(label, offset)
        offset += 1
        for back in data.draw(st.lists(st.integers(0, number), max_size=3)):
            again = often.learn(labels[back], offset)
            assert again is Outcome.REPEATED
            offset += 1
    for learner in (once, often):
        for account in learner.trust.accounts.values():
            account.seen = 0  # offsets of the log: they differ
    assert state(once) == state(often)


@settings(deadline=None, max_examples=50)
@given(st.permutations(range(10)), st.lists(st.booleans(), min_size=10, max_size=10))
def test_in_any_order_counts_are_the_same_and_the_newest_transaction_decides(
    order: list[int], frauds: list[bool]
) -> None:
    learner = Learner()
    for offset, number in enumerate(order):
        label = "fraud" if frauds[number] else "genuine"
        learner.learn(example(number, label, label_position=LabelPosition(number, 0)), offset)
    risk = learner.risks["terminal-1"]
    assert (learner.tables.labels, learner.tables.frauds) == (10, sum(frauds))
    assert risk.faded_at == example(9).event_time.timestamp()
    genuine = [number for number in range(10) if not frauds[number]]
    assert risk.genuine_at <= (example(genuine[-1]).event_time.timestamp() if genuine else risk.genuine_at)
    if not frauds[9]:
        assert (risk.last_label, risk.genuine_at) == (1, risk.faded_at)


@settings(deadline=None, max_examples=50)
@given(st.permutations(range(6)), st.lists(st.booleans(), min_size=6, max_size=6))
def test_in_any_order_the_last_word_of_the_log_is_what_was_counted(
    order: list[int], frauds: list[bool]
) -> None:
    learner = Learner()
    offset = 0
    for number in order:
        for label in ("genuine", "fraud") if frauds[number] else ("fraud", "genuine"):
            learner.learn(example(number, label, label_position=LabelPosition(number, offset)), offset)
            offset += 1
    assert (learner.tables.labels, learner.tables.frauds) == (6, sum(frauds))


def test_no_more_terminals_are_kept_than_the_limit_and_the_coldest_go() -> None:
    learner = Learner(limits=_FEW)
    order = list(range(200))
    random.Random(4).shuffle(order)
    for offset, number in enumerate(order):
        learner.learn(example(number, terminal_id=f"m{number}"), offset)
        assert len(learner.risks) <= _FEW.terminals
    newest = learner.risks
    assert learner.forgotten == 200 - len(newest)
    assert sorted(newest, key=lambda name: int(name[1:]))[-8:] == [f"m{number}" for number in range(192, 200)]


def test_what_is_forgotten_goes_out_as_a_tombstone_and_every_scorer_forgets_it() -> None:
    learner, serving = Learner(limits=_FEW), ServingModel()
    for offset in range(100):
        learner.learn(example(offset, terminal_id=f"m{offset}"), offset)
        if offset % 7 == 0:
            for name, row in learner.take_changed().items():
                serving.apply_risk(name, None if row is None else list(row))
    for name, row in learner.take_changed().items():
        serving.apply_risk(name, None if row is None else list(row))
    assert serving.risk == learner.risks


def test_a_restored_learner_forgets_the_same_terminals() -> None:
    log = [example(n, "fraud" if n % 9 == 0 else "genuine", terminal_id=f"m{n * 7 % 60}") for n in range(600)]
    steady, stopped = Learner(limits=_FEW), Learner(limits=_FEW)
    for offset, one in enumerate(log):
        steady.learn(one, offset)
    for offset, one in enumerate(log[:301]):
        stopped.learn(one, offset)
    rows = {name: list(risk.to_row()) for name, risk in sorted(stopped.risks.items(), reverse=True)}
    taken = decode_snapshot(encode_snapshot(stopped.snapshot(NOON)))
    restored = Learner.restore(taken, rows, limits=_FEW)
    for offset, one in enumerate(log[:301]):
        restored.remember(one, offset)
    for offset, one in enumerate(log[301:], 301):
        restored.learn(one, offset)
    assert state(restored) == state(steady)


def test_ties_are_broken_by_name_not_by_the_order_they_came_in() -> None:
    one, other = Learner(), Learner()
    for learner, names in ((one, "abcd"), (other, "dcba")):
        for offset, name in enumerate(names):
            learner.learn(example(offset, terminal_id=name, event_time=NOON), offset)
    assert coldest(one.risks, 2) == coldest(other.risks, 2) == ["a", "b"]


def test_a_weaker_word_does_not_replace_a_stronger_one_whatever_races_brought_it() -> None:
    learner = Learner()
    learner.learn(example(0, "fraud", label_source=LabelSource.CHARGEBACK), 0)
    presumed = example(0, "genuine", label_source=LabelSource.PRESUMED, label_position=LabelPosition(1, 0))
    assert learner.learn(presumed, 1) is Outcome.OVERRULED
    assert learner.tables.frauds == 1
    told = msgspec.structs.replace(
        presumed, label_source=LabelSource.ANALYST, label_position=LabelPosition(2, 0)
    )
    assert learner.learn(told, 2) is Outcome.CORRECTED
