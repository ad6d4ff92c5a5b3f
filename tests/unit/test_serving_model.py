"""The model a worker follows: weights and risks move together, and what is refused changes nothing."""

from typing import NamedTuple

import msgspec
import pytest

from fraudstream.context import WorkerContext
from fraudstream.core.learning import Learner
from fraudstream.core.look_tables import LookTables
from fraudstream.core.probes import ENOUGH_FRAUDS, ENOUGH_LABELS, FRAUD, GENUINE
from fraudstream.core.registry import Standing, encode_standing
from fraudstream.core.risk import EntityRisk
from fraudstream.core.snapshot import Snapshot, encode_snapshot
from fraudstream.settings import Settings
from tables.serving_model import NEWEST_MODEL, RISK_OFFSET_HEADER, STANDING_HEADER, FollowedModel
from tests.model_building import NOON


class Record(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@pytest.fixture
async def followed() -> FollowedModel:
    return FollowedModel(WorkerContext(Settings()))


def risk(offset: int, terminal_id: str, run: int | None) -> Record:
    value = None if run is None else msgspec.msgpack.encode(EntityRisk(fraud_run=run).to_row())
    return Record(offset, terminal_id.encode(), value)


def taught(version: int = 1, *, turned_around: bool = False) -> Snapshot:
    learner = Learner()
    learner.version = version - 1
    learner.tables = LookTables(labels=ENOUGH_LABELS, frauds=ENOUGH_FRAUDS)
    for _ in range(9):
        for keys in GENUINE:
            learner.model.learn_keys(keys, turned_around)
        for probes in FRAUD.values():
            for keys in probes:
                learner.model.learn_keys(keys, not turned_around)
    return learner.snapshot(NOON)


def record(snapshot: Snapshot, risk_offset: int = -1, lineage: int = 0) -> Record:
    headers = (
        (STANDING_HEADER, encode_standing(Standing(lineage=lineage))),
        (RISK_OFFSET_HEADER, str(risk_offset).encode()),
    )
    return Record(snapshot.version, b"serving", encode_snapshot(snapshot), headers)


def runs(followed: FollowedModel) -> dict[str, int]:
    return {name: found.fraud_run for name, found in followed.serving.risk.items()}


async def test_risks_enter_with_the_snapshot_they_were_published_with(followed: FollowedModel) -> None:
    followed.apply_risk(risk(0, "a", 1))
    assert runs(followed) == {}
    followed.apply_snapshot(record(taught(1), 0))
    assert (followed.serving.version, runs(followed)) == (1, {"a": 1})
    followed.apply_risk(risk(2, "a", 2))
    followed.apply_risk(risk(3, "b", 7))
    assert runs(followed) == {"a": 1}
    followed.apply_snapshot(record(taught(2), 3))
    assert (followed.serving.version, runs(followed)) == (2, {"a": 2, "b": 7})


async def test_a_snapshot_waits_for_its_last_risk(followed: FollowedModel) -> None:
    followed.apply_risk(risk(0, "a", 1))
    followed.apply_snapshot(record(taught(1), 2))
    assert (followed.serving.version, runs(followed)) == (0, {})
    followed.apply_risk(risk(2, "b", 7))
    assert (followed.serving.version, runs(followed)) == (1, {"a": 1, "b": 7})


async def test_risks_of_a_later_version_stay_out_until_it_is_there(followed: FollowedModel) -> None:
    for one in (risk(0, "a", 1), risk(1, "b", 2), risk(2, "a", 3)):
        followed.apply_risk(one)
    followed.apply_snapshot(record(taught(1), 1))
    assert runs(followed) == {"a": 1, "b": 2}
    followed.apply_snapshot(record(taught(2), 2))
    assert runs(followed) == {"a": 3, "b": 2}


async def test_a_rollback_takes_risks_away(followed: FollowedModel) -> None:
    followed.apply_risk(risk(0, "a", 1))
    followed.apply_snapshot(record(taught(1), 0))
    followed.apply_risk(risk(1, "a", None))
    followed.apply_snapshot(record(taught(2), 1, lineage=2))
    assert (followed.serving.version, runs(followed)) == (2, {})


async def test_a_snapshot_whose_last_risk_was_compacted_away_is_served_once_all_is_read(
    followed: FollowedModel,
) -> None:
    followed.apply_risk(risk(0, "a", 1))
    followed.apply_snapshot(record(taught(1), 5))
    assert followed.serving.version == 0
    followed.broadcast._on_caught_up()
    assert (followed.serving.version, runs(followed)) == (1, {"a": 1})


async def test_everything_delivered_again_after_a_reconnection_changes_nothing(
    followed: FollowedModel,
) -> None:
    records = [risk(0, "a", 1), risk(1, "a", 2)]
    for one in records:
        followed.apply_risk(one)
    followed.apply_snapshot(record(taught(1), 1))
    followed.apply_risk(records[0])
    assert runs(followed) == {"a": 2}


async def test_a_snapshot_that_fails_the_probes_is_refused_and_the_last_good_one_serves_on(
    followed: FollowedModel,
) -> None:
    followed.apply_snapshot(record(taught(1)))
    followed.apply_risk(risk(0, "a", 1))
    followed.apply_snapshot(record(taught(2, turned_around=True), 0))
    assert (followed.serving.version, runs(followed)) == (1, {})
    assert followed._context.metrics.snapshots_rejected._value.get() == 1
    condition = followed._context.health.conditions[NEWEST_MODEL]
    assert not condition.holds
    assert "below everyday ones" in condition.reason
    followed.apply_snapshot(record(taught(3), 0))
    assert (followed.serving.version, runs(followed)) == (3, {"a": 1})
    assert followed._context.health.conditions[NEWEST_MODEL].holds


async def test_bytes_that_are_no_snapshot_and_headers_that_are_no_standing_are_refused(
    followed: FollowedModel,
) -> None:
    good = record(taught(1))
    followed.apply_snapshot(good._replace(value=b"x" + (good.value or b"")))
    followed.apply_snapshot(good._replace(headers=((STANDING_HEADER, b"[]"),)))
    assert followed.serving.version == 0
    assert followed._context.metrics.snapshots_rejected._value.get() == 2


async def test_a_sudden_move_is_refused_within_a_lineage_and_served_after_a_rollback(
    followed: FollowedModel,
) -> None:
    followed.apply_snapshot(record(taught(1)))
    moved = msgspec.structs.replace(taught(2), intercept=-1.0)
    assert abs(moved.intercept - taught(1).intercept) > 3.0
    followed.apply_snapshot(record(moved))
    assert followed.serving.version == 1
    followed.apply_snapshot(record(moved, lineage=2))
    assert followed.serving.version == 2
