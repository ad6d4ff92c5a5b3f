"""The embedded cluster: what the demo relies on, on librdkafka's mock cluster as it really behaves."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CorruptRecordException

from fraudstream.embedded.cluster import EmbeddedCluster, parse_topics
from fraudstream.embedded.mock_library import MockClusterError
from fraudstream.errors import InvalidInput

TOPICS = {"transactions": 4, "training-examples": 1, "model-snapshots": 1}


@pytest.fixture
def cluster():
    with EmbeddedCluster(TOPICS) as running:
        yield running


def gone(pid: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


async def test_topics_have_the_partitions_that_were_asked_for(cluster):
    async with AIOKafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
        partitions = {name: len(await producer.partitions_for(name)) for name in TOPICS}
    assert partitions == TOPICS


async def test_a_group_reads_what_an_idempotent_producer_wrote_and_resumes_at_its_commit(cluster):
    async with AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, enable_idempotence=True) as producer:
        for number in range(40):
            await producer.send_and_wait("transactions", b"%d" % number, partition=number % 4)

    async def read(count: int) -> list[int]:
        values: list[int] = []
        async with AIOKafkaConsumer(
            "transactions",
            bootstrap_servers=cluster.bootstrap,
            group_id="readers",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_poll_records=5,
        ) as consumer:
            while len(values) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    values.extend(int(record.value) for record in records)
            await consumer.commit()
        return values

    first = await read(20)
    rest = await read(40 - len(first))

    assert sorted(first + rest) == list(range(40))


async def commit_two_transactions(cluster):
    async with AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="learner") as producer:
        for weights in (b"first", b"second"):
            async with producer.transaction():
                await producer.send_and_wait("model-snapshots", weights, partition=0)


async def read_snapshots(cluster, count, **options):
    async with AIOKafkaConsumer(
        bootstrap_servers=cluster.bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        **options,
    ) as consumer:
        consumer.assign([TopicPartition("model-snapshots", 0)])
        return [(await consumer.getone()).value for _ in range(count)]


async def test_committed_transactions_are_read_by_a_reader_of_committed_records(cluster):
    await commit_two_transactions(cluster)
    assert await read_snapshots(cluster, 2, check_crcs=False) == [b"first", b"second"]


async def test_commit_markers_carry_no_checksum_which_is_why_readers_must_not_ask_for_one(cluster):
    await commit_two_transactions(cluster)
    with pytest.raises(CorruptRecordException):
        await read_snapshots(cluster, 2)


async def test_a_group_forms_in_less_than_two_seconds(cluster):
    started = time.monotonic()
    async with AIOKafkaConsumer(
        "transactions", bootstrap_servers=cluster.bootstrap, group_id="quick"
    ) as consumer:
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=50)
    assert time.monotonic() - started < 2


def test_nothing_is_left_after_stopping(cluster):
    pid = cluster.pid
    cluster.stop()
    assert gone(pid)
    assert cluster.pid is None


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGTERM])
def test_the_broker_dies_with_its_parent(fatal):
    program = (
        "import time\n"
        "from fraudstream.embedded.cluster import EmbeddedCluster\n"
        "cluster = EmbeddedCluster({'transactions': 1})\n"
        "cluster.start()\n"
        "print(cluster.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        broker = int(parent.stdout.readline())
        assert psutil.pid_exists(broker)
        os.kill(parent.pid, fatal)
    assert gone(broker)


def test_the_address_is_refused_while_nothing_runs():
    with pytest.raises(MockClusterError, match="not running"):
        _ = EmbeddedCluster(TOPICS).kafka_url


def test_a_start_that_fails_says_why_and_leaves_nothing_running():
    cluster = EmbeddedCluster({"two words and a / slash": 0})
    with pytest.raises(MockClusterError, match="at least one partition"):
        cluster.start()
    assert cluster.pid is None


@pytest.mark.parametrize("argument", ["transactions", "=4", "transactions=0", "transactions=four"])
def test_a_malformed_topic_argument_is_refused(argument):
    with pytest.raises(InvalidInput, match="NAME=PARTITIONS"):
        parse_topics([argument])
