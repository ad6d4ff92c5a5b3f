"""``fraudstream labels``: sources of labels that are not believed, and what they said."""

import asyncio
import json
from collections.abc import Iterable
from contextlib import asynccontextmanager
from typing import Any

import click
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from rich import box
from rich.console import Console
from rich.table import Table

from fraudstream.commands.context import pass_settings
from fraudstream.connections import kafka_options, kafka_reading_options
from fraudstream.core.codec import encode_training_example
from fraudstream.core.label_sources import check_source_text, matches, source_name
from fraudstream.core.label_trust import Account, LabelTrust
from fraudstream.core.learning_outcomes import HeldExample
from fraudstream.core.snapshot import decode_snapshot
from fraudstream.core.source_alarms import decode_held, held_key
from fraudstream.core.watching import moment
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import InvalidInput, StoreUnavailable
from fraudstream.settings import Settings
from fraudstream.topic_admin import kafka_admin, require_topics
from fraudstream.topics import Topics

FILE_COLUMNS = 120
"""Width where the output goes to a file or another program."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A source as it is listed: why and since when it is in quarantine, and what it has said.

    ``since`` is event time. ``believed``, ``frauds``: its labels that were learned, and the frauds among
    them. ``waiting``: its labels that are kept and not learned.
    """

    source: str
    quarantined: str | None
    since: str | None
    believed: int
    frauds: int
    waiting: int


@click.group()
def labels() -> None:
    """Look after sources of labels."""


@labels.group()
def quarantine() -> None:
    """List sources that are not believed, and release what they said."""


@quarantine.command("list")
@click.option("--all", "everybody", is_flag=True, help="Every source that has given labels.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_settings
def list_sources(settings: Settings, everybody: bool, as_json: bool) -> None:
    """List sources in quarantine, and those with labels that wait to be released."""
    trust, held = asyncio.run(_read(settings))
    found = sources(trust, held, everybody=everybody)
    if as_json:
        for one in found:
            click.echo(json.dumps(msgspec.to_builtins(one), ensure_ascii=False))
        return
    if not found:
        click.echo("No source is in quarantine, and no label waits.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in (
        "source",
        "quarantined for",
        "since",
        "labels learned",
        "of them fraud",
        "labels kept aside",
    ):
        table.add_column(name, justify="right" if name.startswith(("labels", "of")) else "left")
    for one in found:
        numbers = (f"{number:,}" for number in (one.believed, one.frauds, one.waiting))
        table.add_row(one.source, one.quarantined or "", one.since or "", *numbers)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_COLUMNS
    console.print(table)


@quarantine.command()
@click.argument("source")
@pass_settings
def release(settings: Settings, source: str) -> None:
    """Believe SOURCE again, and learn the labels that were kept aside.

    SOURCE is kind:name as `list` prints it, a kind for everybody of it, or :name for that name in any kind.
    What it says from now on is judged anew. Releasing twice learns nothing twice.
    """
    check_source_text(source)
    number = asyncio.run(_release(settings, source))
    click.echo(f"{number} labels of {source} released")


def sources(trust: LabelTrust, held: Iterable[HeldExample], *, everybody: bool = False) -> list[Source]:
    """Return what is listed: sources in quarantine first, then others by the labels that wait."""
    waiting: dict[str, int] = {}
    for one in held:
        name = source_name(one.example.label_source, one.example.labelled_by)
        waiting[name] = waiting.get(name, 0) + 1
    none = Account()
    names = sorted(trust.accounts.keys() | waiting.keys())
    listed = []
    for name in names:
        account = trust.accounts.get(name, none)
        if everybody or account.quarantined is not None or name in waiting:
            listed.append(
                Source(
                    source=name,
                    quarantined=account.quarantined,
                    since=moment(account.since).isoformat() if account.quarantined else None,
                    believed=account.labels,
                    frauds=account.frauds,
                    waiting=waiting.get(name, 0),
                )
            )
    return sorted(listed, key=lambda one: (one.quarantined is None, -one.waiting, one.source))


async def _read(settings: Settings) -> tuple[LabelTrust, list[HeldExample]]:
    topics = Topics(settings)
    async with kafka_admin(settings) as admin:
        await require_topics(admin, [topics.quarantined_labels, topics.model_snapshots], with_config=False)
    reader = LogReader(kafka_reading_options(settings))
    held: dict[bytes, HeldExample] = {}
    try:
        last = await reader.last_record(topics.model_snapshots.name, 0)
        trust = LabelTrust()
        if last is not None and last.value is not None:
            trust = LabelTrust.from_bytes(decode_snapshot(last.value).trust)
        bounds = await reader.bounds(topics.quarantined_labels.name, 0)
        async for record in reader.read(topics.quarantined_labels.name, 0, bounds.low, bounds.end):
            if record.key is not None and record.value:
                held[record.key] = decode_held(record.value)
            elif record.key is not None:
                held.pop(record.key, None)
    finally:
        await reader.stop()
    return trust, sorted(held.values(), key=lambda one: one.offset)


async def _release(settings: Settings, source: str) -> int:
    """Publish the labels again as released ones, and only then forget that they were kept aside."""
    topics = Topics(settings)
    _, held = await _read(settings)
    chosen = [one for one in held if matches(one.example, source)]
    if not chosen:
        msg = f"no label of {source} waits; `fraudstream labels quarantine list` tells whose do"
        raise InvalidInput(msg)
    async with _producer(settings) as producer:
        examples = [
            await producer.send(
                topics.training_examples.name,
                encode_training_example(msgspec.structs.replace(one.example, released=True)),
                key=str(one.example.source).encode(),
                partition=0,
            )
            for one in chosen
        ]
        await asyncio.gather(*examples)
        forgotten = [
            await producer.send(topics.quarantined_labels.name, None, key=held_key(one), partition=0)
            for one in chosen
        ]
        await asyncio.gather(*forgotten)
    return len(chosen)


@asynccontextmanager
async def _producer(settings: Settings) -> Any:
    producer = AIOKafkaProducer(**kafka_options(settings), acks="all", enable_idempotence=True)
    try:
        await producer.start()
        yield producer
    except KafkaError as exc:
        raise StoreUnavailable("kafka", repr(exc)) from exc  # noqa: EM101 - the store's name
    finally:
        await producer.stop()
