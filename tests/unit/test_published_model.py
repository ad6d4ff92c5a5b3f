"""What the learner publishes of a version, and what it refuses to publish, without a broker."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from fraudstream.context import WorkerContext
from fraudstream.core.code_version import code_version
from fraudstream.core.kept_model import HEAD, decode_kept
from fraudstream.core.learning import Learner
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.probes import ENOUGH_FRAUDS, ENOUGH_LABELS, FRAUD, GENUINE
from fraudstream.core.registry import (
    Entry,
    LeftOut,
    Promote,
    Refusal,
    Rollback,
    decode_standing,
)
from fraudstream.core.snapshot import decode_snapshot, encode_snapshot
from fraudstream.delivery.atomic import AtomicRecord
from fraudstream.errors import InvalidInput, StoreUnavailable
from fraudstream.rebuilding import NewState
from fraudstream.settings import Settings
from tables.published_model import MODEL, PublishedModel
from tables.serving_model import RISK_OFFSET_HEADER, STANDING_HEADER
from tests.memory_logs import MemoryPublisher
from tests.model_building import NOON, example


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


@pytest.fixture
def published(publisher: MemoryPublisher) -> PublishedModel:
    settings = Settings.load(
        {"FRAUDSTREAM_KEEP_MODEL_EXAMPLES": "3", "FRAUDSTREAM_KEEP_MODEL_INTERVAL": "0s"}
    )
    model = PublishedModel(WorkerContext(settings), "a-test")
    model._publisher = publisher  # type: ignore[assignment]
    return model


def learn(learner: Learner, first: int, last: int) -> None:
    for offset in range(first, last):
        fraud = "fraud" if offset % 4 == 0 else "genuine"
        learner.learn(example(offset, fraud, terminal_id=f"m{offset}"), offset)


def command(version: int = 1) -> Rollback:
    return Rollback(id="c", by="ann", reason="because", sent_at=NOON, version=version)


async def test_every_version_has_an_entry_and_every_so_many_examples_one_is_kept_whole(
    published: PublishedModel, publisher: MemoryPublisher
) -> None:
    learner = Learner()
    kept = []
    for number in range(7):
        learn(learner, number, number + 1)
        await published.publish(learner)
        entry = publisher.entry()
        assert isinstance(entry, Entry)
        assert (entry.version, entry.parent, entry.training_offset) == (number + 1, number, number)
        assert bool(publisher.last("kept-models")) is entry.is_kept
        kept.append((entry.base, entry.kept_at))
    assert kept == [(0, -1), (0, -1), (3, 0), (3, 0), (3, 0), (6, 3), (6, 3)]


async def test_a_snapshot_names_the_last_risk_that_belongs_to_it_even_if_none_changed(
    published: PublishedModel, publisher: MemoryPublisher
) -> None:
    learner = Learner()
    learn(learner, 0, 2)
    await published.publish(learner)
    await published.publish(learner)
    named = [
        dict(record.headers)[RISK_OFFSET_HEADER]
        for sent in publisher.transactions
        for record in sent
        if record.topic == "model-snapshots"
    ]
    assert named == [b"1", b"1"]


async def test_a_rollback_brings_risks_to_the_old_state_in_its_own_transaction(
    published: PublishedModel, publisher: MemoryPublisher
) -> None:
    before, after = Learner(), Learner()
    learn(before, 0, 3)
    await published.publish(before)
    learn(after, 0, 3)
    before.learn(example(9, terminal_id="m1"), 9)  # published
    learn(before, 10, 12)
    await published.publish(before)
    before.learn(example(20, terminal_id="m2"), 20)  # changed since, not published
    left_out = (LeftOut(2, 20),)
    after.training_offset = 20
    await published.replace(before, NewState(after, left_out, 1), command(), 5)
    assert publisher.risks() == {"m1": False, "m2": False, "m10": True, "m11": True}
    entry = publisher.entry()
    assert isinstance(entry, Entry)
    assert (entry.version, entry.parent, entry.lineage, entry.base) == (3, 1, 3, 3)
    assert entry.command == command()
    told = publisher.handover()
    assert (told.id, told.command, told.serving, told.version) == ("c", "rollback", "standard", 3)
    assert (told.former, told.former_snapshot) == ("", b""), "it is the same model, at another state"
    assert publisher.last("kept-models")[-1].key == HEAD
    (model,) = publisher.last("model-snapshots")
    standing = decode_standing(dict(model.headers)[STANDING_HEADER])
    assert (standing.command_offset, standing.lineage, standing.left_out) == (5, 3, left_out)
    assert decode_snapshot(model.value or b"").learned == 3
    learn(after, 30, 31)
    await published.publish(after)
    assert publisher.risks() == {"m30": False}
    entry = publisher.entry()
    assert isinstance(entry, Entry)
    assert (entry.version, entry.parent, entry.lineage, entry.base) == (4, 3, 3, 3)


async def test_a_promotion_is_kept_whole_and_hands_the_former_model_over_in_its_own_transaction(
    published: PublishedModel, publisher: MemoryPublisher
) -> None:
    careful = ModelDesign("careful", alpha=0.1)
    learner, other = Learner(), Learner(design=careful)
    learn(learner, 0, 3)
    learn(other, 0, 3)
    await published.publish(learner)
    found = other.state(NOON)
    asked = Promote(
        id="p",
        by="ann",
        reason="better",
        sent_at=NOON,
        model="careful",
        training_offset=2,
        since=1,
        snapshot=encode_snapshot(found),
    )
    made = learner.with_model(found)
    await published.replace(learner, NewState(made, (), 1), asked, 5)
    told, entry = publisher.handover(), publisher.entry()
    assert (told.command, told.serving, told.former) == ("promote", "careful", "standard")
    assert (told.version, told.training_offset) == (2, 2)
    former = decode_snapshot(told.former_snapshot)
    assert (former.weights, former.design) == (learner.state(NOON).weights, ModelDesign())
    assert isinstance(entry, Entry)
    assert (entry.design, entry.base, entry.lineage, entry.is_kept) == ("careful", 2, 2, True)
    assert entry.command == msgspec.structs.replace(asked, snapshot=b""), "the state is in kept-models"
    kept = decode_kept((one.key, one.value) for one in publisher.last("kept-models"))
    (model,) = publisher.last("model-snapshots")
    assert (kept.snapshot.design, kept.snapshot) == (careful, decode_snapshot(model.value or b""))
    assert publisher.risks() == {}, "what labels tell of terminals stays"
    await published.refuse(asked, 6, "careful serves already", "careful")
    refusal = publisher.entry()
    assert isinstance(refusal, Refusal)
    assert isinstance(refusal.command, Promote)
    assert refusal.command.snapshot == b""


async def test_a_refused_command_is_answered_once_and_the_model_stays(
    published: PublishedModel, publisher: MemoryPublisher
) -> None:
    learner = Learner()
    learn(learner, 0, 2)
    await published.publish(learner)
    (model,) = publisher.last("model-snapshots")
    await published.refuse(command(7), 5, "there is none", "standard")
    refusal = publisher.entry()
    assert isinstance(refusal, Refusal)
    assert (refusal.version, refusal.reason) == (1, "there is none")
    told = publisher.handover()
    assert (told.id, told.command, told.serving) == ("c", "rollback", "standard")
    assert (told.refusal, told.former, told.former_snapshot) == ("there is none", "", b"")
    (again,) = publisher.last("model-snapshots")
    assert again.value == model.value
    assert decode_standing(dict(again.headers)[STANDING_HEADER]).command_offset == 5
    assert dict(again.headers)[RISK_OFFSET_HEADER] == dict(model.headers)[RISK_OFFSET_HEADER]


def turned_around() -> Learner:
    learner = Learner()
    learner.tables.labels, learner.tables.frauds = ENOUGH_LABELS, ENOUGH_FRAUDS
    for _ in range(9):
        for keys in GENUINE:
            learner.model.learn_keys(keys, True)
        for probes in FRAUD.values():
            for keys in probes:
                learner.model.learn_keys(keys, False)
    return learner


async def test_the_learner_does_not_publish_what_workers_would_refuse(
    published: PublishedModel, publisher: MemoryPublisher
) -> None:
    learner = turned_around()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="below everyday ones"):
            await published.publish(learner)
    assert publisher.transactions == []
    assert learner.version == 0
    assert not published._context.health.conditions[MODEL].holds
    assert published._context.metrics.snapshots_rejected._value.get() == 2
    sound = NewState(Learner(), (), 0)
    await published.replace(learner, sound, command(), 1)
    assert published._context.health.conditions[MODEL].holds


async def test_a_model_of_numbers_that_are_none_is_not_published(
    published: PublishedModel, publisher: MemoryPublisher
) -> None:
    learner = Learner()
    learn(learner, 0, 2)
    learner.model.weights[10] = float("nan")
    with pytest.raises(StoreUnavailable, match="not finite"):
        await published.publish(learner)
    assert publisher.transactions == []


async def test_a_command_that_leads_to_an_unsound_model_is_not_obeyed(
    published: PublishedModel, publisher: MemoryPublisher
) -> None:
    learner = Learner()
    learn(learner, 0, 2)
    await published.publish(learner)
    with pytest.raises(InvalidInput, match="below everyday ones"):
        await published.replace(learner, NewState(turned_around(), (), 0), command(), 1)
    assert len(publisher.transactions) == 1
    learn(learner, 2, 3)
    await published.publish(learner)
    entry = publisher.entry()
    assert isinstance(entry, Entry)
    assert (entry.version, entry.lineage) == (2, 0)


class LastSnapshot:
    """A reader of logs that hold one snapshot and no training examples."""

    def __init__(self, record: AtomicRecord) -> None:
        self._record = record

    async def last_record(self, topic: str, partition: int) -> AtomicRecord:
        return self._record

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[AtomicRecord]:
        for record in ():
            yield record


async def taken_over(
    published: PublishedModel, record: AtomicRecord, rows: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> Learner:
    async def risks() -> dict[str, object]:
        return rows

    monkeypatch.setattr(published, "_read_risks", risks)
    published._context.__dict__["log_reader"] = LastSnapshot(record)
    return await published.take_over()


async def test_what_another_program_has_learned_is_kept_whole_before_this_one_learns_on(
    published: PublishedModel, publisher: MemoryPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = Learner()
    learn(learner, 0, 2)
    rows: dict[str, object] = {name: risk.to_row() for name, risk in learner.risks.items()}
    published.standing = msgspec.structs.replace(published.standing, code="0.0.9+older")
    await published.publish(learner)
    (model,) = publisher.last("model-snapshots")
    assert publisher.last("kept-models") == []

    again = await taken_over(published, model, rows, monkeypatch)
    assert again.version == 1
    kept = decode_kept((record.key, record.value) for record in publisher.last("kept-models"))
    assert (kept.snapshot.version, kept.risks.keys()) == (1, rows.keys())
    (model,) = publisher.last("model-snapshots")
    standing = decode_standing(dict(model.headers)[STANDING_HEADER])
    assert (standing.base, standing.kept_at, standing.code) == (1, 0, code_version())
    learn(again, 2, 3)
    await published.publish(again)
    entry = publisher.entry()
    assert isinstance(entry, Entry)
    assert (entry.version, entry.base, entry.kept_at, entry.code) == (2, 1, 0, code_version())


async def test_a_learner_of_the_same_program_goes_on_without_publishing_anything(
    published: PublishedModel, publisher: MemoryPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.standing = msgspec.structs.replace(published.standing, code=code_version(), command_offset=8)
    learner = Learner()
    learn(learner, 0, 2)
    await published.publish(learner)
    (model,) = publisher.last("model-snapshots")
    again = await taken_over(published, model, {}, monkeypatch)
    assert (again.version, again.learned) == (1, 2)
    assert published.standing.command_offset == 8
    assert len(publisher.transactions) == 1


async def test_a_publication_stays_small(published: PublishedModel, publisher: MemoryPublisher) -> None:
    learner = Learner()
    learn(learner, 0, 3)
    await published.publish(learner)
    await published.publish(learner)
    sizes = {record.topic: len(record.value or b"") for record in publisher.transactions[-1]}
    assert sizes["model-registry"] < 400
    assert "kept-models" not in sizes
    assert msgspec.json.decode(publisher.last("model-registry")[0].value or b"")["kind"] == "published"
