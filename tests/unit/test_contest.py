"""Challengers by the stream's own core code: who is promoted, who never, who is taken back."""

import msgspec
import pytest
from river import linear_model, optim, tree

from fraudstream.core.challengers import (
    ChallengerFailed,
    KeyedChallenger,
    NotServable,
    catching_up,
)
from fraudstream.core.comparison import Guard
from fraudstream.core.contest import Contest
from fraudstream.core.contest_state import decode_contest, encode_contest
from fraudstream.core.handover import Handover, not_handed_over
from fraudstream.core.learner import PRIOR_LOGIT
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Limits
from fraudstream.core.messages import Position
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.registry import Demote, Promote, Rollback
from fraudstream.core.river_challengers import RiverChallenger, exported
from fraudstream.core.snapshot import Snapshot, decode_snapshot, encode_snapshot
from fraudstream.core.terms import KEYS
from fraudstream.errors import InvalidInput
from tests.contest_playing import NOW, PlayedStream, bad_terminals
from tests.model_building import example

POOR = ("terminal", "card and terminal")
"""Families without which a model is worse in this stream: what labels tell of terminals."""


ROLLBACK = Rollback(id="r", by="ann", reason="a try", sent_at=NOW, version=1)


def keyed(name: str, **constants: object) -> KeyedChallenger:
    return KeyedChallenger(ModelDesign(name, **constants))  # type: ignore[arg-type]


def contest(*challengers: KeyedChallenger | RiverChallenger) -> Contest:
    made = Contest(Guard(), budget=20, settle_seconds=0.0, most_awaited=10_000)
    for one in challengers:
        made.join(one)
    return made


def without_weights(snapshot: Snapshot) -> Snapshot:
    """A model that has lost what it knew and hardly learns, as a wrong constant would make it."""
    lost = Learner(design=ModelDesign(snapshot.design.name, alpha=1e-4))
    lost.training_offset = snapshot.training_offset
    return lost.state(snapshot.created_at)


def test_a_worse_one_is_never_promoted_an_equal_one_not_a_better_one_is_and_is_taken_back_when_spoiled() -> (
    None
):
    #   day 0          21                31                  40         45
    #   plain serves ──► full promoted ──► full is spoiled ──► plain back
    stream = PlayedStream(
        ModelDesign("plain", without=POOR),
        keyed("full"),
        keyed("twin", without=POOR),
        keyed("stiff", without=POOR, alpha=0.001),
        days=7,
    )
    spoiled_on = 0

    def spoil(day: int) -> None:
        nonlocal spoiled_on
        if stream.served and day == stream.served[0][1] + 10:
            spoiled_on = day
            stream.learner = stream.learner.with_model(without_weights(stream.learner.state(NOW)))

    stream.play(bad_terminals(45), spoil)

    served = [(name, day - NOW.toordinal()) for name, day in stream.served]
    assert [name for name, _ in served] == ["full", "plain"]
    assert stream.commands == ["promote", "demote"]
    assert stream.served[0][1] < spoiled_on < stream.served[1][1]
    first, second = served[0][1], served[1][1]
    days = [(one.challenger, one.told_at.toordinal() - NOW.toordinal(), one) for one in stream.reports]
    twins = [one for name, day, one in days if name == "twin" and day < first]
    differences = {one.comparison.log_loss.difference for one in twins if one.comparison.log_loss}
    assert differences == {0.0}, "an equal one scores alike, to the last bit"
    assert {name for name, day, one in days if one.verdict.better and day <= first} == {"full"}
    assert not [name for name, day, one in days if one.verdict.better and first < day < second]
    assert "stiff" not in [name for name, _ in served]


def test_a_model_that_a_person_went_back_from_does_not_take_over_by_itself() -> None:
    #   plain serves ──► full promoted by the guard ──► rolled back ──► full is better, and stays beside
    stream = PlayedStream(ModelDesign("plain", without=POOR), keyed("full"), days=7)

    def roll_back(day: int) -> None:
        if stream.served and day == stream.served[0][1] + 2:
            earlier = stream.contest.challengers["plain"].snapshot()
            stream.obey(ROLLBACK, NOW, earlier)

    stream.play(bad_terminals(50), roll_back)
    state = stream.contest.state
    assert [name for name, _ in stream.served] == ["full", "plain"]
    assert stream.commands == ["promote", "rollback"]
    assert (state.before, state.taken_back, state.replaced) == (["full"], ["full"], "")
    assert [one for one in stream.reports[-3:] if one.challenger == "full" and one.verdict.better]
    stream.promote("full", NOW)
    assert (state.before, state.taken_back, state.replaced) == (["plain"], [], "plain")


