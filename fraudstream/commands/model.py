"""``fraudstream model``: the versions there were, and going back to one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from fraudstream.commands.context import pass_settings
from fraudstream.commands.model_sending import BY, REASON, WAIT, answered, asked
from fraudstream.commands.model_table import difference_text, entries_table, entry_text
from fraudstream.connections import kafka_reading_options
from fraudstream.core.label_sources import check_source_text
from fraudstream.core.model_difference import ModelDifference, difference
from fraudstream.core.registry import Entry, ModelCommand, Refusal, Relearn, Rollback
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import InvalidInput
from fraudstream.rebuilding import ModelRebuilder
from fraudstream.registry import ModelRegistry
from fraudstream.settings import Settings
from fraudstream.topic_admin import kafka_admin, require_topics
from fraudstream.topics import Topics

R = TypeVar("R")

_VERSION = click.IntRange(min=1)


class Reading(NamedTuple):
    """What the commands here read with."""

    registry: ModelRegistry
    rebuilder: ModelRebuilder


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Reading]:
    """Connect what reads the registry, and let go of it when the block is left."""
    topics = Topics(settings)
    async with kafka_admin(settings) as admin:
        needed = [topics.model_registry, topics.kept_models, topics.training_examples]
        await require_topics(admin, needed, with_config=False)
    logs = LogReader(kafka_reading_options(settings))
    try:
        yield Reading(ModelRegistry(topics, logs), ModelRebuilder(topics, logs))
    finally:
        await logs.stop()


def _read(settings: Settings, work: Callable[[Reading], Coroutine[Any, Any, R]]) -> R:
    async def run() -> R:
        async with reading(settings) as read:
            return await work(read)

    return asyncio.run(run())


@click.group()
def model() -> None:
    """List versions of the model, compare them, go back to one."""


@model.command("list")
@click.option("--limit", type=_VERSION, default=20, show_default=True, help="The newest so many.")
@click.option("--kept", is_flag=True, help="Only versions that are kept whole.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_settings
def list_versions(settings: Settings, limit: int, kept: bool, as_json: bool) -> None:
    """List versions, oldest first: what each has learned and where it comes from."""

    async def find(read: Reading) -> list[Entry | Refusal]:
        return [*await read.registry.kept(limit)] if kept else await read.registry.newest(limit)

    found = _read(settings, find)
    if as_json:
        for one in found:
            click.echo(msgspec.json.encode(one))
    else:
        click.echo(entries_table(found))


@model.command()
@click.argument("version", type=_VERSION)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@pass_settings
def show(settings: Settings, version: int, as_json: bool) -> None:
    """Show one version: what it has learned, what was left out, and why if somebody asked for it."""

    async def find(read: Reading) -> tuple[Entry, tuple[Any, ...]]:
        entry = await read.registry.find(version)
        return entry, await read.rebuilder.left_out(entry)

    entry, left_out = _read(settings, find)
    if as_json:
        shown = msgspec.to_builtins(entry) | {"left_out": msgspec.to_builtins(left_out)}
        click.echo(msgspec.json.format(msgspec.json.encode(shown)))
    else:
        click.echo(entry_text(entry, left_out))


@model.command()
@click.argument("before", type=_VERSION)
@click.argument("after", type=_VERSION)
@click.option("--keys", type=click.IntRange(min=0), default=10, show_default=True, help="Weights shown.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@pass_settings
def diff(settings: Settings, before: int, after: int, keys: int, as_json: bool) -> None:
    """Compare two versions: weights, risks of terminals, scores of the probes."""

    async def compare(read: Reading) -> ModelDifference:
        old, _ = await read.rebuilder.rebuild(await read.registry.find(before))
        new, _ = await read.rebuilder.rebuild(await read.registry.find(after))
        return difference(old, new, keys)

    found = _read(settings, compare)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
    else:
        click.echo(difference_text(before, after, found))


@model.command()
@click.argument("version", type=_VERSION)
@REASON
@BY
@WAIT
@pass_settings
def rollback(settings: Settings, version: int, reason: str, by: str | None, wait: float) -> None:
    """Go back to a version: its state becomes the newest version, and learning goes on from there.

    What was learned after it is forgotten, and not learned again; labels that come from now on are.
    """
    _command(settings, wait, Rollback(**asked(reason, by), version=version))


@model.command()
@click.option(
    "--until", type=click.IntRange(min=-1), metavar="OFFSET", help="Last training example to learn."
)
@click.option(
    "--since",
    type=click.IntRange(min=0),
    default=0,
    metavar="OFFSET",
    help="First one to leave a source out.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="SOURCE",
    help="Label source to leave out: analyst, chargeback, customer, presumed, kind:name, :name; may repeat.",
)
@REASON
@BY
@WAIT
@pass_settings
def relearn(  # noqa: PLR0913, PLR0917 - the options of one command
    settings: Settings,
    until: int | None,
    since: int,
    without: tuple[str, ...],
    reason: str,
    by: str | None,
    wait: float,
) -> None:
    """Learn the training examples again, up to an offset or without some label sources.

    The result becomes the newest version. Examples left out before are learned unless they are left out
    again: name every source. With --since, learning starts from the nearest kept version before that
    offset.
    """
    if until is None and not without:
        msg = "relearning everything gives the same model: name --until or --without"
        raise InvalidInput(msg)
    for source in without:
        check_source_text(source)
    _command(settings, wait, Relearn(**asked(reason, by), until=until, since=since, without=without))


def _command(settings: Settings, wait: float, command: ModelCommand) -> None:
    answer = answered(settings, command, wait)
    if answer is not None:
        click.echo(f"obeyed: the model is version {answer.version} now")
        click.echo(
            f"  goes on from the state of version {answer.parent}" if answer.parent else "  learned anew"
        )
        click.echo(f"  {answer.learned:,} examples learned of those up to offset {answer.training_offset:,}")
