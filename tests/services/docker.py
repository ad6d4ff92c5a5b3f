"""The same services as containers, for machines that have a container engine and not the programs."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import ClassVar

from tests.services.kafka import kafka_answers
from tests.services.mariadb import mariadb_answers
from tests.services.mongo import mongo_answers
from tests.services.process import HOST, Server

# The images of compose.yaml; a repository test compares them.
KAFKA_IMAGE = "apache/kafka:4.3.1"
MONGO_IMAGE = "mongo:8.0"
MARIADB_IMAGE = "mariadb:11.8"


def engine_answers() -> bool:
    """Tell whether a Docker engine can be asked to run something."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        done = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=20,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


class Container(Server):
    """A server in a container that ends with the tests; it keeps no data over a restart.

    The command stays in the foreground and hands signals on, so that it is supervised like any other server.
    """

    image: ClassVar[str]
    listens_on: ClassVar[int | None]  # None: inside on the same port as outside

    def environment(self) -> Mapping[str, object]:
        """Return the variables the image is configured by."""
        return {}

    def arguments(self) -> Sequence[str]:
        """Return what follows the image's name."""
        return ()

    @property
    def container_name(self) -> str:
        """Name of the container, unique by its port."""
        return f"fraudstream-test-{self.name}-{self.port}"

    def command(self) -> list[str]:
        inside = self.listens_on or self.port
        command = ["docker", "run", "--rm", "--name", self.container_name]
        command += ["--publish", f"{HOST}:{self.port}:{inside}"]
        for key, value in self.environment().items():
            command += ["--env", f"{key}={value}"]
        return [*command, self.image, *self.arguments()]

    def kill(self) -> None:
        if self.is_running:
            # Killing the client would leave the container running.
            subprocess.run(
                ["docker", "kill", self.container_name], capture_output=True, timeout=60, check=False
            )
        super().kill()


class KafkaContainer(Container):
    """One KRaft node, configured as the broker that runs as a plain process."""

    name, image, listens_on = "kafka", KAFKA_IMAGE, None

    @property
    def url(self) -> str:
        return f"kafka://{HOST}:{self.port}"

    def environment(self) -> Mapping[str, object]:
        return {
            "KAFKA_NODE_ID": 1,
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{self.port},CONTROLLER://localhost:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{HOST}:{self.port}",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": 1,
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": 1,
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": 1,
            "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": 1,
            "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": 1,
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": 0,
            "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": 1000,
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        }

    def answers(self) -> bool:
        return kafka_answers(f"{HOST}:{self.port}")


class MongoContainer(Container):
    """A real mongod, alone."""

    name, image, listens_on = "mongo", MONGO_IMAGE, 27017

    @property
    def url(self) -> str:
        return f"mongodb://{HOST}:{self.port}/fraudstream"

    def answers(self) -> bool:
        return mongo_answers(self.url)


class MariaDbContainer(Container):
    """MariaDB as its administrator, since tests create databases of their own; on loopback only."""

    name, image, listens_on = "mariadb", MARIADB_IMAGE, 3306
    _PASSWORD = "fraudstream"

    @property
    def url(self) -> str:
        return f"mysql://root:{self._PASSWORD}@{HOST}:{self.port}/fraudstream"

    def environment(self) -> Mapping[str, object]:
        return {"MARIADB_ROOT_PASSWORD": self._PASSWORD, "MARIADB_DATABASE": "fraudstream"}

    def answers(self) -> bool:
        return mariadb_answers(self.url)
