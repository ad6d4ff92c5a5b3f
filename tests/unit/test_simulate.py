"""Pacing a world, and writing it to files."""

import asyncio
import itertools
from datetime import timedelta

import msgspec
import pytest

from fraudstream.commands.simulate import first_days, write_world
from fraudstream.commands.simulation_sending import WorldSender
from fraudstream.errors import InvalidInput
from fraudstream.settings import Settings
from fraudstream.simulation.events import moment
from fraudstream.simulation.pace import Pace
from fraudstream.simulation.presets import demo_world, world_config
from fraudstream.simulation.world import World
from fraudstream.topics import Topics

CONFIG = demo_world(rate=50)


class KeptRows:
    """A sender that keeps what it is given."""

    def __init__(self):
        self.rows = {}
        self.flushed = 0

    async def send(self, topic, rows, headers=()):
        self.rows.setdefault(topic, []).extend(rows)

    async def flush(self):
        self.flushed += 1

    async def close(self):
        pass


def paced(speedup=3_600, days=None, most=5_000):
    world = World(CONFIG)
    events = world.events() if days is None else first_days(world, days)
    return Pace(events, CONFIG.start, speedup, most)


def test_every_event_is_handed_out_once_in_order_whatever_the_steps():
    wanted = list(
        itertools.takewhile(
            lambda event: moment(event) <= CONFIG.start + timedelta(hours=3), World(CONFIG).events()
        )
    )
    for steps in ((3.0,), (1.0, 1.0, 1.0), (0.1,) * 30):
        pace = paced()
        assert list(itertools.chain.from_iterable(pace.advance(step) for step in steps)) == wanted


def test_the_clock_runs_as_much_faster_as_asked_for():
    pace = paced(speedup=1_800)
    pace.advance(2.0)
    assert pace.clock == CONFIG.start + timedelta(hours=1)


def test_a_backlog_is_handed_out_in_pieces_and_nothing_is_skipped():
    pieces, whole = paced(most=10), paced()
    wanted = whole.advance(2.0)
    got = pieces.advance(2.0)
    assert len(got) == 10
    while pieces.clock < whole.clock:
        got += pieces.advance((whole.clock - pieces.clock).total_seconds() / 3_600)
    assert got == wanted


def test_a_world_of_some_days_ends():
    pace = paced(days=0.01)
    pace.advance(3_600)
    assert pace.ended


def test_a_pace_that_stands_still_is_refused():
    with pytest.raises(InvalidInput, match="speed-up"):
        paced(speedup=0)


async def test_sending_counts_what_went_to_each_topic_and_flushes_at_the_end():
    sender, topics = KeptRows(), Topics(Settings())
    sending = WorldSender(sender, topics, paced(speedup=1e9, days=0.2), broken_share=0.1)
    await sending.run(asyncio.Event())
    broken = [row for row in sender.rows["transactions"] if b'"transaction_id":"t' not in row.value]
    assert sending.sent == len(sender.rows["transactions"]) == sending.transactions + sending.broken
    assert sending.broken == len(broken) > 10
    assert sending.labels == len(sender.rows["labels"]) > 0
    assert sender.flushed == 1


async def test_the_truth_is_told_before_a_transaction_leaves():
    sender, told = KeptRows(), []
    sending = WorldSender(sender, Topics(Settings()), paced(speedup=1e9, days=0.05))
    await sending.run(asyncio.Event(), about_to_send=told.append)
    assert [event.transaction.transaction_id for event in told] == [
        msgspec.json.decode(row.value)["transaction_id"] for row in sender.rows["transactions"]
    ]


async def test_the_worlds_clock_stands_still_while_nothing_may_be_sent():
    sender, pace = KeptRows(), paced(speedup=1e6)
    sending = WorldSender(sender, Topics(Settings()), pace)
    await sending.run(asyncio.Event(), seconds=0.3, may_send=lambda: False)
    assert pace.clock == CONFIG.start
    assert not sender.rows


async def test_being_told_to_stop_ends_an_endless_world():
    stop = asyncio.Event()
    stop.set()
    sending = WorldSender(KeptRows(), Topics(Settings()), paced())
    await sending.run(stop)
    assert sending.sent == 0


def test_the_first_days_hold_everything_before_their_end_and_nothing_after():
    events = list(first_days(World(CONFIG), 0.5))
    following = next(itertools.islice(World(CONFIG).events(), len(events), None))
    assert moment(events[-1]) < CONFIG.start + timedelta(hours=12) <= moment(following)


@pytest.mark.parametrize("name", ["w.csv", "w.csv.gz", "w.jsonl", "w.jsonl.gz"])
def test_the_name_of_a_file_says_what_is_written(tmp_path, name):
    told = write_world(world_config("A", cards=50), 2, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 0
    assert name in told


@pytest.mark.parametrize(("name", "days", "fault"), [("w.xls", 1, "ending in"), ("w.csv", 1.5, "whole days")])
def test_a_file_that_cannot_be_is_refused(tmp_path, name, days, fault):
    with pytest.raises(InvalidInput, match=fault):
        write_world(world_config("A", cards=50), days, tmp_path / name)


def test_the_demo_world_refuses_a_number_of_cards():
    with pytest.raises(InvalidInput, match="rate"):
        world_config("demo", cards=5)


@pytest.mark.parametrize(
    ("recipe", "sample"),
    [
        (lambda path: write_world(world_config("A", 1, 300), 60, path), "high-street.csv.gz"),
        (lambda path: write_world(world_config("demo"), 0.05, path), "demo.jsonl"),
    ],
)
def test_the_samples_are_what_their_recipe_makes(tmp_path, request, recipe, sample):
    recipe(tmp_path / sample)
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (request.config.rootpath / "data" / made.name).read_bytes(), made.name
