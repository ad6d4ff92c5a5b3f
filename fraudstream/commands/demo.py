"""``fraudstream demo``: the whole system in one command."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console

from fraudstream.commands.demo_run import DemoOptions, run_demo
from fraudstream.commands.demo_state import LATEST, DemoState
from fraudstream.commands.demo_view import LivePage, PlainLines, share_text
from fraudstream.errors import InvalidInput

BEGAN = time.monotonic()
"""When this module was imported: what a demo counts its seconds from. Python's own start is not in it."""

DEFAULT_RATE = 300.0
"""Transactions a second: a few per cent of what the machine can do, so that it stays usable beside it."""

DEFAULT_BROKEN_SHARE = 0.002
"""A broken message every second or two, so that dead letters show; far below the brake of the workers."""


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Stop sending after N seconds, and end when everything is through (default: until Ctrl-C).",
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 5_000),
    default=DEFAULT_RATE,
    show_default=True,
    metavar="N",
    help="Transactions a second, on average over a day of the world.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="Of the simulated world.",
)
@click.option(
    "--broken",
    type=click.FloatRange(0, 0.2),
    default=DEFAULT_BROKEN_SHARE,
    show_default=True,
    metavar="SHARE",
    help="Broken messages for each transaction.",
)
@click.option("--plain", is_flag=True, help="Lines instead of a live page; always so when not on a terminal.")
@click.option(
    "--json",
    "report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the final numbers to FILE.",
)
def demo(  # noqa: PLR0913, PLR0917 - one parameter an option
    seconds: float | None, rate: float, seed: int, broken: float, plain: bool, report: Path | None
) -> int:
    """Run the whole system here, with nothing else installed.

    Starts a broker inside this command, stores in a temporary folder, worker processes and a simulated world
    whose event time runs 1,800 times as fast, and shows what they do. Ctrl-C ends it in order; a second one
    at once. Uses no FRAUDSTREAM_ setting and leaves nothing behind.
    """
    if report is not None and not report.parent.is_dir():
        msg = f"{report}: there is no folder {report.parent}"
        raise InvalidInput(msg)
    state = DemoState(began=BEGAN)
    console = Console()
    view = PlainLines(sys.stdout) if plain or not console.is_terminal else LivePage(console)
    options = DemoOptions(seconds=seconds, rate=rate, seed=seed, broken_share=broken)
    with view:
        asyncio.run(_run(options, view, state))
    click.echo(closing_words(state))
    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(state.summary())) + b"\n")
    return 0


async def _run(options: DemoOptions, view: LivePage | PlainLines, state: DemoState) -> None:
    stop, abandon = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            abandon.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    await run_demo(options, view, state, stop, abandon)


def closing_words(state: DemoState) -> str:
    """Return the end of a demo in a few lines: whether nothing was lost, and how good the alerts were."""
    overall = state.quality()
    first = "none" if state.first_alert_seconds is None else f"after {state.first_alert_seconds:.1f} s"
    kept = "nothing lost, nothing doubled" if state.drained else "ended before everything was through"
    through = f"classified {state.classified:,}", f"dead letters {state.dead_lettered:,}"
    model = f"model version {state.model_version:,}, first alert {first}"
    return "\n".join(
        [
            f"sent {state.sent:,} = " + " + ".join(through)
            if state.drained
            else f"sent {state.sent:,}, " + ", ".join(through),
            f"archived {state.archived:,}, counted {state.counted:,} in {state.windows:,} windows: {kept}",
            f"labels learned {state.learned:,}, {model}",
            f"average precision {share_text(overall.average_precision)} over all that a model scored, "
            f"{share_text(state.latest_quality().average_precision)} over the latest {LATEST:,} of them",
        ]
    )
