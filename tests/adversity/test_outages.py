"""Stores and brokers go away under load and come back: nothing is lost, doubled or kept silent."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from fraudstream.delivery.stopping import STOP_SECONDS
from tests.adversity.exactness import assert_exact
from tests.adversity.load import PARTITIONS, Answers, Memory, Probe, SteadyLoad
from tests.services import KafkaServer, MariaDbServer, MongoServer, Server
from tests.services.process import HOST, accepts_connections, free_port
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.adversity

RATE = 600  #: transactions a second
SILENCE_SECONDS = 3.0  #: a machine that others use too may pause everything for a moment
MEMORY_GROWTH_BYTES = 100 << 20
"""How much more a process may hold in an outage than before.

Sixteen slices a partition wait at most, with what was judged of them: about 40 MB.
"""


class Length(NamedTuple):
    """Seconds that each service is away."""

    stores: float
    kafka: float


class Drill:
    """A supervised installation on servers of its own, as an operator sees it."""

    def __init__(self, stack: Stack) -> None:
        ports = [int(stack.environment["FRAUDSTREAM_METRICS_PORT"]) + ordinal for ordinal in range(4)]
        self.stack = stack
        self.scoring = [Probe(port) for port in ports[:2]]
        self.sinks = Probe(ports[2])
        self.workers = [*self.scoring, self.sinks, Probe(ports[3])]

    def wait_until_ready(self) -> None:
        wait_until(lambda: not any(probe.missing() for probe in self.workers), "all are ready", 120)

    def store_goes_away(self, server: Server, store: str, other: str, seconds: float) -> None:
        """Scoring and the other store go on; the sinks say what they miss, and that they have it again."""
        sinks, up, retries = self.sinks, "fraudstream_store_up", "fraudstream_store_retries_total"
        with Answers(self.stack) as answers, away(server):
            started = time.time()
            wait_until(lambda: store in sinks.missing(), f"the sinks miss {store}", 30)
            tried = sinks.metric(retries, store=store)
            assert (sinks.metric(up, store=store), sinks.metric(up, store=other)) == (0, 1)
            time.sleep(max(0.0, started + seconds - time.time()))
            assert sinks.metric(retries, store=store) > tried
            assert set(sinks.missing()) == {store}
            assert [probe.missing() for probe in self.scoring] == [{}, {}]
        silence = longest_silence(answers)
        assert silence < SILENCE_SECONDS, f"scoring was silent for {silence:.1f} s while {store} was away"
        back = wait_until(lambda: not sinks.missing(), f"the sinks have {store} again", 60)
        assert sinks.metric(up, store=store) == 1
        print(
            f"{store} away {seconds} s: longest silence of scoring {silence:.2f} s, ready {back:.1f} s after"
        )

    def kafka_goes_away(self, kafka: Server, seconds: float) -> None:
        """Every worker says so, whether it waits or starts again; afterwards all partitions answer."""
        with away(kafka):
            noticed = wait_until(
                lambda: all(probe.missing() for probe in self.workers), "every worker says so", 30
            )
            time.sleep(max(0.0, seconds - noticed))
        back = time.time()
        with Answers(self.stack) as answers:
            wait_until(lambda: len(answers.of_sent_after(back)) == PARTITIONS, "all partitions answer", 120)
            silent = max(answer.arrived for answer in answers.of_sent_after(back).values()) - back
        self.wait_until_ready()
        print(f"kafka away {seconds} s: noticed after {noticed:.1f} s, all answer {silent:.1f} s after it")


@pytest.mark.parametrize(
    "length",
    [
        pytest.param(Length(stores=8, kafka=6), id="short"),
        pytest.param(
            Length(stores=60, kafka=20), id="full", marks=[pytest.mark.slow, pytest.mark.timeout(900)]
        ),
    ],
)
def test_each_service_goes_away_in_turn_and_nothing_is_lost_doubled_or_kept_silent(
    tmp_path: Path,
    own_kafka: Callable[..., KafkaServer],
    own_mongo: Callable[..., MongoServer],
    own_mariadb: Callable[..., MariaDbServer],
    length: Length,
) -> None:
    kafka, mongo, mariadb = own_kafka(), own_mongo(), own_mariadb()
    stack = Stack(tmp_path, kafka.url, mongo.url, mariadb.url, "", METRICS_PORT=first_of_free_ports(4))
    stack.create_topics()
    drill = Drill(stack)
    supervisor = stack.supervise("--scoring", "2", "--sinks", "1", "--learning", "1")
    try:
        with SteadyLoad(stack, RATE) as load, Memory(supervisor.pid) as memory:
            for number in range(10):  # readiness asks for a model, and a model for labels
                stack.send("labels", label(number), key=f"tx-{number}")
            drill.wait_until_ready()
            time.sleep(5)
            usual = memory.take_highest()
            drill.store_goes_away(mariadb, "counts", "archive", length.stores)
            drill.store_goes_away(mongo, "archive", "counts", length.stores)
            drill.kafka_goes_away(kafka, length.kafka)
            highest = memory.take_highest()
        number = assert_exact(stack, seconds=240)
        print(
            f"{number} transactions at {RATE}/s: 0 lost, 0 doubled in classifications, archive and counts; "
            f"largest process {highest >> 20} MB, before the outages {usual >> 20} MB"
        )
        assert load.sent - stack.refused.total() <= number <= load.sent, dict(stack.refused)
        assert highest < usual + MEMORY_GROWTH_BYTES
        supervisor.terminate()
        assert supervisor.wait(60) == 0
    finally:
        stack.close()


def test_workers_told_to_stop_while_everything_is_away_end_before_an_orchestrator_kills_them(
    tmp_path: Path, own_kafka: Callable[..., KafkaServer], own_mongo: Callable[..., MongoServer]
) -> None:
    kafka, mongo = own_kafka(), own_mongo()
    stack = Stack(tmp_path, kafka.url, mongo.url, "mysql://nobody@127.0.0.1:1/none", "")
    stack.create_topics()
    started = []
    try:
        for role in ("scoring", "sinks", "learning"):
            port = free_port()
            started.append((role, stack.start(role, METRICS_PORT=port), Probe(port)))
        for role, _, probe in started:
            wait_until(lambda probe=probe: set(probe.missing()) <= {"counts"}, f"{role} is ready", 60)
        with away(kafka), away(mongo):
            for role, _, probe in started:
                wait_until(lambda probe=probe: "kafka" in probe.missing(), f"{role} misses the broker", 30)
            told = time.monotonic()
            for _, worker, _ in started:
                worker.terminate()
            for role, worker, _ in started:
                worker.wait(STOP_SECONDS + 5)
                print(f"{role} ended {time.monotonic() - told:.1f} s after, with {worker.returncode}")
    finally:
        stack.close()


@contextmanager
def away(server: Server) -> Iterator[None]:
    """Have a server stopped for as long as the block lasts; it comes back on the same port with its data."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def label(number: int) -> dict[str, str]:
    return {
        "transaction_id": f"tx-{number}",
        "label": "genuine",
        "source": "analyst",
        "labelled_at": datetime.now(UTC).isoformat(),
    }


def first_of_free_ports(number: int) -> int:
    """Return the first of free ports that follow each other, as the processes of a supervisor take them."""
    while True:
        first = free_port()
        if not any(accepts_connections(HOST, first + step) for step in range(number)):
            return first


def longest_silence(answers: Answers) -> float:
    times = sorted(answer.arrived for answer in answers.heard)
    assert times, "scoring stopped"
    return max((later - earlier for earlier, later in pairwise(times)), default=0.0)
