"""Registry, kept models and time travel, on logs in memory."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from fraudstream.core.codec import encode_training_example
from fraudstream.core.kept_model import decode_kept, encode_kept
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Limits
from fraudstream.core.messages import LabelPosition, LabelValue, TrainingExample
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.registry import (
    Demote,
    Entry,
    LeftOut,
    Promote,
    RecentQuality,
    Refusal,
    Relearn,
    Rollback,
    Standing,
    decode_command,
    decode_record,
    decode_standing,
    encode_command,
    encode_record,
    encode_standing,
)
from fraudstream.core.snapshot import Snapshot, encode_snapshot
from fraudstream.errors import InvalidInput, InvalidMessage, InvalidSnapshot
from fraudstream.rebuilding import ModelRebuilder, NewState
from fraudstream.registry import ModelRegistry
from fraudstream.settings import Settings
from fraudstream.topics import Topics
from tests.memory_logs import MemoryLogs
from tests.model_building import NOON, example

TOPICS = Topics(Settings())
COUNT = 400


def some_examples(count: int = COUNT, seed: int = 3) -> list[TrainingExample]:
    rng = random.Random(seed)
    made = []
    for number in range(count):
        corrects = number > 20 and rng.random() < 0.1
        source = rng.randrange(number - 20, number) if corrects else number
        fraud = rng.random() < 0.2
        made.append(
            example(
                source,
                "fraud" if fraud else "genuine",
                label_position=LabelPosition(0, number),
                replaces=(LabelValue.GENUINE if fraud else LabelValue.FRAUD) if corrects else None,
                labelled_by="shop-7" if number % 3 == 0 else "desk",
                keys=tuple(term * 150 + rng.randrange(12) for term in range(19)),
                terminal_id=rng.choice([None, "m1", "m2", "m3"]),
            )
        )
    return made


class Past:
    """A training log in memory, and the versions a learner published of it, some kept whole."""

    def __init__(self, examples: Sequence[TrainingExample], every: int = 20, keep_every: int = 5) -> None:
        self.logs = MemoryLogs()
        self.states: dict[int, bytes] = {}
        self.base, self.kept_at = 0, -1
        self.learner = Learner()
        for number, one in enumerate(examples, 1):
            offset = self.logs.append(TOPICS.training_examples.name, encoded(one))
            self.learner.learn(one, offset)
            if number % every == 0:
                self.publish(keep=number % (every * keep_every) == 0)
        self.registry = ModelRegistry(TOPICS, self.logs)
        self.rebuilder = ModelRebuilder(TOPICS, self.logs)

    def publish(
        self, *, keep: bool, lineage: int = 0, left_out: tuple[LeftOut, ...] = (), parent: int | None = None
    ) -> Entry:
        before = self.learner.version
        snapshot = self.learner.snapshot(NOON)
        self.states[snapshot.version] = state(self.learner)
        if keep:
            rows = {name: risk.to_row() for name, risk in self.learner.risks.items()}
            records = encode_kept(encode_snapshot(snapshot), rows, left_out)
            offsets = [self.logs.append(TOPICS.kept_models.name, value, key) for key, value in records]
            self.base, self.kept_at = snapshot.version, offsets[0]
        entry = Entry(
            version=snapshot.version,
            parent=before if parent is None else parent,
            lineage=lineage,
            base=self.base,
            kept_at=self.kept_at,
            training_offset=snapshot.training_offset,
            learned=snapshot.learned,
            created_at=NOON,
            code="1",
            recent=RecentQuality(),
            design=snapshot.design.name,
        )
        self.logs.append(TOPICS.model_registry.name, encode_record(entry))
        return entry


encoded = encode_training_example


def state(learner: Learner) -> bytes:
    """Everything learned, as bytes: neither version nor offset."""
    model = learner.model
    return msgspec.msgpack.encode(
        (
            model.intercept,
            [(key, model.weights[key], square) for key, square in enumerate(model.squares) if square],
            learner.tables.to_row(),
            learner.typical,
            learner.learned,
            sorted((name, risk.to_row()) for name, risk in learner.risks.items()),
        )
    )


ASKED: dict[str, Any] = {"id": "c", "by": "ann", "reason": "because", "sent_at": NOON}


def rollback(version: int) -> Rollback:
    return Rollback(**ASKED, version=version)


def relearn(**what: Any) -> Relearn:
    return Relearn(**ASKED, **what)


async def test_every_version_comes_back_to_the_last_bit() -> None:
    past = Past(some_examples())
    for version, then in past.states.items():
        learner, left_out = await past.rebuilder.rebuild(await past.registry.find(version))
        assert state(learner) == then
        assert left_out == ()
        assert learner.version == version


async def test_many_versions_come_back_in_one_pass() -> None:
    past = Past(some_examples())
    wanted = [await past.registry.find(version) for version in (17, 3, 9, 20)]
    seen = {entry.version: state(made) async for entry, made in past.rebuilder.rebuild_each(wanted)}
    assert seen == {version: past.states[version] for version in (3, 9, 17, 20)}


async def test_a_version_is_found_by_reading_little_of_a_long_registry() -> None:
    past = Past(some_examples(20))
    (entry,) = await past.registry.newest(1)
    for version in range(2, 1_000):
        later = msgspec.structs.replace(entry, version=version)
        past.logs.append(TOPICS.model_registry.name, encode_record(later))
    past.logs.reads = 0
    assert (await past.registry.find(700)).version == 700
    assert past.logs.reads < 20


async def test_versions_far_apart_and_close_together_are_found_together() -> None:
    past = Past(some_examples(20))
    (entry,) = await past.registry.newest(1)
    for version in range(2, 25_000, 7):
        later = msgspec.structs.replace(entry, version=version)
        past.logs.append(TOPICS.model_registry.name, encode_record(later))
    wanted = [24_992, 9, 1, 16, 12_000, 24_985]
    assert [one.version for one in await past.registry.find_all(wanted)] == sorted(wanted)
    with pytest.raises(InvalidInput, match="no model version 12"):
        await past.registry.find_all([9, 12, 16])


async def test_a_version_that_never_was_is_told_with_the_newest() -> None:
    past = Past(some_examples(60))
    with pytest.raises(InvalidInput, match="no model version 9 in the registry: the newest is 3"):
        await past.registry.find(9)
    with pytest.raises(InvalidInput, match="no model version 1"):
        await ModelRegistry(TOPICS, MemoryLogs()).find(1)


async def test_a_refused_command_does_not_hide_the_version_it_stands_behind() -> None:
    past = Past(some_examples(40))
    refusal = Refusal(version=2, command=rollback(9), reason="there is none", created_at=NOON)
    past.logs.append(TOPICS.model_registry.name, encode_record(refusal))
    past.publish(keep=False)
    assert [one.version for one in await past.registry.newest(9)] == [1, 2, 2, 3]
    assert (await past.registry.find(2)).version == 2
    assert (await past.registry.find(3)).version == 3


async def test_kept_versions_are_listed_alone() -> None:
    past = Past(some_examples())
    assert [one.version for one in await past.registry.kept(3)] == [10, 15, 20]
    assert [one.version for one in await past.registry.kept(99)] == [5, 10, 15, 20]


async def test_a_rollback_is_the_old_state_at_the_new_place() -> None:
    past = Past(some_examples())
    here = past.learner.training_offset
    made = await past.rebuilder.follow(rollback(7), past.learner, Standing())
    assert state(made.learner) == past.states[7]
    assert made.learner.training_offset == here
    then = (await past.registry.find(7)).training_offset
    assert (made.left_out, made.parent) == ((LeftOut(then, here),), 7)


async def test_relearning_is_a_life_without_the_examples_left_out() -> None:
    examples = some_examples()
    past = Past(examples)
    here = past.learner.training_offset
    made = await past.rebuilder.follow(
        relearn(without=("shop-7",), until=here - 100), past.learner, Standing()
    )
    without = Learner()
    for number, one in enumerate(examples):
        if one.labelled_by == "shop-7" or 2 * number > here - 100:
            without.skip(one, 2 * number, distrusted=2 * number <= here - 100)
        else:
            without.learn(one, 2 * number)
    assert state(made.learner) == state(without)
    assert made.learner.training_offset == here
    assert made.parent == 0


async def test_relearning_since_an_offset_goes_on_from_the_kept_version_before_it() -> None:
    examples = some_examples()
    past = Past(examples)
    what = {"without": ("shop-7",), "since": 450}
    from_kept = await past.rebuilder.follow(relearn(**what), past.learner, Standing())
    assert from_kept.parent == 10  # of 200 examples; the next kept one has 300, at offsets up to 598
    plain = Learner()
    for number, one in enumerate(examples):
        take = plain.skip if one.labelled_by == "shop-7" and 2 * number >= 450 else plain.learn
        take(one, 2 * number)
    assert state(from_kept.learner) == state(plain)


async def test_what_follows_a_rollback_comes_back_too_and_so_does_a_rollback_over_it() -> None:
    examples = some_examples()
    past = Past(examples[:300])
    here = past.learner.training_offset
    made = await past.rebuilder.follow(rollback(4), past.learner, Standing())
    made.learner.version = past.learner.version
    past.learner = made.learner
    rolled = past.publish(keep=True, lineage=past.learner.version + 1, left_out=made.left_out, parent=4)
    for one in examples[300:]:
        offset = past.logs.append(TOPICS.training_examples.name, encoded(one))
        past.learner.learn(one, offset)
    last = past.publish(keep=False, lineage=rolled.version, left_out=made.left_out)
    learner, left_out = await past.rebuilder.rebuild(last)
    assert (state(learner), left_out) == (past.states[last.version], made.left_out)

    here = past.learner.training_offset
    again = await past.rebuilder.follow(rollback(rolled.version), past.learner, Standing())
    assert state(again.learner) == past.states[4]
    assert again.left_out == (*made.left_out, LeftOut(rolled.training_offset, here))
    across = await past.rebuilder.follow(rollback(14), past.learner, Standing())
    assert state(across.learner) == past.states[14]


async def test_a_rollback_releases_no_source_from_quarantine() -> None:
    past = Past(some_examples())
    one = next(one for one in some_examples() if one.labelled_by == "shop-7")
    past.learner.trust.exclude(one, past.learner.training_offset)
    quarantined = past.learner.trust.quarantined()
    made = await past.rebuilder.follow(rollback(7), past.learner, Standing())
    assert made.learner.trust.quarantined() == quarantined
    assert [name.partition(":")[2] for name in quarantined] == ["shop-7"]


async def test_sources_left_out_of_a_relearning_are_in_quarantine_afterwards() -> None:
    past = Past(some_examples())
    made = await past.rebuilder.follow(relearn(without=("shop-7",)), past.learner, Standing())
    assert [name.partition(":")[2] for name in made.learner.trust.quarantined()] == ["shop-7"]
    assert past.learner.trust.quarantined() == {}


async def test_a_version_learned_under_other_limits_is_made_again_under_those() -> None:
    past = Past(some_examples())
    few = Limits(terminals=2)
    entry = msgspec.structs.replace(await past.registry.find(4), limits=few)
    learner, _ = await past.rebuilder.load(entry)
    assert learner.limits == few
    made = await past.rebuilder.follow(rollback(4), past.learner, Standing())
    assert made.learner.limits == past.learner.limits


async def rolled_back(past: Past, version: int) -> Entry:
    """Do what the learner does at a rollback; return the entry of the new version."""
    made = await past.rebuilder.follow(rollback(version), past.learner, Standing())
    made.learner.version = past.learner.version
    past.learner = made.learner
    return past.publish(
        keep=True, lineage=past.learner.version + 1, left_out=made.left_out, parent=made.parent
    )


async def test_a_correction_of_a_forgotten_label_comes_back_as_it_was_learned() -> None:
    past = Past(some_examples(100))
    forgotten = example(999, "fraud", label_position=LabelPosition(0, 999))
    past.learner.learn(forgotten, past.logs.append(TOPICS.training_examples.name, encoded(forgotten)))
    rolled = await rolled_back(past, 3)
    correction = example(
        999, "genuine", label_position=LabelPosition(0, 1_000), replaces=LabelValue.FRAUD, terminal_id="m1"
    )
    offset = past.logs.append(TOPICS.training_examples.name, encoded(correction))
    assert past.learner.learn(correction, offset) == "learned"
    last = past.publish(keep=False, lineage=rolled.version, parent=rolled.version)
    learner, _ = await past.rebuilder.rebuild(last)
    assert state(learner) == past.states[last.version]


async def test_relearning_since_an_offset_begins_at_no_version_that_lacks_something() -> None:
    examples = some_examples(200)
    past = Past(examples)
    await rolled_back(past, 4)
    here = past.learner.training_offset
    made = await past.rebuilder.follow(relearn(without=("shop-7",), since=here + 1), past.learner, Standing())
    plain = Learner()
    for number, one in enumerate(examples):
        plain.learn(one, 2 * number)
    assert state(made.learner) == state(plain)
    assert made.parent == 10


CAREFUL = ModelDesign("careful", alpha=0.1, beta=2.0, without=("spikes",))


def changed(kind: type[Promote | Demote], found: Snapshot) -> Promote | Demote:
    state_of = encode_snapshot(found)
    return kind(
        **ASKED, model=found.design.name, training_offset=found.training_offset, since=3, snapshot=state_of
    )


def taught(design: ModelDesign, examples: Sequence[TrainingExample], *, left_out: int = 0) -> Learner:
    """Return a learner of a design that was given a training log, some of its last examples left out."""
    learner = Learner(design=design)
    for number, one in enumerate(examples):
        take = learner.skip if number >= len(examples) - left_out else learner.learn
        take(one, 2 * number)
    return learner


def weights(learner: Learner) -> bytes:
    model = learner.model
    return msgspec.msgpack.encode((model.intercept, model.weights, model.squares))


def published_change(past: Past, made: NewState) -> Entry:
    """Do what the learner does at a command; return the entry of the new version."""
    made.learner.version = past.learner.version
    past.learner = made.learner
    return past.publish(
        keep=True, lineage=past.learner.version + 1, left_out=made.left_out, parent=made.parent
    )


async def test_a_promoted_model_has_its_own_weights_and_what_the_learner_knows_of_terminals() -> None:
    examples = some_examples()
    past = Past(examples)
    behind = taught(CAREFUL, examples[:300]).state(NOON)
    before = state(past.learner)
    made = await past.rebuilder.follow(changed(Promote, behind), past.learner, Standing())
    plain = taught(CAREFUL, examples)
    assert state(past.learner) == before, "nothing has changed until it is published"
    assert (made.learner.design, made.learner.training_offset) == (CAREFUL, past.learner.training_offset)
    assert weights(made.learner) == weights(plain), "it was taught the labels that came since"
    assert made.learner.tables == past.learner.tables
    assert made.learner.risks == past.learner.risks
    assert (made.left_out, made.parent) == ((), past.learner.version)


async def test_versions_of_a_promoted_model_come_back_and_so_do_those_before_it() -> None:
    examples = some_examples()
    past = Past(examples[:300])
    former = past.learner.version
    behind = taught(CAREFUL, examples[:250]).state(NOON)
    first = published_change(
        past, await past.rebuilder.follow(changed(Promote, behind), past.learner, Standing())
    )
    versions = [first]
    for number, one in enumerate(examples[300:], 1):
        past.learner.learn(one, past.logs.append(TOPICS.training_examples.name, encoded(one)))
        if number % 20 == 0:
            versions.append(past.publish(keep=False, lineage=first.version))
    assert {one.design for one in versions} == {"careful"}
    async for entry, learner in past.rebuilder.rebuild_each(versions):
        assert (state(learner), learner.design) == (past.states[entry.version], CAREFUL)

    back = await past.rebuilder.follow(rollback(former), past.learner, Standing())
    assert (state(back.learner), back.learner.design) == (past.states[former], ModelDesign())
    published_change(past, back)
    forth = await past.rebuilder.follow(rollback(versions[-1].version), past.learner, Standing())
    assert (state(forth.learner), forth.learner.design) == (past.states[versions[-1].version], CAREFUL)


@pytest.mark.parametrize("since", [0, 450])
async def test_relearning_goes_by_the_constants_and_terms_of_the_model_that_serves(since: int) -> None:
    examples = some_examples()
    past = Past(examples)  # kept whole at offsets 198, 398 and on, by other constants
    made = await past.rebuilder.follow(
        changed(Promote, taught(CAREFUL, examples).state(NOON)), past.learner, Standing()
    )
    published_change(past, made)
    again = await past.rebuilder.follow(relearn(without=("shop-7",), since=since), past.learner, Standing())
    plain = Learner(design=CAREFUL)
    for number, one in enumerate(examples):
        if one.labelled_by == "shop-7" and 2 * number >= since:
            plain.skip(one, 2 * number, distrusted=True)
        else:
            plain.learn(one, 2 * number)
    assert state(again.learner) == state(plain)
    assert (again.learner.design, again.parent) == (CAREFUL, 0)


async def test_a_promotion_after_a_rollback_keeps_what_was_left_out() -> None:
    examples = some_examples()
    past = Past(examples)
    rolled = await rolled_back(past, 4)
    left_out = await past.rebuilder.left_out(rolled)
    command = changed(Demote, taught(CAREFUL, examples).state(NOON))
    made = await past.rebuilder.follow(command, past.learner, Standing(left_out=left_out))
    entry = published_change(past, made)
    learner, found = await past.rebuilder.rebuild(entry)
    assert found == left_out == (LeftOut(158, 798),)
    assert state(learner) == past.states[entry.version]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"model": "other"}, "expected the state of other at training offset 78, got that of careful at 78"),
        ({"training_offset": 60}, "at training offset 60, got that of careful at 78"),
        ({"snapshot": b""}, "expected a model snapshot"),
    ],
)
async def test_a_promotion_that_says_one_thing_and_brings_another_is_refused(
    changes: dict[str, Any], fault: str
) -> None:
    examples = some_examples(40)
    past = Past(examples)
    command = changed(Promote, taught(CAREFUL, examples).state(NOON))
    with pytest.raises((InvalidInput, InvalidSnapshot), match=fault):
        await past.rebuilder.follow(msgspec.structs.replace(command, **changes), past.learner, Standing())


async def test_a_model_that_serves_already_or_is_ahead_of_the_training_log_is_refused() -> None:
    examples = some_examples(40)
    past = Past(examples)
    with pytest.raises(InvalidInput, match="standard serves already"):
        await past.rebuilder.follow(changed(Promote, past.learner.state(NOON)), past.learner, Standing())
    ahead = taught(CAREFUL, examples)
    ahead.training_offset = 80
    with pytest.raises(InvalidInput, match="up to training offset 80, the training log ends at 78"):
        await past.rebuilder.follow(changed(Promote, ahead.state(NOON)), past.learner, Standing())


async def test_a_promotion_given_before_another_command_was_obeyed_is_refused() -> None:
    examples = some_examples(40)
    past = Past(examples)
    command = changed(Promote, taught(CAREFUL, examples).state(NOON))
    await past.rebuilder.follow(command, past.learner, Standing(lineage=3))
    with pytest.raises(InvalidInput, match="another command came first: version 4 has begun to serve"):
        await past.rebuilder.follow(command, past.learner, Standing(lineage=4))


async def test_a_promotion_needs_the_examples_its_model_has_not_learned() -> None:
    examples = some_examples(40)
    past = Past(examples)
    behind = taught(CAREFUL, examples[:10]).state(NOON)
    log = past.logs.logs[TOPICS.training_examples.name]
    for offset in range(0, 40, 2):
        del log[offset]
    with pytest.raises(InvalidInput, match="from offset 19 on are needed, the log begins at 40"):
        await past.rebuilder.follow(changed(Promote, behind), past.learner, Standing())


async def test_an_offset_the_learner_has_not_reached_is_refused() -> None:
    past = Past(some_examples(40))
    with pytest.raises(InvalidInput, match="expected an offset up to 78"):
        await past.rebuilder.follow(relearn(until=79), past.learner, Standing())


async def test_missing_examples_are_told_rather_than_passed_over() -> None:
    past = Past(some_examples())
    log = past.logs.logs[TOPICS.training_examples.name]
    entry = await past.registry.find(7)
    del log[240]
    with pytest.raises(InvalidInput, match="made again it has learned 133"):
        await past.rebuilder.rebuild(entry)
    for offset in range(0, 260, 2):
        log.pop(offset, None)
    with pytest.raises(InvalidInput, match="from offset 199 on are needed, the log begins at 260"):
        await past.rebuilder.rebuild(entry)


async def test_a_kept_model_that_is_gone_or_damaged_is_told() -> None:
    past = Past(some_examples())
    log = past.logs.logs[TOPICS.kept_models.name]
    entry = await past.registry.find(7)
    part = log[entry.kept_at]
    log[entry.kept_at] = part._replace(value=(part.value or b"")[:-1] + b"x")
    with pytest.raises(InvalidSnapshot):
        await past.rebuilder.rebuild(entry)
    del log[entry.kept_at]
    with pytest.raises(InvalidSnapshot, match="not there any more"):
        await past.rebuilder.rebuild(entry)


def test_a_kept_model_of_many_terminals_comes_back_from_its_parts() -> None:
    learner = Learner()
    for offset, one in enumerate(some_examples(60)):
        learner.learn(msgspec.structs.replace(one, terminal_id=f"m{offset}"), offset)
    rows = {f"m{number}": learner.risks["m1"].to_row() for number in range(12_000)}
    rows |= {name: risk.to_row() for name, risk in learner.risks.items()}
    left_out = (LeftOut(3, 9, ("shop-7",)),)
    records = encode_kept(encode_snapshot(learner.snapshot(NOON)), rows, left_out)
    assert len(records) == 4
    kept = decode_kept(records)
    assert kept.left_out == left_out
    again = Learner.restore(kept.snapshot, kept.risks)
    assert {name: risk.to_row() for name, risk in again.risks.items()} == rows
    with pytest.raises(InvalidSnapshot, match="does not have the risks its head names"):
        decode_kept(records[1:])
    with pytest.raises(InvalidSnapshot, match="found none"):
        decode_kept(records[:-1])


def test_what_is_left_out_is_named_by_offset_and_by_kind_or_name_of_source() -> None:
    one = example(0, labelled_by="shop-7")
    assert [LeftOut(3, 6).covers(offset, one) for offset in (3, 4, 6, 7)] == [False, True, True, False]
    assert LeftOut(3, 6, ("shop-7",)).covers(5, one)
    assert LeftOut(3, 6, ("analyst",)).covers(5, one)
    assert not LeftOut(3, 6, ("chargeback", "desk")).covers(5, one)


def test_records_commands_and_standings_come_back_as_they_were() -> None:
    past = Past(some_examples(20))
    for record in past.logs.logs[TOPICS.model_registry.name].values():
        assert encode_record(decode_record(record.value)) == record.value
    behind = taught(CAREFUL, some_examples(5)).state(NOON)
    for asked in (
        rollback(7),
        relearn(without=("shop-7",), until=5),
        changed(Promote, behind),
        changed(Demote, behind),
    ):
        assert decode_command(encode_command(asked)) == asked
        assert type(decode_command(encode_command(asked))) is type(asked)
    standing = Standing(command_offset=4, left_out=(LeftOut(1, 2),), recent=RecentQuality(3, 0.1, 0.2, 0.3))
    assert decode_standing(encode_standing(standing)) == standing
    assert decode_standing(None) == Standing()


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b'{"kind": "other"}', b"[1]"])
def test_other_bytes_are_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidMessage):
        decode_record(value)
    with pytest.raises(InvalidMessage):
        decode_command(value)


@pytest.mark.parametrize("value", [b"", b"\xff", b"[1]"])
def test_another_standing_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_standing(value)


def test_a_rollback_without_a_version_is_refused() -> None:
    value = encode_command(rollback(7)).replace(b'"version"', b'"Version"')
    with pytest.raises(InvalidMessage, match="version"):
        decode_command(value)


def test_recent_quality_is_a_mean_of_the_last_labels() -> None:
    recent = RecentQuality()
    for score, fraud in ((0.5, True), (0.5, False), (0.1, False), (0.1, False)):
        recent.note(score, fraud=fraud)
    assert recent.labels == 4
    assert recent.observed == pytest.approx(0.25)
    assert recent.predicted == pytest.approx(0.3)
    assert recent.log_loss == pytest.approx((2 * 0.6931 + 2 * 0.1054) / 4, abs=1e-3)


def test_a_label_left_out_is_not_learned_later_and_its_correction_counts_as_the_first() -> None:
    first, correction = (
        example(7, "fraud", label_position=LabelPosition(0, 1)),
        example(7, "genuine", label_position=LabelPosition(0, 2), replaces=LabelValue.FRAUD),
    )
    learner, plain = Learner(), Learner()
    learner.skip(first, 0)
    assert learner.learn(first, 1) == "repeated"
    assert learner.learn(correction, 2) == "learned"
    plain.learn(msgspec.structs.replace(correction, replaces=None), 2)
    assert state(learner) == state(plain)


def test_a_correction_left_out_leaves_what_was_learned_before() -> None:
    first, correction, back = (
        example(7, "fraud", label_position=LabelPosition(0, 1)),
        example(7, "genuine", label_position=LabelPosition(0, 2), replaces=LabelValue.FRAUD),
        example(7, "fraud", label_position=LabelPosition(0, 3), replaces=LabelValue.GENUINE),
    )
    learner = Learner()
    learner.learn(first, 0)
    before = state(learner)
    learner.skip(correction, 1)
    assert learner.learn(back, 2) == "repeated"
    assert state(learner) == before
    forgetful = Learner()
    forgetful.remember(correction, 1, left_out=True)  # the first label lies too far back to be remembered
    assert forgetful.learn(back, 2) == "repeated"
