"""What a lane does early, what it does together and what in order, and when it holds a partition back."""

import asyncio
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from fraudstream.delivery import pending
from fraudstream.delivery.backlog import HIGH, LOW, Backlog
from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.fencing import FencedProducers
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.partition import Route
from fraudstream.delivery.pending import KEEP_RECORDS, KEEP_SECONDS, Pending
from fraudstream.delivery.records import OutRecord
from fraudstream.delivery.slices import PartitionId, RecordSlice
from fraudstream.delivery.work import Work
from fraudstream.errors import StoreUnavailable
from fraudstream.metrics import Metrics

AWAY = StoreUnavailable("mongo", "away")


def lane_of(
    *partitions: int, producers: object = None, output: str | None = None, table: object = None
) -> Lane:
    """Return a lane, the owner of these partitions."""
    made = Lane(
        Route(
            app=cast(Any, SimpleNamespace(consumer_generation_id=1)),
            agent="storing",
            source="classifications",
            output=output,
            aligned=False,
            table=cast(Any, table),
            producers=cast(FencedProducers, producers),
            epoch=cast(EpochGuard, SimpleNamespace()),
            metrics=Metrics(CollectorRegistry()),
        )
    )
    made.owned = set(partitions)
    return made


class Store:
    """Remembers what was begun and done; keeps each write waiting until it is let through."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    def write(self, name: str) -> Work:
        gate = self.gates[name] = asyncio.Event()

        async def early() -> None:
            self.events.append(f"begin {name}")
            await gate.wait()

        return Work(early=early, done=lambda: self.events.append(f"done {name}"))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_early_work_of_a_partition_runs_side_by_side_but_is_done_in_order() -> None:
    lane, store = lane_of(0), Store()
    lane.put(0, store.write("first"))
    lane.put(0, store.write("second"))
    await settle()
    assert store.events == ["begin first", "begin second"]
    store.gates["second"].set()
    await settle()
    assert store.events == ["begin first", "begin second"], "nothing is done before what came first"
    store.gates["first"].set()
    await settle()
    assert store.events[2:] == ["done first", "done second"]


async def test_early_work_is_tried_again_until_the_store_answers() -> None:
    lane, tries, done = lane_of(0), [], asyncio.Event()

    async def early() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise AWAY

    lane.put(0, Work(early=early, done=done.set))
    await asyncio.wait_for(done.wait(), 5)
    assert len(tries) == 2


async def test_work_that_is_let_go_is_not_done() -> None:
    lane, done = lane_of(0), []

    async def early() -> None:
        raise AWAY

    lane.put(0, Work(early=early, done=lambda: done.append(1)))
    lane.put(0, Work(early=early, done=lambda: done.append(2)))
    await settle()
    lane.let_go()
    await asyncio.sleep(0.05)
    assert lane.backlog.pieces() == 0
    assert done == []


async def test_what_follows_work_that_is_let_go_is_let_go_too() -> None:
    lane, done = lane_of(0), list[int]()

    async def away() -> None:
        raise AWAY

    async def stored() -> None:
        pass

    event = Event()
    lane.put(0, Work(early=away, done=lambda: done.append(1)), event=cast(Any, event))
    lane.put(0, Work(early=stored, done=lambda: done.append(2)), event=cast(Any, Event()))
    lane.put(0, Work(done=lambda: done.append(3)), event=cast(Any, Event()))
    await settle()
    lane.let_go()
    await asyncio.sleep(0.05)
    assert lane.backlog.pieces() == 0
    assert (done, event.value.processed) == ([], False)


async def test_early_work_that_waits_its_turn_at_a_store_keeps_no_rebalance_waiting() -> None:
    lane = lane_of(0)
    lane.put(0, Work(early=asyncio.Event().wait))  # type: ignore[arg-type] # what it returns is not read
    await settle()
    lane.let_go()
    await asyncio.sleep(0.05)
    assert lane.backlog.pieces() == 0


class Event:
    """A slice as Faust delivers it."""

    def __init__(self) -> None:
        record = SimpleNamespace(offset=0, timestamp=0, timestamp_type=0)
        self.value = RecordSlice(PartitionId("labels", 0), cast(Any, [record]))
        self.message = SimpleNamespace(generation_id=1)
        self.acknowledged = False

    def ack(self) -> None:
        self.acknowledged = True


class Wire:
    """Remembers the offsets that each request carries; lets one request through at a time."""

    def __init__(self) -> None:
        self.requests: list[list[int]] = []
        self.open = asyncio.Event()

    async def send(self, _partition: int, _topic: str, records: list[OutRecord], **_: object) -> None:
        self.requests.append([record.source_offset for record in records])
        await self.open.wait()


def publishing(offset: int, done: list[int]) -> Work:
    """Return work of one record that nothing has to precede."""
    return Work(outputs=[OutRecord(offset, b"card", b"{}", 0)], done=lambda: done.append(offset))


async def test_what_waits_behind_a_request_shares_the_next_one() -> None:
    wire, done = Wire(), list[int]()
    lane = lane_of(0, producers=wire, output="classifications")
    lane.put(0, publishing(0, done))
    await settle()
    for offset in range(1, 5):
        lane.put(0, publishing(offset, done))
    await settle()
    assert (wire.requests, done) == ([[0]], [])
    wire.open.set()
    await settle()
    assert wire.requests == [[0], [1, 2, 3, 4]]
    assert done == [0, 1, 2, 3, 4]
    assert lane.backlog.pieces() == 0


async def test_work_that_looks_something_up_first_is_done_by_itself_and_in_its_place() -> None:
    wire, done = Wire(), list[int]()
    wire.open.set()
    lane = lane_of(0, producers=wire, output="classifications")

    async def look_up() -> None:
        done.append(-1)

    for offset in range(5):
        work = publishing(offset, done)
        if offset == 2:
            work.before = look_up
        lane.put(0, work)
    await settle()
    assert wire.requests == [[0, 1], [2], [3, 4]]
    assert done == [0, 1, -1, 2, 3, 4]


class Changelog:
    """Plays the table: remembers what each write holds; lets writes through once it is open."""

    def __init__(self) -> None:
        self.writes: list[list[tuple[bytes, bytes | None]]] = []
        self.open = asyncio.Event()

    async def write(self, _partition: int, changes: list[tuple[bytes, bytes | None]], _by: object) -> None:
        self.writes.append(changes)
        await self.open.wait()


def scored(offset: int, done: list[int]) -> Work:
    """Return work of one record that changes the state of its card and what is common to all."""
    work = publishing(offset, done)
    work.changes = [(b"card-%d" % (offset % 2), b"%d" % offset), (b"all", b"%d" % offset)]
    return work


async def until(reached: Callable[[], object]) -> None:
    deadline = asyncio.get_running_loop().time() + 5
    while not reached():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.005)


async def test_a_publication_waits_for_no_state_and_what_is_published_is_done_with_its_state() -> None:
    wire, log, done = Wire(), Changelog(), list[int]()
    wire.open.set()
    lane = lane_of(0, producers=wire, output="classifications", table=log)
    lane.put(0, scored(0, done))
    await until(lambda: log.writes)
    told: list[int] = []
    for offset in (1, 2, 3):
        work = scored(offset, done)
        work.published = partial(told.append, offset)
        lane.put(0, work)
        await settle()
    assert wire.requests == [[0], [1], [2], [3]]
    assert told == [1, 2, 3]
    assert (len(log.writes), done) == (1, []), "the first state is on its way still"
    assert lane.backlog.pieces() == 4
    log.open.set()
    await until(lambda: len(done) == 4)
    assert done == [0, 1, 2, 3]
    assert log.writes[1:] == [[(b"card-0", b"2"), (b"card-1", b"3"), (b"all", b"3")]]
    assert lane.backlog.pieces() == 0


async def test_state_of_many_records_waits_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "KEEP_SECONDS", 3600.0)
    wire, log, done = Wire(), Changelog(), list[int]()
    wire.open.set()
    log.open.set()
    lane = lane_of(0, producers=wire, output="classifications", table=log)
    for offset in range(KEEP_RECORDS - 1):
        lane.put(0, scored(offset, done), event=cast(Any, Event()))
    await until(lambda: len(wire.requests) > 1)
    await settle()
    assert log.writes == []
    lane.put(0, scored(KEEP_RECORDS, done), event=cast(Any, Event()))
    await until(lambda: not lane.backlog.pieces())
    assert len(done) == KEEP_RECORDS


async def test_work_with_a_step_before_it_waits_for_the_state_of_what_precedes_it() -> None:
    wire, log, done = Wire(), Changelog(), list[int]()
    wire.open.set()
    lane = lane_of(0, producers=wire, output="classifications", table=log)

    async def flush() -> None:
        done.append(-1)

    lane.put(0, scored(0, done))
    lane.put(0, Work(before=flush))
    await until(lambda: log.writes)
    await settle()
    assert done == []
    log.open.set()
    await until(lambda: len(done) == 2)
    assert done == [0, -1]


async def test_state_does_not_wait_for_more_when_a_partition_may_move() -> None:
    wire, log, done = Wire(), Changelog(), list[int]()
    wire.open.set()
    log.open.set()
    lane = lane_of(0, producers=wire, output="classifications", table=log)
    lane.put(0, scored(0, done))
    await settle()
    assert log.writes == []
    lane.let_go()
    await settle()
    lane.put(0, scored(1, done))
    await settle()
    assert done == [0, 1]


async def test_published_work_of_a_partition_that_was_lost_is_not_done() -> None:
    wire, log, done = Wire(), Changelog(), list[int]()
    wire.open.set()
    log.open.set()
    lane, event = lane_of(0, producers=wire, output="classifications", table=log), Event()
    lane.put(0, scored(0, done), event=cast(Any, event))
    await settle()
    lane.route.app.consumer_generation_id += 1
    await until(lambda: not lane.backlog.pieces())
    assert (wire.requests, log.writes, done, event.value.processed) == ([[0]], [], [], False)


def test_changes_of_several_slices_are_rows_then_their_sum_then_deletions() -> None:
    # A window's row must never enter the changelog behind the row that says it was counted, nor its deletion
    # before the row that says it is closed: a crash may keep any first part.
    pieces: list[list[tuple[bytes, bytes | None]]] = [
        [(b"window 1", b"1"), (b"partition", b"1")],
        [(b"window 2", b"2"), (b"partition", b"2"), (b"window 1", None)],
        [(b"window 2", b"3"), (b"window 3", b"3"), (b"partition", b"3")],
    ]
    first, *later = [Pending([], Work(changes=changes), None, 0.0, 1, [], []) for changes in pieces]
    for piece in later:
        first.join(piece)
    assert first.changes() == [
        (b"window 2", b"3"),
        (b"window 3", b"3"),
        (b"partition", b"3"),
        (b"window 1", None),
    ]


class Fetching:
    """Plays the consumer: remembers what is held."""

    def __init__(self) -> None:
        self.held: list[int] = []

    def backlog(self) -> Backlog:
        metrics = Metrics(CollectorRegistry())
        return Backlog("storing", metrics, hold=self.held.append, release=self.held.remove)


def test_a_partition_is_held_by_records_in_hand_however_small_their_slices() -> None:
    fetching = Fetching()
    backlog = fetching.backlog()
    for _ in range(HIGH - 1):
        backlog.add(0, 1)
    assert fetching.held == []
    backlog.add(0, 1)
    backlog.add(1, 1)
    assert fetching.held == [0]
    for _ in range(HIGH - LOW - 1):
        backlog.end(0, 1)
    assert fetching.held == [0]
    backlog.end(0, 1)
    assert fetching.held == []


def test_work_of_a_timer_holds_nothing_back() -> None:
    fetching = Fetching()
    backlog = fetching.backlog()
    backlog.add(0, HIGH - 1)
    for _ in range(10):
        backlog.add(0, 0)
    assert fetching.held == []


def test_what_is_forgotten_at_a_rebalance_is_in_hand_no_more() -> None:
    fetching = Fetching()
    backlog = fetching.backlog()
    backlog.add(0, 7)
    assert backlog.without_work([0, 1]) == {1}
    backlog.clear()
    assert (backlog.pieces(), backlog.records(), backlog.without_work([0, 1])) == (0, 0, {0, 1})


async def test_the_oldest_work_in_hand_tells_its_age_until_its_state_is_written() -> None:
    wire, log = Wire(), Changelog()
    wire.open.set()
    lane = lane_of(0, producers=wire, output="classifications", table=log)
    assert lane.backlog.oldest_seconds() == 0.0
    lane.put(0, scored(0, []))
    await until(lambda: log.writes)
    lane.put(0, scored(1, []))
    await settle()
    assert lane.backlog.oldest_seconds() >= KEEP_SECONDS / 2
    log.open.set()
    await until(lambda: not lane.backlog.pieces())
    assert lane.backlog.oldest_seconds() == 0.0


async def test_work_for_a_partition_that_has_moved_is_left_to_its_owner() -> None:
    lane, done, event = lane_of(1), list[int](), Event()
    lane.put(0, Work(done=lambda: done.append(0)), event=cast(Any, event))
    await settle()
    assert (done, event.acknowledged, event.value.processed) == ([], True, False)
    assert lane.backlog.pieces() == 0
