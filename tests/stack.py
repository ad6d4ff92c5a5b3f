"""The whole stream on real services, as a test drives it: workers as processes, messages in, results out."""

import json
import os
import signal
import subprocess
import sys
import time
from calendar import timegm
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from pymongo import MongoClient

CLAIM_HEADER = "fraudstream-claim"
COMMAND = [sys.executable, "-m", "fraudstream"]


class Stack:
    """One installation: a topic prefix, a MongoDB and a MariaDB database, and the workers a test starts.

    Parameters
    ----------
    directory
        Where logs and data of the workers go.
    kafka_url, mongo_url, mariadb_url, topic_prefix
        As the fixtures of the same names give them.
    settings
        Further settings of every worker, by their variable's name without ``FRAUDSTREAM_``.
    """

    def __init__(
        self,
        directory: Path,
        kafka_url: str,
        mongo_url: str,
        mariadb_url: str,
        topic_prefix: str,
        **settings: object,
    ) -> None:
        self.directory = directory
        self.prefix = topic_prefix
        self.bootstrap = urlsplit(kafka_url).netloc
        self._mongo_url, self._mariadb_url = mongo_url, mariadb_url
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("FRAUDSTREAM_")
        }
        values = {
            "KAFKA_URL": kafka_url,
            "MONGO_URL": mongo_url,
            "MARIADB_URL": mariadb_url,
            "TOPIC_PREFIX": topic_prefix,
            "DATA_DIR": directory / "data",
            "SESSION_TIMEOUT_SECONDS": 3,
            "FLUSH_INTERVAL_SECONDS": 2,
            "LOG_FORMAT": "text",
            # What is sent has its own labels; presumed ones would mix with them by the clock.
            "PRESUME_GENUINE": "false",
            **settings,
        }
        self.environment |= {f"FRAUDSTREAM_{name}": str(value) for name, value in values.items()}
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "linger.ms": 5,
                "enable.idempotence": True,
                # With several, what follows a batch that a restarting broker refuses is out of order, and
                # librdkafka then takes a new epoch (its issue 4953): this is what we measure others with.
                "max.in.flight.requests.per.connection": 1,
                "message.max.bytes": 1_048_588,
            }
        )
        #: What brokers refused or may have lost, by topic, partition and reason.
        self.refused: Counter[str] = Counter()
        self._workers: list[subprocess.Popen[bytes]] = []
        self.logs: list[Path] = []

    def run(
        self, *arguments: str, check: bool = True, timeout: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """Run a ``fraudstream`` command to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            message = (
                f"fraudstream {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
            raise AssertionError(message)
        return done

    def create_topics(self) -> None:
        self.run("topics", "create")

    def start(
        self, role: str, *, module: str = "fraudstream", **settings: object
    ) -> "subprocess.Popen[bytes]":
        """Start one worker process of a role, and return at once."""
        return self._launch([sys.executable, "-m", module, "worker"], role, {"ROLE": role, **settings})

    def supervise(self, *arguments: str, **settings: object) -> "subprocess.Popen[bytes]":
        """Start ``fraudstream worker`` as people do: a supervisor with one process for each role."""
        return self._launch([*COMMAND, "worker", *arguments], "supervisor", settings)

    def _launch(
        self, command: Sequence[str], name: str, settings: Mapping[str, object]
    ) -> "subprocess.Popen[bytes]":
        number = len(self.logs)
        environment = self.environment | {
            key if key.startswith("TALLY_") else f"FRAUDSTREAM_{key}": str(value)
            for key, value in settings.items()
        }
        environment["FRAUDSTREAM_DATA_DIR"] = str(self.directory / f"data-{number}")
        self.logs.append(self.directory / f"{number}-{name}.log")
        with self.logs[-1].open("wb") as log:
            worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._workers.append(worker)
        return worker

    def log_of(self, worker: "subprocess.Popen[bytes]") -> str:
        """Return what a worker has logged so far."""
        return self.logs[self._workers.index(worker)].read_text(errors="replace")

    def close(self) -> None:
        """Kill every worker that still runs."""
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait()

    def send(
        self,
        topic: str,
        value: bytes | str | Mapping[str, Any] | None,
        *,
        key: str | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int = 0,
    ) -> None:
        """Queue one message; :meth:`flush` sees it delivered."""
        if isinstance(value, Mapping):
            value = json.dumps(value)
        where = {} if partition is None else {"partition": partition}
        while True:
            try:
                self._producer.produce(
                    self.prefix + topic,
                    value=value,
                    key=key,
                    headers=list(headers),
                    timestamp=timestamp_ms,
                    on_delivery=self._delivered,
                    **where,
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def flush(self) -> None:
        """Return when every queued message is in the log."""
        self.settle()
        assert not self.refused, f"messages could not be delivered: {dict(self.refused)}"

    def settle(self) -> None:
        """Return when every queued message is in the log or counted in :attr:`refused`."""
        assert self._producer.flush(60) == 0, "messages could not be delivered"

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.refused[f"{message.topic()}-{message.partition()}: {error}"] += 1

    def records(self, topic: str, *, partitions: int | None = None) -> list[Any]:
        """Return every message of a topic, partition after partition; claims and markers are left out."""
        return list(self._records(topic, partitions))

    def _records(self, topic: str, partitions: int | None) -> Iterator[Any]:
        consumer = self._consumer()
        try:
            count = partitions or len(
                consumer.list_topics(self.prefix + topic, timeout=10).topics[self.prefix + topic].partitions
            )
            for partition in range(count):
                at = TopicPartition(self.prefix + topic, partition, 0)
                low, end = _watermarks(consumer, at)
                at.offset = position = low
                consumer.assign([at])
                deadline = time.monotonic() + 60
                while position < end:
                    assert time.monotonic() < deadline, f"{topic}[{partition}] cannot be read to its end"
                    for record in consumer.consume(10_000, timeout=0.5):
                        assert record.error() is None, record.error()
                        position = record.offset() + 1
                        if not any(name == CLAIM_HEADER for name, _ in record.headers() or ()):
                            yield record
                    (now,) = consumer.position([at])
                    position = max(position, now.offset)
        finally:
            consumer.close()

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "a-test",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )

    def ends(self, topic: str) -> list[int]:
        """Return where each partition of a topic ends, claims counted."""
        consumer = self._consumer()
        try:
            name = self.prefix + topic
            found = consumer.list_topics(name, timeout=10).topics[name].partitions
            return [_watermarks(consumer, TopicPartition(name, p))[1] for p in sorted(found)]
        finally:
            consumer.close()

    def archived(self, *fields: str) -> list[dict[str, Any]]:
        """Return every document of the archive, whole or only some fields of it."""
        # A server that reads out everything may be slow to answer the client's own heartbeat; without the
        # long timeout that would cancel the reading.
        with MongoClient[dict[str, Any]](self._mongo_url, connectTimeoutMS=120_000) as client:
            return list(client.get_default_database()["classifications"].find({}, fields or None))

    def count_archived(self) -> int:
        """Return the number of documents in the archive."""
        with MongoClient[dict[str, Any]](self._mongo_url) as client:
            return client.get_default_database()["classifications"].count_documents({})

    def counted(self) -> Counter[tuple[int, int, str, str, str]]:
        """Return the cells in MariaDB, partitions summed: epoch, window, population, dimension, value."""
        rows = self.query(
            "SELECT epoch, CAST(TIMESTAMPDIFF(SECOND, '1970-01-01', window_start) AS SIGNED), population,"
            " dimension, value, CAST(SUM(count) AS SIGNED) FROM window_counts GROUP BY 1, 2, 3, 4, 5"
        )
        return Counter({tuple(row[:5]): row[5] for row in rows})

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on MariaDB."""
        url = urlsplit(self._mariadb_url)
        connection = pymysql.connect(
            host=url.hostname or "",
            port=url.port or 3306,
            user=url.username or "",
            password=url.password or "",
            database=url.path[1:],
            ssl_disabled=True,  # on loopback; reading all the world's certificates takes 20 ms
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def _watermarks(consumer: Consumer, at: TopicPartition) -> tuple[int, int]:
    """Return where a partition begins and ends; one that was just made may have no leader for a moment."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return consumer.get_watermark_offsets(at, timeout=10)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> float:
    """Return how long it took until a condition held; fail with ``what`` when it does not come to hold."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"waited {seconds} s in vain: {what}"
        time.sleep(0.1)
    return time.monotonic() - started


DIMENSIONS = (
    "card_type",
    "entry_mode",
    "transaction_type",
    "merchant_group",
    "transaction_country",
    "shipping_country",
    "residence_country",
    "bank",
)


def brute_force(
    documents: Sequence[Mapping[str, Any]], size_seconds: int = 300
) -> Counter[tuple[int, int, str, str, str]]:
    """Count archived documents the slow way, as :meth:`Stack.counted` would return them."""
    cells: Counter[tuple[int, int, str, str, str]] = Counter()
    for document in documents:
        seconds = timegm(document["event_time"].timetuple())
        window = seconds - seconds % size_seconds
        populations = ["all"] if document["decision"] == "approve" else ["all", "fraud"]
        for population in populations:
            for dimension in DIMENSIONS:
                value = document["transaction"].get(dimension) or "unknown"
                cells[document["source"]["epoch"], window, population, dimension, value] += 1
            cells[document["source"]["epoch"], window, population, "decision", document["decision"]] += 1
    return cells