def told(command: str, serving: str, former: str = "", version: int = 9) -> Handover:
    state_of = encode_snapshot(keyed(former).snapshot()) if former else b""
    return Handover(
        id="a",
        command=command,
        serving=serving,
        former=former,
        version=version,
        former_snapshot=state_of,
        at=NOW,
    )


@pytest.mark.parametrize("command", ["rollback", "relearn"])
def test_days_begin_anew_when_the_serving_model_goes_back_in_time(command: str) -> None:
    held = contest(keyed("one"))
    for number in range(200):
        one = example(number, "fraud" if number % 5 == 0 else "genuine")
        held.score(one.source, one.keys)
        held.note(one, number)
    assert held.state.began.keys() == {"one"}
    held.take_handover(told(command, "standard"), 0, {})
    assert (held.state.days, held.state.began, held.state.since) == ({}, {}, 9)
    assert (list(held.challengers), held.state.before, held.state.taken_back) == (["one"], [], [])
    later = example(200, event_time=NOW.replace(year=2026, month=12), model_version=8)
    held.score(later.source, later.keys)
    held.note(later, 200)
    assert held.state.began == {}, "scored before the serving model went back"


def test_the_guard_takes_back_only_what_was_promoted() -> None:
    held = contest(keyed("one"), keyed("two"))
    assert isinstance(held.command("one", NOW), Promote)
    held.take_handover(told("promote", "one", "standard"), 0, {})
    assert isinstance(held.command("standard", NOW), Demote), "one was promoted over it"
    assert isinstance(held.command("two", NOW), Promote)
    held.take_handover(told("demote", "standard", "one"), 1, {})
    assert held.state.taken_back == ["one"], "a person did that, nobody has asked for the guard's answer"
    held.take_handover(told("promote", "two", "standard"), 2, {})
    asked = held.command("standard", NOW)
    answer = msgspec.structs.replace(told("demote", "standard", "two"), id=asked.id)
    held.take_handover(answer, 3, {})
    assert held.state.taken_back == ["one"], "two may earn it again"
    assert isinstance(held.command("two", NOW), Promote), "standard came by no promotion"


def test_a_refused_command_of_the_guard_is_answered_and_nothing_changes() -> None:
    held = contest(keyed("one"))
    asked = held.command("one", NOW)
    assert held.leader([]) is None
    held.take_handover(not_handed_over(asked, "no", NOW, "standard"), 0, {})
    assert (held.state.asked, held.state.serving, list(held.challengers)) == ("", "standard", ["one"])


def test_keys_of_newer_code_are_passed_over() -> None:
    held = contest(keyed("one"))
    held.score(Position(1, 0, 0), (10, KEYS + 5))
    held.score(Position(1, 0, 1), (10,))
    assert held.awaited.of(Position(1, 0, 0)) == held.awaited.of(Position(1, 0, 1)) != {}


FEW = Limits(labels_per_day=5)


def restarted(before: Contest, limits: Limits) -> Contest:
    after = Contest(Guard(), budget=20, settle_seconds=0.0, most_awaited=10_000, limits=limits)
    after.restore(decode_contest(encode_contest(before.stored_state())))
    for kept in before.kept():
        assert kept.snapshot is not None
        after.join(KeyedChallenger.of(decode_snapshot(kept.snapshot), kept.declared))
    return after


def test_labels_that_the_learner_does_not_believe_teach_no_challenger_not_even_after_a_restart() -> None:
    examples = [example(number, "fraud" if number % 3 == 0 else "genuine") for number in range(20)]
    held = Contest(Guard(), budget=20, settle_seconds=0.0, most_awaited=10_000, limits=FEW)
    held.join(keyed("one"))
    learner = Learner(limits=FEW, design=ModelDesign("one"))
    for number, one in enumerate(examples):
        if number == 4:
            held = restarted(held, FEW)
        held.note(one, number)
        learner.learn(one, number)
    behind = keyed("behind")
    hearing = catching_up(behind, FEW)
    for number, one in enumerate(examples):
        hearing.learn(one, number)
    assert learner.learned == 5
    assert held.challengers["one"].snapshot().weights == learner.state(NOW).weights
    assert behind.snapshot().weights == learner.state(NOW).weights


