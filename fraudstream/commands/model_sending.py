"""Telling the learner what to do, and waiting for its answer."""

import asyncio
import getpass
import socket
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import click
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from fraudstream.connections import kafka_options, kafka_reading_options
from fraudstream.core.registry import Entry, ModelCommand, Refusal, encode_command
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import InvalidInput, StoreUnavailable
from fraudstream.registry import ModelRegistry
from fraudstream.settings import Settings
from fraudstream.topic_admin import kafka_admin, require_topics
from fraudstream.topics import SNAPSHOT_BYTES_MAX, Topics

ASK_SECONDS = 0.2
"""Pause between two looks for the answer."""

WAIT = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the learner's answer; 0 does not wait.",
)
REASON = click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the new version.")
BY = click.option(
    "--by", metavar="NAME", help="Who asks; kept with the new version (default: you, on this machine)."
)


def asked(reason: str, by: str | None) -> dict[str, Any]:
    """Return what every command says beside what is to be done."""
    name = by or f"{getpass.getuser()}@{socket.gethostname()}"
    return {"id": uuid4().hex, "by": name, "reason": reason, "sent_at": datetime.now(UTC)}


def answered(settings: Settings, command: ModelCommand, wait: float) -> Entry | None:
    """Send a command and return the version it led to; tell the user, if nobody waits, and return None.

    Raises
    ------
    InvalidInput
        The learner has refused it.
    StoreUnavailable
        As :func:`send_command`.
    """
    answer = asyncio.run(send_command(settings, command, wait))
    if isinstance(answer, Refusal):
        raise InvalidInput(answer.reason)
    if answer is None:
        click.echo(f"sent as {command.id}; `fraudstream model list` will show what becomes of it")
    return answer


async def send_command(settings: Settings, command: ModelCommand, wait: float) -> Entry | Refusal | None:
    """Send a command and return the registry's answer; None when it is not waited for.

    Raises
    ------
    StoreUnavailable
        No broker answers; or the learner has not answered in ``wait`` seconds. The command then stays where
        it is, and is obeyed when a learner runs.
    """
    topics = Topics(settings)
    async with kafka_admin(settings) as admin:
        await require_topics(admin, [topics.model_commands, topics.model_registry], with_config=False)
    logs = LogReader(kafka_reading_options(settings))
    registry = ModelRegistry(topics, logs)
    producer = AIOKafkaProducer(
        acks="all", enable_idempotence=True, max_request_size=SNAPSHOT_BYTES_MAX, **kafka_options(settings)
    )
    try:
        at = await registry.end()
        await producer.start()
        await producer.send_and_wait(
            topics.model_commands.name, encode_command(command), key=command.id.encode(), partition=0
        )
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            end = await registry.end()
            async for _, record in registry.records(at, end):
                if record.command is not None and record.command.id == command.id:
                    return record
            at = end
            await asyncio.sleep(ASK_SECONDS)
    except KafkaError as exc:
        reason = f"{settings.kafka_url}: {exc}"
        raise StoreUnavailable("kafka", reason) from exc  # noqa: EM101 - the store's name, not a message
    finally:
        await producer.stop()
        await logs.stop()
    if not wait:
        return None
    reason = (
        f"no answer to command {command.id} within {wait:.0f} s; it stays in {topics.model_commands.name}"
        " and is obeyed once a learning worker runs"
    )
    raise StoreUnavailable("learner", reason)  # noqa: EM101 - the store's name, not a message
