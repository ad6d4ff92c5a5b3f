"""A real Apache Kafka broker: one KRaft node that is its own controller."""

import logging
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.jars import JAVA_FLAGS, QUICK_COMPILER, cache_directory, jars, java, made_once
from tests.services.process import HOST, Server, ServiceFailed, free_port

KAFKA_VERSION = "4.3.1"
_COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_CLUSTER_ID = "ZnJhdWRzdHJlYW0tdGVzdA"

_PROPERTIES: Mapping[str, object] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "listener.security.protocol.map": "DIRECT:PLAINTEXT,CABLED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "DIRECT",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",  # a misspelt topic must fail in a test, not appear
    # Tests notice a dead member within a second and do not wait for members that never come.
    "group.min.session.timeout.ms": 1000,
    "group.initial.rebalance.delay.ms": 0,
    # A killed broker's registration blocks its successor until this has passed; nine seconds by default.
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 250,
    # One node holds everything; few internal partitions open quickly.
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,  # 128 MB by default, a quarter of our heap
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
}


class KafkaServer(Server):
    """A broker on loopback. Restarting it, orderly or after ``kill``, keeps topics, groups and offsets.

    Parameters
    ----------
    directory, port
        See :class:`~tests.services.process.Server`.
    properties
        Broker settings over the ones above.
    cable_port
        Port of a :class:`~tests.services.cable.Cable` plugged into ``cabled_port``: clients that come through
        it are told to stay on it, while others reach the broker directly at ``bootstrap``.
    full_compiler
        Run with all of Java's compiler, as brokers in production do: slower for half a minute, faster then.
    """

    name: ClassVar[str] = "kafka"

    def __init__(
        self,
        directory: Path | None = None,
        port: int | None = None,
        *,
        properties: Mapping[str, object] | None = None,
        cable_port: int | None = None,
        full_compiler: bool = False,
    ) -> None:
        super().__init__(directory, port)
        self._controller_port = free_port()
        self.cabled_port = free_port()
        self._cable_port = cable_port or self.cabled_port
        self._properties = dict(properties or {})
        self._full_compiler = full_compiler

    @property
    def bootstrap(self) -> str:
        """``host:port``, as Kafka clients take it."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"kafka://{self.bootstrap}"

    def command(self) -> list[str]:
        libraries = kafka_jars()
        settings = self.directory / "server.properties"
        settings.write_text(_as_properties(self._all_properties()))
        data = self.directory / "data"
        if not data.exists():
            shutil.copytree(_formatted_directory(), data)
        flags = JAVA_FLAGS if self._full_compiler else (QUICK_COMPILER, *JAVA_FLAGS)
        return [java(), "-Xmx512m", *flags, "-cp", f"{libraries}/*", "kafka.Kafka", str(settings)]

    def answers(self) -> bool:
        return kafka_answers(self.bootstrap)

    def _all_properties(self) -> dict[str, object]:
        return {
            **_PROPERTIES,
            "listeners": f"DIRECT://{HOST}:{self.port},CABLED://{HOST}:{self.cabled_port},"
            f"CONTROLLER://{HOST}:{self._controller_port}",
            "advertised.listeners": f"DIRECT://{HOST}:{self.port},CABLED://{HOST}:{self._cable_port}",
            "controller.quorum.voters": f"1@{HOST}:{self._controller_port}",
            "log.dirs": self.directory / "data",
            **self._properties,
        }


def kafka_answers(bootstrap: str) -> bool:
    """Tell whether a Kafka cluster at ``host:port[,host:port]`` knows a live broker."""
    quiet = logging.getLogger("tests.services.quiet")
    quiet.disabled = True
    client = AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 2000}, logger=quiet)
    try:
        return bool(client.list_topics(timeout=2.0).brokers)
    except KafkaException:
        return False


def kafka_jars() -> Path:
    """Return the directory of Kafka's Java archives, fetched if need be."""
    return jars(f"kafka-{KAFKA_VERSION}", _COORDINATES)


def _as_properties(values: Mapping[str, object]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _formatted_directory() -> Path:
    """Return a freshly formatted data directory to copy: formatting costs a Java start of a second or two.

    With a static quorum nothing in it depends on the port, so one serves every broker.
    """
    libraries = kafka_jars()
    target = cache_directory() / f"kafka-{KAFKA_VERSION}-formatted"
    with made_once(target) as scratch:
        if scratch is not None:
            values = {**_PROPERTIES, "controller.quorum.voters": f"1@{HOST}:1", "log.dirs": scratch}
            values |= {"listeners": f"DIRECT://{HOST}:2,CABLED://{HOST}:3,CONTROLLER://{HOST}:1"}
            settings = target.with_name(f"{target.name}.properties")
            settings.write_text(_as_properties(values))
            tool = [java(), QUICK_COMPILER, *JAVA_FLAGS, "-cp", f"{libraries}/*", "kafka.tools.StorageTool"]
            tool += ["format", "--cluster-id", _CLUSTER_ID, "--config", str(settings)]
            done = subprocess.run(tool, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode != 0:
                msg = f"Kafka's storage tool failed:\n{done.stdout}{done.stderr}"
                raise ServiceFailed(msg)
    return target