def test_a_source_that_a_relearning_left_out_teaches_no_challenger_from_then_on() -> None:
    held = contest(keyed("one"))
    relearned = Learner()
    poison = [example(number, "fraud", labelled_by="shop-7") for number in range(4)]
    for number in range(2):
        held.note(poison[number], number)
        relearned.skip(poison[number], number, distrusted=True)
    before = held.challengers["one"].snapshot()
    told_by_learner = msgspec.structs.replace(
        told("relearn", "standard"), trust=relearned.state(NOW).trust, training_offset=1
    )
    held.take_handover(told_by_learner, 0, {})
    held.note(poison[2], 2)
    held = restarted(held, Limits())
    held.note(poison[3], 3)
    assert held.challengers["one"].snapshot().weights == before.weights


def test_who_is_taken_back_has_gone_on_learning_meanwhile() -> None:
    stream = PlayedStream(ModelDesign("plain", without=POOR), keyed("full"))
    twin = Learner(design=ModelDesign("plain", without=POOR))
    stream.listeners.append(twin.learn)
    stream.play(bad_terminals(6))
    stream.promote("full", NOW)
    stream.play(one for one in bad_terminals(12) if int(one.transaction_id[2:]) >= 600)
    stream.promote("plain", NOW)

    assert stream.learner.model.weights == twin.model.weights
    assert stream.learner.model.intercept == twin.model.intercept
    assert stream.learner.design == twin.design
    assert stream.contest.state.before == ["full"]


def test_a_model_restored_from_its_snapshot_keeps_name_constants_and_terms() -> None:
    design = ModelDesign("careful", alpha=0.1, beta=2.0, intercept_lr=0.001, without=("spikes",))
    learner = Learner(design=design)
    for number in range(50):
        learner.learn(
            example(number, "fraud" if number % 5 == 0 else "genuine", keys=(10, 2_000, 2_300)), number
        )

    again = Learner.restore(decode_snapshot(encode_snapshot(learner.snapshot(NOW))), {})
    for one in (learner, again):
        one.learn(example(50, "fraud", keys=(10, 2_000)), 50)

    assert again.design == design
    assert again.model.weights == learner.model.weights


def test_a_term_left_out_is_never_learned() -> None:
    model = keyed("without-amount", without=("amount",))
    for _ in range(20):
        model.learn((10, 500), fraud=True)
    snapshot = model.snapshot()
    assert snapshot.keys == (500,)
    assert model.score((10, 500)) == model.score((500,)) > 0.02


def test_weights_of_another_offset_are_refused() -> None:
    learner = Learner()
    learner.learn(example(0), 0)
    with pytest.raises(ValueError, match="training offset 0, got -1"):
        learner.with_model(Learner().state(NOW))


def test_a_transaction_whose_label_is_known_is_not_scored() -> None:
    held = contest(keyed("one"))
    known, unknown = example(0), example(1)
    held.note(known, 0)
    held.score(known.source, known.keys)
    held.score(unknown.source, unknown.keys)
    assert held.awaited.of(known.source) == {}
    assert set(held.awaited.of(unknown.source)) == {"one"}


def test_a_label_is_compared_by_the_score_given_before_any_later_label_was_learned() -> None:
    held = contest(keyed("one"))
    source = Position(1, 0, 3)
    held.note(example(0), 0)
    held.score(source, (10, 400, 700))
    before = held.awaited.of(source)["one"]
    for number in (1, 2):
        held.note(example(number, "fraud"), number)
    assert held.challengers["one"].score((10, 400, 700)) > before
    assert held.awaited.of(source)["one"] == before


def test_a_challenger_that_is_behind_learns_what_the_others_have_and_takes_part_then() -> None:
    early, late = keyed("early"), keyed("late")
    held = contest(early)
    examples = [example(number, "fraud" if number % 3 == 0 else "genuine") for number in range(30)]
    for number, one in enumerate(examples):
        held.note(one, number)
    held.join(late)
    held.score(Position(1, 0, 99), (10,))
    assert set(held.awaited.of(Position(1, 0, 99))) == {"early"}

    hearing = catching_up(late, Limits())
    for number, one in enumerate(examples):
        hearing.learn(one, number)
        late.offset = number

    assert held.admit(late)
    assert late.snapshot().weights == early.snapshot().weights


def test_a_challenger_whose_code_fails_takes_no_further_part_and_harms_nobody() -> None:
    class Broken(linear_model.LogisticRegression):  # type: ignore[misc] # River carries no types here
        def predict_proba_one(self, x: object) -> dict[bool, float]:
            raise ZeroDivisionError

    held = contest(keyed("sound"), RiverChallenger("broken", Broken()))
    held.score(Position(1, 0, 0), (10,))
    assert set(held.awaited.of(Position(1, 0, 0))) == {"sound"}
    assert "ZeroDivisionError" in held.failed["broken"]
    assert set(held.challengers) == {"sound"}


