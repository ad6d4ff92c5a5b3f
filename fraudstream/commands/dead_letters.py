"""``fraudstream dead-letters``: list, show and send back what was set aside."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from fraudstream.commands.context import pass_settings
from fraudstream.connections import kafka_options, kafka_reading_options
from fraudstream.core.dead_letters import DeadLetter
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import InvalidInput, InvalidMessage, StoreUnavailable
from fraudstream.settings import Settings
from fraudstream.topic_admin import kafka_admin, require_topics
from fraudstream.topics import DEAD_LETTER_BYTES_MAX, Topic, Topics

RESENT_HEADER = "fraudstream-resent-from"
"""On a message that was sent back: the position of its dead letter."""


class Place(NamedTuple):
    """Where a dead letter stands in its topic, typed as ``partition-offset``."""

    partition: int
    offset: int

    def __str__(self) -> str:
        """Return it as it is typed."""
        return f"{self.partition}-{self.offset}"


class Found(NamedTuple):
    """A dead letter as it was read."""

    place: Place
    letter: DeadLetter
    key: bytes | None
    value: bytes | None


class _PlaceType(click.ParamType):
    name = "position"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        partition, _, offset = str(value).partition("-")
        if not (partition.isdecimal() and offset.isdecimal()):
            self.fail(f"expected a position such as 0-17, as `list` prints them, got {value!r}", param, ctx)
        return Place(int(partition), int(offset))


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show and send back messages that were set aside."""


@dead_letters.command("list")
@click.option("--topic", metavar="NAME", help="Only what came from this topic.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The newest so many."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_settings
def list_letters(settings: Settings, topic: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, oldest first: position, time, origin, reason."""
    found = [one for one in asyncio.run(_read_all(settings)) if topic in {None, one.letter.topic}]
    for one in found[-limit:]:
        click.echo(json.dumps(_as_json(one), ensure_ascii=False) if as_json else _as_line(one))
    if not as_json:
        left_out = len(found) - limit
        click.echo(
            f"{len(found)} dead letters" + (f", the oldest {left_out} not shown" if left_out > 0 else "")
        )


@dead_letters.command()
@click.argument("position", type=_PlaceType())
@pass_settings
def show(settings: Settings, position: Place) -> None:
    """Show one dead letter: where it came from, why it cannot be used, and its bytes."""
    for name, value in _as_json(asyncio.run(_read_one(settings, position))).items():
        click.echo(f"{name + ':':14} {value}")


@dead_letters.command()
@click.argument("positions", nargs=-1, required=True, type=_PlaceType(), metavar="POSITION...")
@click.option(
    "--value",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Send the bytes of this file in place of the original ones; for one position.",
)
@pass_settings
def resend(settings: Settings, positions: tuple[Place, ...], file: Path | None) -> None:
    """Send dead letters back to the topic and partition they came from.

    Bytes, key, timestamp and headers are the original ones; the header fraudstream-resent-from is added.
    The dead letters stay where they are, and sending one back twice makes two transactions.
    """
    if file is not None and len(positions) > 1:
        msg = "--value repairs one message: give one position"
        raise InvalidInput(msg)
    replacement = None if file is None else file.read_bytes().rstrip(b"\r\n")
    for line in asyncio.run(_resend(settings, positions, replacement)):
        click.echo(line)


async def _resend(settings: Settings, places: Sequence[Place], replacement: bytes | None) -> list[str]:
    letters = [await _read_one(settings, place) for place in places]
    for one in letters:  # all are looked at before the first is sent
        if one.letter.masked and replacement is None:
            msg = f"{one.place}: card numbers were masked in it, its bytes are lost; repair it with --value"
            raise InvalidInput(msg)
    producer = AIOKafkaProducer(
        **kafka_options(settings),
        acks="all",
        enable_idempotence=True,
        max_request_size=DEAD_LETTER_BYTES_MAX,
    )
    lines = []
    try:
        await producer.start()
        for one in letters:
            letter = one.letter
            kept = [(name, value) for name, value in letter.headers if name != RESENT_HEADER]
            sent = await producer.send_and_wait(
                letter.topic,
                one.value if replacement is None else replacement,
                one.key,
                letter.partition,
                letter.timestamp_ms,
                headers=[*kept, (RESENT_HEADER, str(one.place).encode())],
            )
            lines.append(f"{one.place} sent back as {sent.topic}[{sent.partition}]@{sent.offset}")
    except KafkaError as exc:
        raise StoreUnavailable("kafka", repr(exc)) from exc  # noqa: EM101 - the store's name
    finally:
        await producer.stop()
    return lines


async def _read_one(settings: Settings, place: Place) -> Found:
    topic = Topics(settings).dead_letters
    if place.partition < topic.partitions:
        async with _ready(settings, topic):
            reader = LogReader(kafka_reading_options(settings))
            try:
                record = await reader.record_at(topic.name, place.partition, place.offset)
            finally:
                await reader.stop()
        if record is not None and (found := _found(record)) is not None:
            return found
    msg = f"{place}: no dead letter there; `fraudstream dead-letters list` prints positions"
    raise InvalidInput(msg)


async def _read_all(settings: Settings) -> list[Found]:
    """Return every dead letter, oldest first; of one that was written twice, the first."""
    topic = Topics(settings).dead_letters
    partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    letters: dict[tuple[str, int, int], Found] = {}
    async with _ready(settings, topic):
        consumer = AIOKafkaConsumer(
            **kafka_reading_options(settings),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        try:
            await consumer.start()
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for one in filter(None, map(_found, records)):
                        identity = (one.letter.topic, one.letter.partition, one.letter.offset)
                        letters.setdefault(identity, one)
        finally:
            await consumer.stop()
    return sorted(letters.values(), key=lambda one: (one.letter.failed_at, one.place))


@asynccontextmanager
async def _ready(settings: Settings, topic: Topic) -> AsyncIterator[None]:
    async with kafka_admin(settings) as admin:
        await require_topics(admin, [topic], with_config=False)
        yield


def _found(record: Any) -> Found | None:
    """Return a record as a dead letter; None for what is none, such as a claim of ownership."""
    try:
        letter = DeadLetter.from_headers(record.headers)
    except InvalidMessage:
        return None
    return Found(Place(record.partition, record.offset), letter, record.key, record.value)


def _as_line(one: Found) -> str:
    letter = one.letter
    when = letter.failed_at.isoformat(timespec="seconds").removesuffix("+00:00") + "Z"
    return f"{one.place!s:>8}  {when}  {letter.topic}[{letter.partition}]@{letter.offset}  {letter.reason}"


def _as_json(one: Found) -> dict[str, Any]:
    letter = one.letter
    return {
        "position": str(one.place),
        "failed_at": letter.failed_at.isoformat(),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp_ms": letter.timestamp_ms,
        "field": letter.field,
        "fault": letter.fault,
        "masked": letter.masked,
        "key": _text(one.key),
        "headers": {name: _text(value) for name, value in letter.headers},
        "value": _text(one.value),
    }


def _text(data: bytes | None) -> str | None:
    """Return bytes for people: text where it is UTF-8, else hexadecimal digits."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"0x{data.hex()}"
