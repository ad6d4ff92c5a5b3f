"""Where a test's services come from: running ones, else programs of this machine, else containers."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.services.docker import (
    Container,
    KafkaContainer,
    MariaDbContainer,
    MongoContainer,
    engine_answers,
)
from tests.services.kafka import KafkaServer, kafka_answers
from tests.services.mariadb import MariaDbServer, mariadb_answers
from tests.services.mongo import MongoServer, mongo_answers
from tests.services.process import Server, ServiceFailed, ServiceMissing

RUN_DIRECTORY = Path(__file__).parents[2] / ".services"
ENVIRONMENT_FILE = RUN_DIRECTORY / "env"


@dataclass(frozen=True)
class Kind:
    """One service: the setting that names it, how to ask whether it answers, and the ways to start it."""

    setting: str
    answers: Callable[[str], bool]
    process: Callable[[], Server]
    container: type[Container]

    @property
    def test_variable(self) -> str:
        """The environment variable that points tests at a service that runs already."""
        return self.setting.replace("FRAUDSTREAM_", "FRAUDSTREAM_TEST_", 1)


KINDS: dict[str, Kind] = {
    "kafka": Kind(
        "FRAUDSTREAM_KAFKA_URL", lambda url: kafka_answers(urlsplit(url).netloc), KafkaServer, KafkaContainer
    ),
    "mongo": Kind("FRAUDSTREAM_MONGO_URL", mongo_answers, lambda: MongoServer(durable=False), MongoContainer),
    "mariadb": Kind("FRAUDSTREAM_MARIADB_URL", mariadb_answers, MariaDbServer, MariaDbContainer),
}


@dataclass(frozen=True)
class Service:
    """A service that answers at ``url``; ``close`` ends it if it was started for us."""

    url: str
    origin: str
    close: Callable[[], None]


def resolve(name: str) -> Service:
    """Return a service that answers.

    In this order: the address in ``FRAUDSTREAM_TEST_<NAME>_URL``; what ``make up`` started; a server started
    from programs of this machine; a container.

    Raises
    ------
    ServiceMissing
        There is none; the message lists what was tried.
    ServiceFailed
        The named address does not answer, or a server that could be started did not come up.
    """
    kind = KINDS[name]
    named = os.environ.get(kind.test_variable)
    if named:
        if not kind.answers(named):
            msg = f"nothing answers at the address in {kind.test_variable}"
            raise ServiceFailed(msg)
        return Service(named, f"named by {kind.test_variable}", _leave_running)
    running = read_environment_file().get(kind.setting)
    if running and kind.answers(running):
        return Service(running, "started by make up", _leave_running)
    return start(name)


def start(name: str) -> Service:
    """Start a service from programs of this machine, else as a container; errors as in :func:`resolve`."""
    kind = KINDS[name]
    server = kind.process()
    try:
        server.start()
    except ServiceMissing as missing:
        server.close()
        if not engine_answers():
            msg = f"no {name}: {missing}; and no Docker engine answers"
            raise ServiceMissing(msg) from missing
        server = kind.container()
        server.start(timeout_seconds=300.0)  # the image may have to be fetched
        return Service(server.url, f"container {kind.container.image}", server.close)
    except BaseException:
        server.close()
        raise
    return Service(server.url, "program of this machine", server.close)


def read_environment_file() -> dict[str, str]:
    """Return the addresses ``make up`` left, or nothing if it is not up."""
    try:
        lines = ENVIRONMENT_FILE.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _leave_running() -> None:
    """End nothing: who started it ends it."""
