"""What the labelling agent does with slices that wait, its archive an embedded one."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from agents.labelling import LabelTransactions
from fraudstream.adapters.sqlite_archive import SqliteArchive
from fraudstream.app import AgentApp
from fraudstream.context import WorkerContext
from fraudstream.core.codec import decode_training_example
from fraudstream.core.messages import Label, LabelValue
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.slices import PartitionId, RecordSlice
from fraudstream.delivery.work import Work
from fraudstream.ports import Archived
from fraudstream.settings import Settings
from tables.waiting_labels import WaitingLabels
from tests.contract.test_archive import classification, encoded, label


class CountingArchive(SqliteArchive):
    """Remembers how many labels each look-up was for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.look_ups: list[int] = []

    async def find(self, labels: Any) -> list[list[Archived]]:
        self.look_ups.append(len(labels))
        return await super().find(labels)


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[CountingArchive]:
    """An archive of ten transactions, t0 to t9."""
    made = CountingArchive(f"sqlite:///{tmp_path}/archive.db")
    await made.open()
    await made.store(encoded(*map(classification, range(10))))
    yield made
    await made.close()


@pytest.fixture
def agent(archive: CountingArchive) -> LabelTransactions:
    context = WorkerContext(Settings())
    context.__dict__["archive"] = archive
    waiting = WaitingLabels(0)
    table = SimpleNamespace(of=lambda _partition: waiting)
    app = SimpleNamespace(context=context)
    return LabelTransactions(cast(AgentApp, app), cast(Any, table), cast(Lane, None))


def labels_of(first: int, *labels: Label) -> RecordSlice:
    """Return a slice of labels that starts at an offset of partition 0."""
    records = [
        SimpleNamespace(
            offset=offset,
            value=msgspec.json.encode(one),
            key=None,
            timestamp=0,
            timestamp_type=0,
            headers=(),
        )
        for offset, one in enumerate(labels, first)
    ]
    return RecordSlice(PartitionId("labels", 0), cast(Any, records))


async def begin(work: Work) -> list[tuple[int, LabelValue]]:
    """Do what precedes publication; return offset and label of what is published."""
    assert work.before is not None
    await work.before()
    return [(one.source_offset, decode_training_example(one.value).label) for one in work.outputs]


async def test_slices_that_wait_are_looked_up_together_and_in_order(
    agent: LabelTransactions, archive: CountingArchive
) -> None:
    first = agent.judge(labels_of(0, label(transaction_id="t0"), label(transaction_id="t1")))
    second = agent.judge(labels_of(2, label(transaction_id="t2")))
    third = agent.judge(labels_of(3, label(transaction_id="t0", value=LabelValue.GENUINE)))

    assert second.is_plain
    assert third.is_plain
    assert await begin(first) == [
        (0, LabelValue.FRAUD),
        (1, LabelValue.FRAUD),
        (2, LabelValue.FRAUD),
        (3, LabelValue.GENUINE),
    ]
    assert archive.look_ups == [4]


async def test_no_slice_joins_a_look_up_that_has_begun(
    agent: LabelTransactions, archive: CountingArchive
) -> None:
    first = agent.judge(labels_of(0, label(transaction_id="t0")))
    await begin(first)
    second = agent.judge(labels_of(1, label(transaction_id="t1")))

    assert await begin(second) == [(1, LabelValue.FRAUD)]
    assert archive.look_ups == [1, 1]


async def test_after_a_take_over_labels_are_looked_up_anew(
    agent: LabelTransactions, archive: CountingArchive
) -> None:
    agent.judge(labels_of(0, label(transaction_id="t0")))
    await agent.take_over([0])
    again = agent.judge(labels_of(0, label(transaction_id="t0")))

    assert await begin(again) == [(0, LabelValue.FRAUD)]
    assert archive.look_ups == [1]
