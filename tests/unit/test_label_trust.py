"""Whom the learner believes: liars are found, honest sources of every habit are not accused."""

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator

import msgspec
import pytest

from fraudstream.core.label_evidence import BINS, SCORES
from fraudstream.core.label_trust import MOST_ACCOUNTS, MOST_SPANS, Held, LabelTrust, Quarantine
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Limits, Outcome
from fraudstream.core.messages import LabelSource, LabelValue, TrainingExample
from fraudstream.core.relearning import relearn
from fraudstream.core.source_alarms import decode_held, encode_held, held_key, source_alarm
from fraudstream.core.watching import decode_alarm, encode_alarm
from fraudstream.errors import InvalidMessage
from tests.model_building import NOON, example

Says = Callable[[random.Random, float, bool], tuple[str, str | None] | None]


def traffic(number: int, seed: int = 1) -> Iterator[tuple[random.Random, float, bool]]:
    """Yield scores as a good model gives them, 1 % fraud, with the truth."""
    rng = random.Random(seed)
    for _ in range(number):
        if rng.random() < 0.01:
            yield rng, rng.choice([0.004, 0.03, 0.3, 0.7, 0.9, 0.95]), True
        else:
            yield rng, rng.choice([0.001] * 40 + [0.004] * 30 + [0.03] * 4 + [0.3]), False


def honest(rng: random.Random, score: float, fraud: bool) -> tuple[str, str]:
    return ("fraud" if fraud else "genuine"), rng.choice(["ada", "bo", "cy", "cy", "cy"])


def played(
    says: Says, number: int = 30_000, seed: int = 1
) -> tuple[LabelTrust, list[tuple[int, Quarantine]]]:
    """Let sources label traffic; return accounts, and quarantines with the number of labels by then."""
    trust, found, offset = LabelTrust(), [], 0
    for rng, score, fraud in traffic(number, seed):
        said = says(rng, score, fraud)
        if said is None:
            continue
        label, name = said
        given = example(offset, label, score=score, labelled_by=name)
        _, quarantine = trust.judge(given, given.event_time.timestamp(), offset)
        if quarantine is not None:
            found.append((offset, quarantine))
        offset += 1
    return trust, found


def lies(who: Callable[[random.Random, float, bool], str | None], flip: Callable[..., bool]) -> Says:
    def says(rng: random.Random, score: float, fraud: bool) -> tuple[str, str]:
        name = who(rng, score, fraud)
        if name is None:
            return honest(rng, score, fraud)
        return ("fraud" if fraud is not flip(rng, score, fraud) else "genuine"), name

    return says


def some(share: float, name: str = "eve") -> Callable[[random.Random, float, bool], str | None]:
    return lambda rng, score, fraud: name if rng.random() < share else None


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (lies(some(0.02), lambda rng, score, fraud: True), Held.INVENTS),
        (lies(some(0.2), lambda rng, score, fraud: rng.random() < 0.1), Held.INVENTS),
        (lies(some(0.3), lambda rng, score, fraud: fraud), Held.HIDES),
        (
            lies(lambda rng, score, fraud: "eve" if score > 0.6 and fraud else None, lambda *_: True),
            Held.HIDES,
        ),
    ],
    ids=["all flipped", "a tenth flipped", "frauds hidden among honest labels", "only hides frauds"],
)
def test_a_liar_is_found(says: Says, reason: Held) -> None:
    trust, found = played(says)
    assert [(one.source, one.reason) for _, one in found] == [("analyst:eve", reason)]
    assert list(trust.quarantined()) == ["analyst:eve"]


@pytest.mark.parametrize(
    "says",
    [
        honest,
        lambda rng, score, fraud: honest(rng, score, fraud) if fraud else ("genuine", "cy"),
        lambda rng, score, fraud: (
            ("fraud", "acquirer") if fraud and rng.random() < 0.5 else honest(rng, score, fraud)
        ),
        lambda rng, score, fraud: (
            ("fraud" if fraud else "genuine", "desk") if score > 0.2 else honest(rng, score, fraud)
        ),
        lambda rng, score, fraud: ("fraud", None) if fraud else None,
        lambda rng, score, fraud: (
            ("fraud" if fraud is not (rng.random() < 0.004) else "genuine", "tired")
            if rng.random() < 0.2
            else honest(rng, score, fraud)
        ),
        lambda rng, score, fraud: ("fraud" if fraud else "genuine", "alone"),
    ],
    ids=[
        "several",
        "one that mostly clears",
        "one that only reports frauds",
        "one that only looks at high scores",
        "nothing but frauds, no name",
        "one that errs four times in a thousand",
        "a single source",
    ],
)
def test_an_honest_source_is_not_accused_whatever_it_chooses_to_label(says: Says) -> None:
    for seed in (1, 2):
        assert played(says, 20_000, seed)[1] == []


