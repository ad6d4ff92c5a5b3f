"""Services and names every test may ask for.

One server of each kind serves the whole run; tests stay apart by topic prefix and database name. A test that
stops, kills or freezes a server asks for one of its own. A missing service skips the test with the reason,
and fails it where ``CI`` is set, since there a skip would look like a pass.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from pymongo import MongoClient

from tests.services import KafkaServer, MariaDbServer, MongoServer, Server, ServiceMissing
from tests.services.mariadb import connect
from tests.services.resolve import KINDS, resolve
from tests.stack import Stack

AnyServer = TypeVar("AnyServer", bound=Server)

_SERVICE_FIXTURES = {
    "kafka_url",
    "mongo_url",
    "mariadb_url",
    "own_kafka",
    "own_mongo",
    "own_mariadb",
}


_test_settings: dict[str, str] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Keep the developer's own settings out of the tests, but for those that are meant for them."""
    meant = {kind.test_variable for kind in KINDS.values()} | {"FRAUDSTREAM_SERVICES_CACHE"}
    _test_settings.update({name: os.environ[name] for name in meant if name in os.environ})
    for name in [name for name in os.environ if name.startswith("FRAUDSTREAM_")]:
        del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that reaches for a real service, so that ``make test-fast`` can leave it out."""
    for item in items:
        if _SERVICE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)


def _missing(reason: object) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


def _shared(name: str) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        for variable, value in _test_settings.items():
            environment.setenv(variable, value)
        try:
            service = resolve(name)
        except ServiceMissing as missing:
            _missing(missing)
    try:
        yield service.url
    finally:
        service.close()


@pytest.fixture(scope="session")
def kafka_url() -> Iterator[str]:
    """Address of a real broker, ``kafka://host:port``, shared by all tests: use ``topic_prefix``."""
    yield from _shared("kafka")


@pytest.fixture(scope="session")
def kafka_bootstrap(kafka_url: str) -> str:
    """The same broker as ``host:port``."""
    return urlsplit(kafka_url).netloc


@pytest.fixture(scope="session")
def mongo_server_url() -> Iterator[str]:
    """Address of the run's MongoDB server; tests take ``mongo_url``."""
    yield from _shared("mongo")


@pytest.fixture(scope="session")
def mariadb_server_url() -> Iterator[str]:
    """Address of the run's MariaDB server; tests take ``mariadb_url``."""
    yield from _shared("mariadb")


@pytest.fixture
def unique_name() -> str:
    """A name no other test has: letters, digits and underscores, starting with a letter."""
    return f"fraudstream_{uuid4().hex[:12]}"


@pytest.fixture
def topic_prefix(unique_name: str) -> str:
    """Prefix for this test's topics and consumer groups, ending in a hyphen."""
    return f"{unique_name.replace('_', '-')}-"


@pytest.fixture
def mongo_url(mongo_server_url: str, unique_name: str) -> Iterator[str]:
    """Address of an empty MongoDB database of this test's own."""
    yield _with_database(mongo_server_url, unique_name)
    with MongoClient[dict[str, Any]](mongo_server_url, serverSelectionTimeoutMS=5000) as client:
        client.drop_database(unique_name)


@pytest.fixture
def mariadb_url(mariadb_server_url: str, unique_name: str) -> Iterator[str]:
    """Address of an empty MariaDB database of this test's own."""
    with connect(mariadb_server_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {unique_name}")
    yield _with_database(mariadb_server_url, unique_name)
    with connect(mariadb_server_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {unique_name}")


@pytest.fixture
def own_kafka() -> Iterator[Callable[..., KafkaServer]]:
    """Start a broker this test alone may stop, kill, freeze and wipe: ``own_kafka(properties=…)``."""
    yield from _own(KafkaServer)


@pytest.fixture
def own_mongo() -> Iterator[Callable[..., MongoServer]]:
    """Start a MongoDB server for this test alone."""
    yield from _own(MongoServer)


@pytest.fixture
def own_mariadb() -> Iterator[Callable[..., MariaDbServer]]:
    """Start a MariaDB server for this test alone."""
    yield from _own(MariaDbServer)


def _own(make: Callable[..., AnyServer]) -> Iterator[Callable[..., AnyServer]]:
    started: list[AnyServer] = []

    def start(**options: Any) -> AnyServer:
        server = make(**options)
        started.append(server)
        try:
            server.start()
        except ServiceMissing as missing:
            _missing(missing)
        return server

    try:
        yield start
    finally:
        for server in started:
            server.close()


def _with_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@pytest.fixture
def stack(
    tmp_path: Path, kafka_url: str, mongo_url: str, mariadb_url: str, topic_prefix: str
) -> Iterator[Callable[..., Stack]]:
    """Make an installation on the shared services, with its topics: ``stack(FLUSH_INTERVAL_SECONDS=1)``."""
    made: list[Stack] = []

    def make(**settings: object) -> Stack:
        installation = Stack(tmp_path, kafka_url, mongo_url, mariadb_url, topic_prefix, **settings)
        made.append(installation)
        installation.create_topics()
        return installation

    try:
        yield make
    finally:
        for installation in made:
            installation.close()
