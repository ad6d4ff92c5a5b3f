"""A steady load on the transactions topic, and an ear on the answers."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from tests.stack import Stack, wait_until

PARTITIONS = 4
_TICK_SECONDS = 0.02


def transaction(number: int, moment: datetime, **changes: Any) -> dict[str, Any]:
    """Return a native transaction of one of a few hundred cards, always of the same partition."""
    card = number % (PARTITIONS * 50)
    return {
        "transaction_id": f"tx-{number}",
        "event_time": moment.isoformat(),
        "amount_minor": 100 + number * 37 % 90_000,
        "currency": "GBP",
        "card_id": f"card-{card}",
        "terminal_id": f"terminal-{number * 7 % 60}",
        "merchant_group": f"group-{number % 11}",
        "entry_mode": ("chip", "contactless", "online")[number % 3],
        "bank": f"bank-{number % 5}",
        **changes,
    }


class SteadyLoad:
    """Sends transactions from a thread of its own, in turn to each partition, until the block is left.

    A broker that is away holds nothing up: the producer keeps what it could not send, and sends it later.
    What it gives up is counted in the stack's ``refused``: that is between it and the broker.
    """

    def __init__(
        self, stack: Stack, per_second: int, value: Callable[[int], dict[str, Any]] | None = None
    ) -> None:
        self.sent = 0
        self._stack = stack
        self._per_second = per_second
        self._value = value or (lambda number: transaction(number, datetime.now(UTC)))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if exc is None:
            self._stack.settle()

    def _run(self) -> None:
        started = time.monotonic()
        while not self._stopping.wait(_TICK_SECONDS):
            due = int((time.monotonic() - started) * self._per_second)
            while self.sent < due:
                value = self._value(self.sent)
                self._stack.send(
                    "transactions", value, key=value["card_id"], partition=self.sent % PARTITIONS
                )
                self.sent += 1


class Answer(NamedTuple):
    """One classification as it arrived; times in seconds since 1970."""

    partition: int
    sent: float
    scored: float
    arrived: float
    model_version: int


class Answers:
    """Listens to ``classifications`` from now on, until the block is left."""

    def __init__(self, stack: Stack) -> None:
        self.heard: list[Answer] = []
        self._topic = stack.prefix + "classifications"
        self._consumer = Consumer(
            {
                "bootstrap.servers": stack.bootstrap,
                "group.id": "a-listener",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
            }
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answers")

    def __enter__(self) -> Self:
        wait_until(self._stands_at_the_ends, "the listener stands at the ends of the answers")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _stands_at_the_ends(self) -> bool:
        here = []
        try:
            for partition in range(PARTITIONS):
                at = TopicPartition(self._topic, partition)
                at.offset = self._consumer.get_watermark_offsets(at, timeout=10)[1]
                here.append(at)
        except KafkaException:  # a topic that was just made has no leader yet
            return False
        self._consumer.assign(here)
        return True

    def of_sent_after(self, moment: float) -> dict[int, Answer]:
        """Return the first answer of each partition to a transaction that was sent after a moment."""
        first: dict[int, Answer] = {}
        for answer in tuple(self.heard):
            if answer.sent > moment:
                first.setdefault(answer.partition, answer)
        return first

    def _run(self) -> None:
        while not self._stopping.is_set():
            for record in self._consumer.consume(500, timeout=0.05):
                if record.error() is None and record.value():
                    arrived = time.time()
                    value = json.loads(record.value())
                    scored = datetime.fromisoformat(value["scored_at"]).timestamp()
                    sent = record.timestamp()[1] / 1000
                    self.heard.append(
                        Answer(record.partition(), sent, scored, arrived, value["model_version"])
                    )


class Memory:
    """Watches how much memory the descendants of a process hold, twice a second."""

    def __init__(self, pid: int) -> None:
        self.highest_bytes = 0
        self._root = psutil.Process(pid)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def take_highest(self) -> int:
        """Return the most that one process held since the last call."""
        highest, self.highest_bytes = self.highest_bytes, 0
        return highest

    def _run(self) -> None:
        while not self._stopping.wait(0.5):
            for process in self._root.children(recursive=True):
                try:
                    self.highest_bytes = max(self.highest_bytes, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue  # it ended since it was listed


class Probe:
    """Asks one worker process about its health and metrics, as an orchestrator and Prometheus do."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def missing(self) -> dict[str, str]:
        """Return what readiness misses, each with its reason; ``process`` if that is gone."""
        try:
            with urlopen(f"{self._address}/healthz/ready", timeout=2) as answer:
                report = json.load(answer)
        except HTTPError as unready:
            with unready:
                report = json.load(unready)
        except OSError as exc:
            return {"process": str(exc)}
        return {
            name: condition["reason"]
            for name, condition in report["conditions"].items()
            if not condition["holds"]
        }

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric; -1 if the process is gone or has none of those labels."""
        try:
            with urlopen(f"{self._address}/metrics", timeout=2) as answer:
                text = answer.read().decode()
        except OSError:
            return -1.0
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return -1.0
