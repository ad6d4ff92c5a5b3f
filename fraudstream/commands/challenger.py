"""``fraudstream challenger``: models that score silently, compared with the serving one, and who serves."""

import asyncio

import click
import msgspec

from fraudstream.commands.challenger_table import Standing, print_list, print_one, standings
from fraudstream.commands.context import pass_settings
from fraudstream.commands.model_sending import BY, REASON, WAIT, answered, asked
from fraudstream.connections import kafka_reading_options
from fraudstream.core.comparison import Guard
from fraudstream.core.contest_state import ContestState
from fraudstream.core.registry import Demote, Promote
from fraudstream.core.snapshot import decode_snapshot
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import InvalidInput
from fraudstream.settings import Settings
from fraudstream.topic_admin import kafka_admin, require_topics
from fraudstream.topics import Topics
from tables.challenger_states import StoredContest, read_stored

_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


@click.group()
def challenger() -> None:
    """Compare models that score silently with the serving one, and change the serving one."""


@challenger.command("list")
@_json
@pass_settings
def list_challengers(settings: Settings, *, as_json: bool) -> None:
    """List every challenger with its difference to the serving model.

    Negative log loss differences speak for a challenger. Intervals are 99 %, paired by day.
    """
    stored = _stored(settings)
    found = standings(stored, _guard(settings), settings.review_budget)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
    else:
        print_list(stored, found)


@challenger.command()
@click.argument("name")
@_json
@pass_settings
def show(settings: Settings, *, name: str, as_json: bool) -> None:
    """Show one challenger: every measure, what the guard says, and its days."""
    stored = _stored(settings)
    found = _named(standings(stored, _guard(settings), settings.review_budget), name)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
    else:
        print_one(stored, found, settings.review_budget)


@challenger.command()
@pass_settings
def guard(settings: Settings) -> None:
    """Say what the guard asks of each challenger, and what holds.

    It acts by itself only with FRAUDSTREAM_CHALLENGER_GUARD; who served before is judged like any other.
    """
    stored = _stored(settings)
    acts = (
        "promotes by itself"
        if settings.challenger_guard
        else "only tells (FRAUDSTREAM_CHALLENGER_GUARD is off)"
    )
    click.echo(f"The guard {acts}; {_guard(settings).days} days, margin {_guard(settings).margin:.1%}.")
    for one in standings(stored, _guard(settings), settings.review_budget):
        click.echo(f"{one.name}: {'has earned to serve' if one.verdict.better else 'not'}")
        if one.taken_back:
            click.echo("  taken back by a person: it does not take over by itself")
        for condition in one.verdict.conditions:
            click.echo(
                f"  {'holds    ' if condition.holds else 'holds not'}  {condition.name}: {condition.found}"
            )


@challenger.command()
@click.argument("name")
@REASON
@BY
@WAIT
@pass_settings
def promote(settings: Settings, *, name: str, reason: str, by: str | None, wait: float) -> None:
    """Let the learner go on with a challenger's weights and constants, as the next version.

    What served before stays beside it as a challenger; `demote` takes it back, and so does
    `fraudstream model rollback`.
    """
    _change(settings, _stored(settings), Promote, name, reason, by, wait)


@challenger.command()
@REASON
@BY
@WAIT
@pass_settings
def demote(settings: Settings, *, reason: str, by: str | None, wait: float) -> None:
    """Take back the model that served before, as it is by now; the one that serves becomes a challenger.

    The guard does not promote that one again by itself.
    """
    stored = _stored(settings)
    if stored.state is None or not stored.state.before:
        msg = "nothing to take back: no other model has served"
        raise InvalidInput(msg)
    _change(settings, stored, Demote, stored.state.before[-1], reason, by, wait)


def _guard(settings: Settings) -> Guard:
    return Guard(days=settings.challenger_days, margin=settings.challenger_margin)


def _named(found: list[Standing], name: str) -> Standing:
    for one in found:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in found) or "none"
    msg = f"there is no challenger {name!r}; there are: {known}"
    raise InvalidInput(msg)


def _change(  # noqa: PLR0913, PLR0917 - what is asked of whom
    settings: Settings,
    stored: StoredContest,
    kind: type[Promote | Demote],
    name: str,
    reason: str,
    by: str | None,
    wait: float,
) -> None:
    kept = stored.challengers.get(name)
    if kept is None:
        known = ", ".join(sorted(stored.challengers)) or "none"
        msg = f"there is no challenger {name!r}; there are: {known}"
        raise InvalidInput(msg)
    if kept.snapshot is None:
        raise InvalidInput(kept.refusal or f"challenger {name} cannot be served")
    if kept.behind:
        msg = f"challenger {name} has not learned every label yet; try again when it has"
        raise InvalidInput(msg)
    snapshot, state = decode_snapshot(kept.snapshot), stored.state or ContestState()
    command = kind(
        **asked(reason, by),
        model=name,
        training_offset=snapshot.training_offset,
        since=state.since,
        snapshot=kept.snapshot,
    )
    answer = answered(settings, command, wait)
    if answer is not None:
        click.echo(
            f"{name} serves from version {answer.version} on (training offset {answer.training_offset});"
            f" {state.serving} goes on beside it"
        )


def _stored(settings: Settings) -> StoredContest:
    async def read() -> StoredContest:
        topics = Topics(settings)
        async with kafka_admin(settings) as admin:
            await require_topics(admin, [topics.challenger_states], with_config=False)
        reader = LogReader(kafka_reading_options(settings))
        try:
            return await read_stored(reader, topics)
        finally:
            await reader.stop()

    return asyncio.run(read())
