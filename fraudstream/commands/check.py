"""``fraudstream check``: everything that is wrong, in one go."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import click

from fraudstream.adapters import connect_archive, connect_count_store
from fraudstream.commands.context import keep_quiet
from fraudstream.commands.sample import describe_file
from fraudstream.core.wire_formats import WireFormats, load_wire_formats
from fraudstream.errors import FraudstreamError, InvalidSettings, OperatorError, StoreUnavailable
from fraudstream.ports import Archive, CountStore
from fraudstream.settings import Settings
from fraudstream.settings_reading import mask_url
from fraudstream.topic_admin import kafka_admin, topic_faults
from fraudstream.topics import Topics

PATIENCE_SECONDS = 20.0
"""Longer than any client's own time-out, so that the client's reason is what is shown."""


@click.command()
@click.option(
    "--sample",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Show how the first messages of a JSON-lines or CSV file map to transactions.",
)
@click.option("--rows", type=click.IntRange(min=1), default=5, show_default=True, help="How many of them.")
@click.pass_obj
def check(environ: Mapping[str, str], sample: Path | None, rows: int) -> None:
    """Look for everything that is wrong: settings, wire formats, brokers, topics, stores.

    Goes on after each fault, names all of them and ends with status 1 if there are any. Stores are opened
    as a worker opens them, which creates tables and indexes that are missing.
    """
    settings, bad_variables, faults = _settings(environ)
    keep_quiet(settings)
    if not faults:
        _tell("settings", "")
    formats = None
    if not _any_of(bad_variables, "WIRE_FORMATS", "CARD_HASH_KEY"):
        formats, found = _wire_formats(settings)
        faults += found
    faults += asyncio.run(_outside(settings, bad_variables))
    if sample is not None and formats is not None:
        faults += describe_file(sample, formats, rows)
    if faults:
        raise OperatorError("\n".join(faults))


def _settings(environ: Mapping[str, str]) -> tuple[Settings, set[str], list[str]]:
    """Return the settings without the variables that are wrong, those variables, and a line for each."""
    try:
        return Settings.load(environ), set(), []
    except InvalidSettings as exc:
        faults = str(exc).splitlines()
    bad = {line.partition(":")[0] for line in faults}
    bad |= {f"{name}_FILE" for name in bad}
    sound = {name: value for name, value in environ.items() if name not in bad}
    try:
        return Settings.load(sound), bad, faults
    except InvalidSettings:  # what is left contradicts itself: nothing of it can be trusted
        return Settings.load({}), set(environ), faults


def _wire_formats(settings: Settings) -> tuple[WireFormats | None, list[str]]:
    key = settings.card_hash_key.get_secret_value().encode() if settings.card_hash_key else None
    try:
        formats = load_wire_formats(settings.wire_formats, card_hash_key=key)
    except OperatorError as exc:
        return None, str(exc).splitlines()
    _tell("wire formats", ", ".join(formats.names))
    return formats, []


async def _outside(settings: Settings, bad: set[str]) -> list[str]:
    """Look at brokers and stores side by side; what a bad variable belongs to is left out."""
    looks: list[Awaitable[list[str]]] = []
    if not any(name.startswith("FRAUDSTREAM_KAFKA_") for name in bad):
        wrong_topics = _any_of(bad, "TOPIC_PREFIX", "PARTITIONS", "REPLICATION_FACTOR")
        looks.append(_kafka(settings, with_topics=not wrong_topics))
    if not _any_of(bad, "MONGO_URL"):
        url = settings.mongo_url.get_secret_value()
        looks.append(_store("archive", url, lambda: connect_archive(url)))
    if not _any_of(bad, "MARIADB_URL"):
        counts_url = settings.mariadb_url.get_secret_value()
        looks.append(_store("store of counts", counts_url, lambda: connect_count_store(counts_url)))
    return [fault for found in await asyncio.gather(*looks) for fault in found]


async def _kafka(settings: Settings, *, with_topics: bool) -> list[str]:
    async def look() -> list[str]:
        async with kafka_admin(settings) as admin:
            brokers = (await admin.describe_cluster())["brokers"]
            _tell("kafka", f"{settings.kafka_url}, brokers: {len(brokers)}")
            if not with_topics:
                return []
            declared = list(Topics(settings))
            faults = await topic_faults(admin, declared)
            if not faults:
                _tell("topics", f"{len(declared)} as declared")
            return faults

    return await _faults_of("kafka", look)


async def _store(name: str, url: str, connect: Callable[[], Archive | CountStore]) -> list[str]:
    async def look() -> list[str]:
        store = connect()
        try:
            await store.open()
            await store.ping()
        finally:
            await store.close()
        _tell(name, mask_url(url))
        return []

    return await _faults_of(name, look)


async def _faults_of(name: str, look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    try:
        return await asyncio.wait_for(look(), PATIENCE_SECONDS)
    except TimeoutError:
        return [f"{name}: no answer within {PATIENCE_SECONDS:.0f} s"]
    except StoreUnavailable as exc:
        return [f"{name} is unavailable: {exc.reason}"]
    except FraudstreamError as exc:
        return [f"{name}: {line}" for line in str(exc).splitlines()]


def _any_of(bad: Iterable[str], *fields: str) -> bool:
    return any(f"FRAUDSTREAM_{field}" in bad for field in fields)


def _tell(part: str, detail: str) -> None:
    click.echo(f"ok  {part}{': ' if detail else ''}{detail}")
