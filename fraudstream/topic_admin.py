"""Create topics on a cluster, and compare what it has with what the code declares."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from fraudstream.connections import kafka_options
from fraudstream.errors import StoreUnavailable, TopicsMismatch
from fraudstream.settings import Settings
from fraudstream.topics import Topic

REQUEST_TIMEOUT_MS = 15_000
"""A busy broker creates a dozen topics in two seconds; nobody should wait a minute for one that is away."""

PROPAGATION_SECONDS = 15.0
"""A busy cluster takes a second or two to tell its brokers of new topics; then they count as missing."""

PROPAGATION_PAUSE_SECONDS = 0.1

Admin = Any
"""aiokafka's admin client; its package carries no type marker."""


@asynccontextmanager
async def kafka_admin(settings: Settings) -> AsyncIterator[Admin]:
    """Connect an admin client, and close it when the block is left.

    Raises
    ------
    StoreUnavailable
        When no broker answers, or one stops answering inside the block.
    """
    client = AIOKafkaAdminClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **kafka_options(settings))
    try:
        await client.start()
        yield client
    except KafkaConnectionError as exc:
        reason = f"no broker answers at {settings.kafka_url}"
        raise StoreUnavailable("kafka", reason) from exc  # noqa: EM101 - the store's name, not a message
    except (KafkaError, OSError) as exc:
        reason = f"{settings.kafka_url}: {exc}"
        raise StoreUnavailable("kafka", reason) from exc  # noqa: EM101 - the store's name, not a message
    finally:
        await client.close()


async def create_topics(admin: Admin, topics: Iterable[Topic], replication_factor: int) -> list[str]:
    """Create the topics that are missing and return their names, once brokers know them.

    Idempotent: topics that exist are left as they are, other partitions and settings included.

    Raises
    ------
    TopicsMismatch
        Naming each topic the cluster refuses to create, with its reason.
    """
    replicas = {"min.insync.replicas": "2"} if replication_factor >= 3 else {}  # one broker may be away
    wanted = [
        NewTopic(
            topic.name, topic.partitions, replication_factor, topic_configs=dict(topic.config) | replicas
        )
        for topic in topics
    ]
    answer = await admin.create_topics(wanted, timeout_ms=REQUEST_TIMEOUT_MS)
    created, refused = [], []
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(name)
        elif error is not TopicAlreadyExistsError:
            refused.append(f"{name}: {(message and message[0]) or error.description}")
    if refused:
        raise TopicsMismatch("\n".join(refused))
    await _until_known(admin, created)
    return created


async def _until_known(admin: Admin, names: Sequence[str]) -> None:
    """Return when a broker knows the topics: the controller tells it a moment after it tells us."""
    for _ in range(int(PROPAGATION_SECONDS / PROPAGATION_PAUSE_SECONDS)):
        topics = await admin.describe_topics(list(names))
        if all(topic["error_code"] == 0 for topic in topics):
            return
        await asyncio.sleep(PROPAGATION_PAUSE_SECONDS)


async def topic_faults(admin: Admin, topics: Sequence[Topic], *, with_config: bool = True) -> list[str]:
    """Return one line for each way in which the cluster differs from what the code declares.

    Partitions and clean-up policy have to be the same and the largest message at least as large; how long a
    topic keeps its records is the operator's to change. ``with_config=False`` compares partitions alone, as a
    client may that is not allowed to describe settings.
    """
    found = {topic["topic"]: topic for topic in await admin.describe_topics([topic.name for topic in topics])}
    faults, existing = [], []
    for topic in topics:
        answer = found.get(topic.name)
        if answer is None or for_code(answer["error_code"]) is UnknownTopicOrPartitionError:
            faults.append(f"{topic.name}: missing; `fraudstream topics create` makes it")
            continue
        if answer["error_code"]:
            faults.append(f"{topic.name}: {for_code(answer['error_code']).description}")
            continue
        existing.append(topic)
        if (count := len(answer["partitions"])) != topic.partitions:
            faults.append(f"{topic.name}: {count} partitions, needs {topic.partitions}")
    return faults + (await _config_faults(admin, existing) if with_config else [])


async def require_topics(admin: Admin, topics: Sequence[Topic], *, with_config: bool = True) -> None:
    """Raise :class:`TopicsMismatch` unless the cluster has every topic as declared."""
    if faults := await topic_faults(admin, topics, with_config=with_config):
        raise TopicsMismatch("\n".join(faults))


async def _config_faults(admin: Admin, topics: Sequence[Topic]) -> list[str]:
    if not topics:
        return []
    wanted = [
        ConfigResource(
            ConfigResourceType.TOPIC, topic.name, configs={"cleanup.policy": "", "max.message.bytes": ""}
        )
        for topic in topics
    ]
    answers = await admin.describe_configs(wanted)
    configs = {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }
    faults = []
    for topic in topics:
        config = configs.get(topic.name, {})
        policy, wanted_policy = config.get("cleanup.policy"), topic.config["cleanup.policy"]
        if policy is not None and policy != wanted_policy:
            faults.append(f"{topic.name}: cleanup.policy is {policy}, needs {wanted_policy}")
        size, wanted_size = config.get("max.message.bytes"), topic.config.get("max.message.bytes", "0")
        if size is not None and int(size) < int(wanted_size):
            faults.append(f"{topic.name}: max.message.bytes is {size}, needs at least {wanted_size}")
    return faults
