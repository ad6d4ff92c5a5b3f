"""``fraudstream simulate``: a made-up world, to the topics or to a file."""

import asyncio
import itertools
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click

from fraudstream.commands.context import pass_settings
from fraudstream.commands.replay_sending import open_sender
from fraudstream.commands.simulation_sending import WorldSender
from fraudstream.errors import InvalidInput
from fraudstream.settings import Settings
from fraudstream.simulation.config import WorldConfig
from fraudstream.simulation.events import Event, moment
from fraudstream.simulation.files import labels_path, write_csv, write_events
from fraudstream.simulation.pace import Pace
from fraudstream.simulation.presets import WORLDS, demo_world, world_config
from fraudstream.simulation.world import World
from fraudstream.topics import Topics

DAY_SECONDS = 86_400.0

DEFAULT_RATE = 100.0
"""Transactions a second when nothing else is asked for: lively to look at, nothing for the machine."""


@click.command()
@click.option(
    "--world",
    "name",
    type=click.Choice(["demo", *WORLDS]),
    default="demo",
    show_default=True,
    help="Which world: see docs/simulation.md.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, metavar="N", help="Its seed.")
@click.option("--cards", type=click.IntRange(1), metavar="N", help="Cards of worlds A to D (default 4000).")
@click.option(
    "--rate",
    type=click.FloatRange(0, 20_000, min_open=True),
    metavar="N",
    help=f"Transactions a second on average, whatever speed-up that takes (default {DEFAULT_RATE:g}).",
)
@click.option(
    "--speedup",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Seconds of event time a second, instead of a rate.",
)
@click.option(
    "--days", type=click.FloatRange(0, min_open=True), metavar="N", help="End after N days of event time."
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), metavar="N", help="End after N seconds.")
@click.option(
    "--broken",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Broken messages for each transaction.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write FILE.csv or FILE.jsonl (also .gz) instead of sending; needs --days.",
)
@pass_settings
def simulate(  # noqa: PLR0913, PLR0917 - one parameter an option
    settings: Settings,
    name: str,
    seed: int,
    cards: int | None,
    rate: float | None,
    speedup: float | None,
    days: float | None,
    seconds: float | None,
    broken: float,
    out: Path | None,
) -> int:
    """Send transactions and labels of a seeded, made-up world.

    Endless unless --days or --seconds is given; Ctrl-C ends it. Labels come late in event time, some never.
    The same seed gives the same world.
    """
    if out is not None:
        if days is None or seconds is not None or broken:
            msg = "--out needs --days, and takes neither --seconds nor --broken"
            raise InvalidInput(msg)
        click.echo(write_world(world_config(name, seed, cards), days, out))
        return 0
    if rate is not None and speedup is not None:
        msg = "--rate and --speedup each set the pace: give one of them"
        raise InvalidInput(msg)
    config = world_config(name, seed, cards)
    if name == "demo" and rate is not None:
        config = demo_world(seed, max(rate, 1.0))
    if speedup is None:
        speedup = (rate or DEFAULT_RATE) * DAY_SECONDS / config.payments_per_day
    return asyncio.run(_send(settings, config, speedup, days, seconds, broken))


def first_days(world: World, days: float) -> Iterator[Event]:
    """Yield a world's events before so many days are over."""
    end = world.config.start + timedelta(days=days)
    return itertools.takewhile(lambda event: moment(event) < end, world.events())


def write_world(config: WorldConfig, days: float, path: Path) -> str:
    """Write the first days of a world in the form the file's name asks for, and tell what was written.

    Raises
    ------
    InvalidInput
        The name ends in neither ``.csv`` nor ``.jsonl`` (nor those with ``.gz``), a CSV was asked for a
        broken number of days, or the file cannot be written.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "csv":
        if days != int(days):
            msg = f"a CSV holds whole days, got {days:g}"
            raise InvalidInput(msg)
        return f"{write_csv(World(config), int(days), path):,} transactions in {path}"
    if kind == "jsonl":
        transactions, labels = write_events(first_days(World(config), days), path)
        return f"{transactions:,} transactions in {path}, {labels:,} labels in {labels_path(path)}"
    msg = f"{path}: expected a name ending in .csv, .jsonl, .csv.gz or .jsonl.gz"
    raise InvalidInput(msg)


async def _send(  # noqa: PLR0913, PLR0917
    settings: Settings,
    config: WorldConfig,
    speedup: float,
    days: float | None,
    seconds: float | None,
    broken: float,
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    world = World(config)
    events = world.events() if days is None else first_days(world, days)
    sender = await open_sender(settings, paced=True)
    try:
        sending = WorldSender(
            sender, Topics(settings), Pace(events, config.start, speedup), broken, config.seed
        )
        click.echo(f"event time runs {speedup:,.0f} times as fast as the clock; Ctrl-C ends", err=True)
        await sending.run(stop, seconds)
    finally:
        await sender.close()
    told = f"sent {sending.transactions:,} transactions and {sending.labels:,} labels"
    click.echo(told + (f", and {sending.broken:,} broken messages" if sending.broken else ""))
    return 0