def test_a_score_that_is_no_number_is_a_failure() -> None:
    class Lost(linear_model.LogisticRegression):  # type: ignore[misc] # as above
        def predict_proba_one(self, x: object) -> dict[bool, float]:
            return {True: float("nan")}

    with pytest.raises(ChallengerFailed, match="scored nan"):
        RiverChallenger("lost", Lost()).score((10,))


def test_rivers_regression_by_ftrl_is_handed_over_whole() -> None:
    optimizer = optim.FTRLProximal(alpha=0.3, beta=1.0, l1=0.0, l2=0.0)
    river = RiverChallenger(
        "river",
        linear_model.LogisticRegression(optimizer=optimizer, intercept_init=PRIOR_LOGIT, intercept_lr=0.005),
    )
    own = keyed("own")
    for number in range(200):
        keys = (number % 7, 100 + number % 5, 500)
        for one in (river, own):
            one.learn(keys, fraud=number % 7 == 0)
            # River works a weight out when its key is learned again; a step of gradient zero does it now.
        model = river._estimator
        model.optimizer.step(model._weights, dict.fromkeys(keys, 0.0))
    handed, expected = river.snapshot(), own.snapshot()
    assert handed.keys == expected.keys
    assert handed.weights == pytest.approx(expected.weights, rel=1e-12)
    assert handed.squares == pytest.approx(expected.squares, rel=1e-12)
    assert handed.intercept == pytest.approx(expected.intercept, rel=1e-12)


def test_rivers_regression_by_another_optimizer_scores_the_same_after_it_is_handed_over() -> None:
    river = RiverChallenger("sgd", linear_model.LogisticRegression(optimizer=optim.SGD(0.05)))
    for number in range(200):
        river.learn((number % 7, 500), fraud=number % 7 == 0)
    handed = KeyedChallenger.of(river.snapshot())
    for key in range(7):
        assert handed.score((key, 500)) == pytest.approx(river.score((key, 500)), rel=1e-9)


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (tree.HoeffdingTreeClassifier(), "no weights that belong to keys"),
        (linear_model.LogisticRegression(optimizer=optim.FTRLProximal(l1=0.1)), "no l1 or l2 penalty"),
        (
            linear_model.LogisticRegression(intercept_lr=optim.schedulers.InverseScaling(0.1)),
            "intercept_lr is not constant",
        ),
    ],
)
def test_what_cannot_be_served_as_data_is_refused_with_the_reason(estimator: object, why: str) -> None:
    with pytest.raises(NotServable, match=why):
        exported(estimator, "foreign", 0)  # type: ignore[arg-type]


def test_a_contest_goes_on_from_its_state() -> None:
    first = contest(keyed("one"))
    for number in range(40):
        one = example(number, "fraud" if number % 5 == 0 else "genuine")
        first.score(one.source, one.keys)
        first.note(one, number)
    second = contest()
    second.restore(decode_contest(encode_contest(first.stored_state())))
    for key, piece in first.awaited.changed():
        assert piece is not None
        second.awaited.restore(key, piece)
    for kept in first.kept():
        assert kept.snapshot is not None
        second.join(KeyedChallenger.of(decode_snapshot(kept.snapshot), kept.declared))
    for held in (first, second):
        held.hearing.remember(example(39), 39)
        held.score(Position(1, 0, 40), (10, 400))
        held.note(example(40, "fraud"), 40)
    assert second.stored_state() == first.stored_state()
    assert second.awaited.of(Position(1, 0, 40)) == first.awaited.of(Position(1, 0, 40))
    assert second.kept() == first.kept()


def test_awaited_scores_are_bounded_and_the_oldest_go_first() -> None:
    held = Contest(Guard(), budget=20, settle_seconds=0.0, most_awaited=2_048)
    held.join(keyed("one"))
    for offset in range(0, 5 * 1_024, 64):
        held.score(Position(1, 0, offset), (10,))
    assert held.awaited.of(Position(1, 0, 0)) == {}
    assert set(held.awaited.of(Position(1, 0, 4 * 1_024))) == {"one"}
    stored = dict(held.awaited.changed())
    assert [key for key, piece in stored.items() if piece is None] == ["1-0-0", "1-0-1", "1-0-2"]


@pytest.mark.parametrize("constants", [{"alpha": 0.0}, {"intercept_lr": 1.0}, {"without": ("nothing",)}])
def test_constants_that_no_model_can_have_are_refused(constants: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        ModelDesign("wrong", **constants)  # type: ignore[arg-type]
