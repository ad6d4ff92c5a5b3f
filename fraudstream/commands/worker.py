"""``fraudstream worker``: one process of a role, or a supervisor of several."""

import asyncio

import click

from fraudstream.commands.context import pass_settings
from fraudstream.commands.supervisor import Supervisor, plan
from fraudstream.errors import InvalidInput
from fraudstream.settings import Role, Settings

_COUNT = click.IntRange(0, 256)


@click.command()
@click.option("--scoring", type=_COUNT, metavar="N", help="Scoring processes (default 1).")
@click.option(
    "--sinks", type=_COUNT, metavar="N", help="Processes that archive, count and alert (default 1)."
)
@click.option(
    "--learning", type=_COUNT, metavar="N", help="Learning processes (default 1; one at a time learns)."
)
@click.option(
    "--challenging",
    type=_COUNT,
    metavar="N",
    help="Processes for challengers (default 1 if any are declared; one at a time works).",
)
@click.option(
    "--grace",
    type=click.FloatRange(0.1, 3600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long processes may take to stop before they are killed.",
)
@pass_settings
def worker(  # noqa: PLR0913 - one parameter for each option
    settings: Settings,
    *,
    scoring: int | None,
    sinks: int | None,
    learning: int | None,
    challenging: int | None,
    grace: float,
) -> int:
    """Run worker processes: scoring, sinks, learning, and challenging where challengers are declared.

    Without counts and with FRAUDSTREAM_ROLE set, runs that one role in this process. Otherwise starts a
    process for each, restarts the ones that crash, and stops all of them when it is stopped itself.
    """
    asked = {
        Role.SCORING: scoring,
        Role.SINKS: sinks,
        Role.LEARNING: learning,
        Role.CHALLENGING: challenging,
    }
    if settings.role is not None and all(count is None for count in asked.values()):
        from fraudstream.app import run_worker  # noqa: PLC0415 - Faust takes half a second to import

        return run_worker(settings.role, settings)
    usual = {role: 1 for role in Role} | {Role.CHALLENGING: int(settings.challengers is not None)}
    counts = {role: usual[role] if count is None else count for role, count in asked.items()}
    if not any(counts.values()):
        msg = "nothing to run: every count is 0"
        raise InvalidInput(msg)
    return asyncio.run(Supervisor(plan(counts), grace_seconds=grace).run())