def test_a_single_source_is_not_accused_by_a_model_that_knows_nothing_yet() -> None:
    def says(rng: random.Random, score: float, fraud: bool) -> tuple[str, str]:
        return ("fraud" if rng.random() < 0.1 else "genuine"), "alone"

    assert played(says, 5_000)[1] == []


def test_labels_of_a_source_in_quarantine_do_not_speak_against_others() -> None:
    trust, _ = played(lies(some(0.02), lambda *_: True))
    assert trust.accounts["analyst:eve"].shown.frauds == 0.0
    low = trust.everyone.fraud[bisect_right(SCORES, 0.001)]
    assert low < 2.0


def test_a_new_name_for_each_lie_does_not_help() -> None:
    names = iter(range(10**6))
    trust, found = played(
        lies(lambda rng, *_: f"{next(names)}" if rng.random() < 0.02 else None, lambda *_: True)
    )
    assert [one.source for _, one in found] == ["analyst*"]
    assert len(trust.accounts) <= MOST_ACCOUNTS
    late = example(0, "fraud", score=0.001, labelled_by="yet another")
    assert trust.judge(late, late.event_time.timestamp(), 10**6)[0] is Held.NEWCOMERS


def test_no_source_is_believed_more_often_a_day_than_the_limit_and_again_the_next_day() -> None:
    learner = Learner(limits=Limits(labels_per_day=10))
    outcomes = [learner.learn(example(n, labelled_by="ada"), n) for n in range(15)]
    assert outcomes == [Outcome.LEARNED] * 10 + [Outcome.HELD] * 5
    assert [one.reason for one in learner.take_held()] == [Held.RATE] * 5
    other = learner.learn(example(15, labelled_by="bo"), 15)
    tomorrow = learner.learn(example(24 * 60, labelled_by="ada"), 16)
    assert (other, tomorrow) == (Outcome.LEARNED, Outcome.LEARNED)


def test_a_label_backdated_or_postdated_moves_no_limit() -> None:
    learner = Learner(limits=Limits(labels_per_day=10))
    for n in range(30):
        learner.learn(example(n, labelled_by="ada", labelled_at=NOON.replace(year=2026 + n)), n)
    assert learner.learned == 10


def test_what_is_presumed_genuine_is_always_believed_and_a_presumed_fraud_is_not() -> None:
    learner = Learner(limits=Limits(labels_per_day=1))
    presumed = {"label_source": LabelSource.PRESUMED}
    assert {learner.learn(example(n, **presumed), n) for n in range(5)} == {Outcome.LEARNED}
    assert [learner.learn(example(n, "fraud", **presumed), n) for n in (5, 6)] == [
        Outcome.LEARNED,
        Outcome.HELD,
    ]


def quarantined_learner() -> tuple[Learner, list[tuple[int, TrainingExample]]]:
    """A learner that has just put a liar into quarantine, and its log."""
    learner, log = Learner(), []
    for offset, (rng, score, fraud) in enumerate(traffic(12_000)):
        label, name = lies(some(0.02), lambda *_: True)(rng, score, fraud)
        given = example(offset, label, score=score, labelled_by=name, terminal_id=f"m{offset % 50}")
        log.append((offset, given))
        learner.learn(given, offset)
    assert list(learner.trust.quarantined()) == ["analyst:eve"]
    return learner, log


def state(learner: Learner) -> tuple[object, ...]:
    rows = {name: risk.to_row() for name, risk in learner.risks.items()}
    return (learner.model.weights, learner.model.squares, learner.tables.to_row(), rows, learner.trust)


def test_labels_held_back_are_given_out_not_learned_and_learned_once_when_released() -> None:
    learner, _ = quarantined_learner()
    held = learner.take_held()
    (told,) = learner.take_quarantines()
    assert {one.example.labelled_by for one in held} == {"eve"}
    assert len(held) == learner.trust.accounts["analyst:eve"].held > 50
    assert told.source == "analyst:eve"
    learned, offset = learner.learned, learner.training_offset
    for round_ in range(2):
        for one in held:
            offset += 1
            outcome = learner.learn(msgspec.structs.replace(one.example, released=True), offset)
            assert outcome is (Outcome.REPEATED if round_ else Outcome.LEARNED)
    assert learner.learned == learned + len(held)
    assert learner.trust.quarantined() == {}


def test_an_honest_label_for_what_was_held_back_is_a_first_label() -> None:
    learner, _ = quarantined_learner()
    held = learner.take_held()[-1].example
    told = msgspec.structs.replace(
        held,
        label=LabelValue.GENUINE if held.label is LabelValue.FRAUD else LabelValue.FRAUD,
        labelled_by="ada",
        label_position=msgspec.structs.replace(held.label_position, partition=7),
        replaces=held.label,
    )
    assert learner.learn(told, learner.training_offset + 1) is Outcome.LEARNED


