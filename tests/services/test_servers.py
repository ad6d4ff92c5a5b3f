import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from pymongo import MongoClient

from tests.services import Cable, KafkaServer, MariaDbServer, MongoServer
from tests.services.mariadb import connect
from tests.services.process import HOST, ServiceFailed, accepts_connections, free_port

_ROOT = Path(__file__).parents[2]


def test_broker_keeps_its_topics_and_address_when_it_is_killed(own_kafka: Callable[..., KafkaServer]) -> None:
    broker = own_kafka()
    url = broker.url
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic("kept", num_partitions=3)])["kept"].result(timeout=10)

    broker.kill()
    broker.start()

    assert broker.url == url
    topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
    assert len(topics["kept"].partitions) == 3


def test_broker_takes_properties_of_its_own(own_kafka: Callable[..., KafkaServer]) -> None:
    broker = own_kafka(properties={"auto.create.topics.enable": "true", "num.partitions": 7})

    topics = AdminClient({"bootstrap.servers": broker.bootstrap, "allow.auto.create.topics": True})

    assert topics.list_topics("made-by-asking", timeout=10) is not None
    assert "num.partitions=7" in (broker.directory / "server.properties").read_text()


def test_documents_survive_a_stop(own_mongo: Callable[..., MongoServer]) -> None:
    server = own_mongo()
    with MongoClient[dict[str, int]](server.url) as client:
        client.get_default_database().kept.insert_one({"_id": 1})

    server.stop()
    server.start()

    with MongoClient[dict[str, int]](server.url) as client:
        assert client.get_default_database().kept.count_documents({}) == 1


def test_committed_rows_survive_a_kill_and_a_wipe_forgets_them(
    own_mariadb: Callable[..., MariaDbServer],
) -> None:
    server = own_mariadb()
    _execute(server, "CREATE TABLE kept (id INT PRIMARY KEY)")
    _execute(server, "INSERT INTO kept VALUES (1)")

    server.kill()
    server.start()
    after_kill = _execute(server, "SELECT id FROM kept")
    server.wipe()
    server.start()

    assert after_kill == ((1,),)
    assert _execute(server, "SHOW TABLES") == ()


def test_frozen_server_accepts_connections_and_says_nothing_until_it_is_thawed(
    own_mariadb: Callable[..., MariaDbServer],
) -> None:
    server = own_mariadb()

    server.freeze()
    frozen = (server.is_running, accepts_connections(HOST, server.port), server.answers())
    server.thaw()

    assert frozen == (True, True, False)
    assert server.answers()


def test_application_user_reaches_neither_files_nor_other_databases(mariadb_url: str) -> None:
    with connect(mariadb_url) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW GRANTS")
        grants = " ".join(str(row[0]) for row in cursor.fetchall())

    if "'root'" in grants:
        pytest.skip("this MariaDB runs in a container, where tests are its administrator")
    assert "GRANT USAGE ON *.*" in grants
    assert "ON `fraudstream%`.*" in grants


def test_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path / "kafka", properties={"process.roles": "nonsense"})

    with pytest.raises(ServiceFailed, match="nonsense"):
        server.start()

    assert not server.is_running


@pytest.mark.services
def test_no_server_outlives_whoever_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.services import MariaDbServer; "
        "server = MariaDbServer(Path(sys.argv[1])).start(); print(server.port, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "mariadb")], cwd=_ROOT, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    with owner.stdout as lines:
        port = int(lines.readline())
    family = psutil.Process(owner.pid).children(recursive=True)

    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()

    _, alive = psutil.wait_procs(family, timeout=20)
    assert len(family) == 2  # supervisor and server
    assert alive == []
    assert not accepts_connections(HOST, port)


def test_two_free_ports_lie_outside_what_clients_are_given() -> None:
    ports = {free_port() for _ in range(20)}

    assert all(15000 <= port < 32000 for port in ports)


def _execute(server: MariaDbServer, statement: str) -> tuple[tuple[object, ...], ...]:
    with connect(server.url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


class _Echo:
    """A server that sends back what it gets."""

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._answer, HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @staticmethod
    async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()


async def _ask(port: int, question: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(question)
        return await reader.readexactly(len(question))
    finally:
        writer.transport.abort()


async def test_cable_carries_both_ways() -> None:
    async with _Echo() as port, Cable(port) as cable:
        assert await _ask(cable.port, b"hello") == b"hello"


async def test_pulled_cable_cuts_connections_and_refuses_new_ones_until_plugged_in() -> None:
    async with _Echo() as port, Cable(port) as cable:
        reader, writer = await asyncio.open_connection(HOST, cable.port)
        writer.write(b"hello")
        await reader.readexactly(5)

        await cable.pull()

        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, cable.port)
        await cable.plug()
        assert await _ask(cable.port, b"again") == b"again"
        writer.transport.abort()


async def test_stalled_cable_holds_everything_back_and_delivers_it_when_plugged_in() -> None:
    async with _Echo() as port, Cable(port) as cable:
        cable.stall()
        asking = asyncio.create_task(_ask(cable.port, b"hello"))

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asking), timeout=0.2)
        await cable.plug()

        assert await asking == b"hello"


async def test_clients_behind_the_cable_stay_on_it(own_kafka: Callable[..., KafkaServer]) -> None:
    async with Cable() as cable:
        broker = await asyncio.to_thread(lambda: own_kafka(cable_port=cable.port))
        cable.target_port = broker.cabled_port

        through_cable = AdminClient({"bootstrap.servers": f"{HOST}:{cable.port}"})
        known = await asyncio.to_thread(lambda: through_cable.list_topics(timeout=10).brokers)

        assert [node.port for node in known.values()] == [cable.port]
