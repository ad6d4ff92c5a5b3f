"""A topic on the real broker, for tests of what talks to it."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.delivery.faust_consumer import close_consumers


@pytest.fixture(autouse=True)
def _no_consumer_is_left_open() -> Iterator[None]:
    yield
    close_consumers()


@pytest.fixture
def make_topic(kafka_bootstrap: str, topic_prefix: str) -> Callable[..., str]:
    """Make a topic of this test's own and return its name: ``make_topic("out", partitions=2)``."""
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})

    def make(name: str, partitions: int = 1) -> str:
        full = topic_prefix + name
        for future in admin.create_topics([NewTopic(full, partitions, 1)]).values():
            future.result(30)
        return full

    return make


@pytest.fixture
def made_topic(make_topic: Callable[..., str]) -> str:
    return make_topic("topic")