def test_a_label_held_back_that_comes_twice_is_held_once() -> None:
    learner, _ = quarantined_learner()
    held = learner.take_held()[-1]
    assert learner.learn(held.example, learner.training_offset + 1) is Outcome.REPEATED
    assert learner.take_held() == []


@pytest.mark.parametrize("stopped_after", [3_000, 4_400, 11_999])
def test_a_learner_restored_amid_a_quarantine_goes_on_as_if_it_had_never_stopped(stopped_after: int) -> None:
    steady, log = quarantined_learner()
    stopped = Learner()
    for offset, given in log[:stopped_after]:
        stopped.learn(given, offset)
    rows = {name: risk.to_row() for name, risk in stopped.risks.items()}
    restored = Learner.restore(stopped.snapshot(NOON), {name: list(row) for name, row in rows.items()})
    for offset, given in log[:stopped_after]:
        restored.remember(given, offset)
    before = len(stopped.take_held())
    for offset, given in log[stopped_after:]:
        restored.learn(given, offset)
    assert state(restored) == state(steady)
    assert restored._labels == steady._labels
    assert len(restored.take_held()) + before == len(steady.take_held())


def test_relearning_gives_the_same_learner_and_without_a_source_one_that_never_heard_it() -> None:
    steady, log = quarantined_learner()
    assert state(relearn(iter(log))) == state(steady)
    never = Learner()
    for offset, given in log:
        if given.labelled_by != "eve":
            never.learn(given, offset)
    without = relearn(iter(log), ["analyst:eve"])
    assert state(without)[:-1] == state(never)[:-1]
    assert without.training_offset == steady.training_offset


def test_a_source_that_was_left_out_is_not_believed_afterwards() -> None:
    _, log = quarantined_learner()
    without = relearn(iter(log), ["analyst:eve"])
    assert {name: one.quarantined for name, one in without.trust.quarantined().items()} == {
        "analyst:eve": Held.LEFT_OUT
    }
    (last,) = [one for _, one in log if one.labelled_by == "eve"][-1:]
    lie = msgspec.structs.replace(last, source=msgspec.structs.replace(last.source, offset=10**6))
    lie = msgspec.structs.replace(
        lie, label_position=msgspec.structs.replace(last.label_position, offset=10**6)
    )
    assert without.learn(lie, without.training_offset + 1) is Outcome.HELD


def test_relearning_forgets_what_a_source_had_said_before_others_corrected_it() -> None:
    first = example(0, "fraud", labelled_by="eve")
    second = example(0, "genuine", labelled_by="ada", label_position=example(9).label_position)
    corrected = msgspec.structs.replace(second, replaces=LabelValue.FRAUD)
    only = Learner()
    only.learn(second, 1)
    without = relearn([(0, first), (1, corrected)], [":eve"], remembered_labels=1)
    assert state(without)[:-1] == state(only)[:-1]


def test_the_alarm_names_the_source_and_survives_the_wire() -> None:
    alarm = source_alarm(Quarantine("analyst:eve", Held.HIDES, 1_700_000_000.0, 80, 3))
    assert decode_alarm(encode_alarm(alarm)) == alarm
    assert alarm.subject == "analyst:eve"
    assert alarm.key.endswith("-analyst:eve")


def test_a_label_held_back_survives_the_wire() -> None:
    learner, _ = quarantined_learner()
    held = learner.take_held()
    assert [decode_held(encode_held(one)) for one in held] == held
    assert len({held_key(one) for one in held}) == len(held)
    with pytest.raises(InvalidMessage):
        decode_held(b"{}")


def test_accounts_survive_the_wire_and_others_are_refused() -> None:
    trust, _ = played(lies(some(0.02), lambda *_: True), 5_000)
    assert LabelTrust.from_bytes(trust.to_bytes()) == trust
    assert LabelTrust.from_bytes(b"") == LabelTrust()
    short = LabelTrust()
    short.everyone.fraud = [0.0] * (BINS - 1)
    for broken in (b"\xc1", b"\x00", short.to_bytes()):
        with pytest.raises(InvalidMessage):
            LabelTrust.from_bytes(broken)


def test_the_state_of_a_source_is_bounded() -> None:
    learner = Learner(limits=Limits(labels_per_day=1))
    for n in range(0, 200 * 1440, 720):
        learner.learn(example(n, labelled_by="ada"), n)
    assert len(learner.trust.accounts["analyst:ada"].spans) == MOST_SPANS
    assert len(learner.trust.to_bytes()) < 3_000
