"""Runs the whole system in one command: broker, stores, workers, simulated world, and what watches them."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from fraudstream.commands.demo_observer import StoresObserver, TopicsObserver
from fraudstream.commands.demo_state import DemoState
from fraudstream.commands.demo_workers import DemoWorkers
from fraudstream.commands.replay_sending import open_sender
from fraudstream.commands.simulation_sending import WorldSender
from fraudstream.embedded.cluster import EmbeddedCluster
from fraudstream.errors import OperatorError
from fraudstream.settings import Settings
from fraudstream.simulation.events import SimulatedTransaction
from fraudstream.simulation.pace import Pace
from fraudstream.simulation.presets import DEMO_SPEEDUP, demo_world
from fraudstream.simulation.world import World
from fraudstream.topics import Topics

UNDER_WAY_MAX = 8_000
"""Messages sent and not archived yet, at most.

The embedded broker keeps about 5 MB of each partition, some 4,000 classifications; over four partitions of
uneven share, more than this could be overwritten before it is read.
"""

LABELS_UNDER_WAY_MAX = 5_000
"""Labels sent and not learned yet, at most: the one partition of their examples holds some 7,000."""

SETTLE_SECONDS = 60.0
"""How long the end may wait without any progress before it gives up and says what is missing."""

LEARNED_SECONDS = 15.0
"""How long the end waits for the last labels to be learned; the number is shown, nothing else rests on it."""

REFRESH_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What was asked for. ``seconds`` None runs until stopped; ``broken_share`` is per transaction."""

    seconds: float | None
    rate: float
    seed: int
    broken_share: float


class View(Protocol):
    """Shows a demo to a person."""

    def stage(self, text: str) -> None:
        """Tell what is being done, at once."""

    def refresh(self, state: DemoState) -> None:
        """Show the numbers as they are."""


class NotDrained(OperatorError):
    """The end of the flow did not agree with its beginning in time."""


async def run_demo(
    options: DemoOptions, view: View, state: DemoState, stop: asyncio.Event, abandon: asyncio.Event
) -> None:
    """Run a demo from start to end; ``state`` holds its numbers, also after an error.

    ``stop`` ends it early but in order: sending stops, everything under way is waited for. ``abandon`` does
    not wait. Whatever happens, no process and no file is left behind; a kill leaves no process either, only
    the temporary folder.

    Raises
    ------
    WorkersFailed
        The workers ended by themselves.
    NotDrained
        Something that was sent did not come out again.
    """
    with TemporaryDirectory(prefix="fraudstream-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        archive, counts = folder / "archive.db", folder / "counts.db"
        own = {
            "FRAUDSTREAM_MONGO_URL": f"sqlite:///{archive}",
            "FRAUDSTREAM_MARIADB_URL": f"sqlite:///{counts}",
            "FRAUDSTREAM_DATA_DIR": str(folder),
            "FRAUDSTREAM_REVIEW_BY": "threshold",  # a demo lasts minutes, and a budget is one of days
            # Shorter than in production: five minutes of event time pass here in a sixth of a second.
            "FRAUDSTREAM_FLUSH_INTERVAL_SECONDS": "1",
            "FRAUDSTREAM_KAFKA_CHECK_CRCS": "false",
            "FRAUDSTREAM_LOG_LEVEL": "warning",
            "FRAUDSTREAM_LOG_FORMAT": "text",
        }
        view.stage("starting a broker inside this command …")
        async with _cluster(Topics(Settings.load(own)).partitions()) as kafka_url:
            own["FRAUDSTREAM_KAFKA_URL"] = kafka_url
            settings = Settings.load(own)
            workers = DemoWorkers(_environ(own), folder / "workers.log")
            view.stage("starting workers: scoring, sinks, learning …")
            await workers.start()
            try:
                stores = StoresObserver(archive, counts, state)
                observer = TopicsObserver(settings, Topics(settings), state)
                flow = _flow(options, settings, view, state, stores, stop)
                await _first_of(
                    flow, workers.watch(), observer.run(), stores.run(), _refresh(view, state), abandon.wait()
                )
                view.stage("stopping the workers …")
            finally:
                await workers.stop()
    view.refresh(state)


async def _flow(  # noqa: PLR0913, PLR0917
    options: DemoOptions,
    settings: Settings,
    view: View,
    state: DemoState,
    stores: StoresObserver,
    stop: asyncio.Event,
) -> None:
    """Send the world until the end is reached, then wait until all of it has come out."""
    config = demo_world(options.seed, options.rate)
    sender = await open_sender(settings, paced=True)
    try:
        pace = Pace(World(config).events(), config.start, DEMO_SPEEDUP)
        sending = WorldSender(sender, Topics(settings), pace, options.broken_share, options.seed)

        def note(event: SimulatedTransaction) -> None:
            state.truth[event.transaction.transaction_id] = event.truth

        def count() -> None:
            state.sent, state.broken, state.labels_sent = sending.sent, sending.broken, sending.labels
            state.world_clock = pace.clock

        def may_send() -> bool:
            stored = sending.sent - state.archived - state.dead_lettered < UNDER_WAY_MAX
            return stored and state.labels_under_way < LABELS_UNDER_WAY_MAX

        view.stage("sending transactions and labels; decisions follow when the workers are ready …")
        await sending.run(stop, options.seconds, may_send, note, count)
    finally:
        await sender.close()
    view.stage("sending has stopped; waiting until everything under way is stored and counted …")
    await _settle(state, stores)


async def _settle(state: DemoState, stores: StoresObserver) -> None:
    """Wait until the numbers agree; then a little for the last labels."""
    last, since = state.progress, time.monotonic()
    while not state.drained:
        if state.progress != last:
            last, since = state.progress, time.monotonic()
        elif time.monotonic() - since > SETTLE_SECONDS:
            msg = (
                f"sent {state.sent}, but classified {state.classified}, dead letters {state.dead_lettered}, "
                f"archived {state.archived}, counted {state.counted}"
            )
            raise NotDrained(msg)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(stores.ask)
    until = time.monotonic() + LEARNED_SECONDS
    while state.labels_under_way > 0 and time.monotonic() < until:  # noqa: ASYNC110 - topics are polled
        await asyncio.sleep(0.1)


def _environ(own: dict[str, str]) -> dict[str, str]:
    """Return this process's environment with the demo's settings in place of any others of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FRAUDSTREAM_")}
    return kept | own


@contextlib.asynccontextmanager
async def _cluster(partitions: dict[str, int]) -> AsyncIterator[str]:
    cluster = EmbeddedCluster(partitions)
    try:
        yield await asyncio.to_thread(cluster.start)
    finally:
        await asyncio.to_thread(cluster.stop)


async def _refresh(view: View, state: DemoState) -> None:
    told = False
    while True:
        if state.first_decision_seconds is not None and not told:
            told = True
            view.stage(f"first decisions after {state.first_decision_seconds:.1f} s; Ctrl-C ends")
        state.tick()
        view.refresh(state)
        await asyncio.sleep(REFRESH_SECONDS)


async def _first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Run all until the first one ends, then cancel the others; raise what the first one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
