"""``fraudstream challenger``: models that score silently, compared with the serving one, and who serves."""

import asyncio
import getpass
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click
import msgspec

from fraudstream.commands.challenger_table import Standing, print_list, print_one, standings
from fraudstream.commands.context import pass_settings
from fraudstream.connections import kafka_options, kafka_reading_options
from fraudstream.core.comparison import Guard
from fraudstream.core.model_commands import Handover, Promote, decode_handover, encode_command
from fraudstream.delivery.atomic import AtomicPublisher, AtomicRecord
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import InvalidInput, StoreUnavailable
from fraudstream.settings import Settings
from fraudstream.topic_admin import kafka_admin, require_topics
from fraudstream.topics import Topics
from tables.challenger_states import StoredContest, read_stored

ANSWER_SECONDS = 60.0
"""Longer than a learner takes to restart; a promotion that is not answered by then is obeyed later."""

_PAUSE_SECONDS = 0.2

T = TypeVar("T")

_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
_why = click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with the command.")


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
        for condition in one.verdict.conditions:
            click.echo(
                f"  {'holds    ' if condition.holds else 'holds not'}  {condition.name}: {condition.found}"
            )


@challenger.command()
@click.argument("name")
@_why
@pass_settings
def promote(settings: Settings, *, name: str, reason: str) -> None:
    """Let the learner go on with a challenger's weights and constants, as the next version.

    What served before stays beside it as a challenger; `demote` takes it back.
    """
    click.echo(_told(_promote(settings, _stored(settings), name, reason)))


@challenger.command()
@_why
@pass_settings
def demote(settings: Settings, *, reason: str) -> None:
    """Take back the model that served before; the one that serves now becomes a challenger."""
    stored = _stored(settings)
    if stored.state is None or not stored.state.before:
        msg = "nothing to take back: no other model has served"
        raise InvalidInput(msg)
    click.echo(_told(_promote(settings, stored, stored.state.before[-1], reason)))


def _guard(settings: Settings) -> Guard:
    return Guard(days=settings.challenger_days, margin=settings.challenger_margin)


def _named(found: list[Standing], name: str) -> Standing:
    for one in found:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in found) or "none"
    msg = f"there is no challenger {name!r}; there are: {known}"
    raise InvalidInput(msg)


def _promote(settings: Settings, stored: StoredContest, name: str, reason: str) -> Handover:
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
    command = Promote(
        id=f"promote-{name}-{uuid.uuid4().hex[:12]}",
        name=name,
        by=getpass.getuser(),
        reason=reason,
        sent_at=datetime.now(UTC),
        snapshot=kept.snapshot,
    )
    answer = _with_log(settings, lambda reader: _ask(settings, reader, command))
    if answer.refusal:
        raise InvalidInput(answer.refusal)
    return answer


def _told(answer: Handover) -> str:
    return (
        f"{answer.serving} serves from version {answer.version} on"
        f" (training offset {answer.training_offset}); {answer.former} goes on beside it"
    )


async def _ask(settings: Settings, reader: LogReader, command: Promote) -> Handover:
    """Send a command and return the learner's answer.

    Raises
    ------
    StoreUnavailable
        No answer came in time.
    """
    topics = Topics(settings)
    begin = (await reader.bounds(topics.model_handovers.name, 0)).end
    publisher = AtomicPublisher(f"{topics.app_id('commands')}-{command.id}", kafka_options(settings))
    await publisher.start()
    try:
        record = AtomicRecord(topics.model_commands.name, command.id.encode(), encode_command(command))
        await publisher.publish([], record, "fraudstream-command-offset")
    finally:
        await publisher.stop()
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        end = (await reader.bounds(topics.model_handovers.name, 0)).end
        async for found in reader.read(topics.model_handovers.name, 0, begin, end):
            answer = decode_handover(found.value)
            if answer.id == command.id:
                return answer
        begin = end
        await asyncio.sleep(_PAUSE_SECONDS)
    reason = (
        f"no answer to {command.id} within {ANSWER_SECONDS:.0f} s; it will be obeyed when the learner runs"
    )
    raise StoreUnavailable("learner", reason)  # noqa: EM101 - the store's name, not a message


def _stored(settings: Settings) -> StoredContest:
    return _with_log(settings, lambda reader: read_stored(reader, Topics(settings)))


def _with_log(settings: Settings, call: Callable[[LogReader], Awaitable[T]]) -> T:
    async def run() -> T:
        topics = Topics(settings)
        async with kafka_admin(settings) as admin:
            wanted = [topics.challenger_states, topics.model_commands, topics.model_handovers]
            await require_topics(admin, wanted, with_config=False)
        reader = LogReader(kafka_reading_options(settings))
        try:
            return await call(reader)
        finally:
            await reader.stop()

    return asyncio.run(run())
