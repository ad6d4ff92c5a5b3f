"""A transaction topic that was made again starts its offsets anew; nobody may take that for a replay."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from fraudstream.delivery.stopping import ExitStatus
from tests.adversity.exactness import answered, assert_exact
from tests.adversity.load import PARTITIONS, transaction
from tests.services import KafkaServer
from tests.stack import Stack, brute_force, wait_until

pytestmark = pytest.mark.adversity

FIRST = 10  #: transactions a partition in the first life of the topic


def send(stack: Stack, each: int, *, first_number: int) -> None:
    for number in range(first_number, first_number + each * PARTITIONS):
        value = transaction(number, datetime.now(UTC))
        stack.send("transactions", value, key=value["card_id"], partition=number % PARTITIONS)
    stack.flush()


def refusal(stack: Stack, role: str, **settings: object) -> str:
    """Return the log of a worker that refuses to run."""
    worker = stack.start(role, **settings)
    assert worker.wait(120) == ExitStatus.REFUSED, stack.log_of(worker)[-3000:]
    return stack.log_of(worker)


def delete_topic(stack: Stack, *names: str) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    for future in admin.delete_topics([stack.prefix + name for name in names]).values():
        future.result(30)

    def is_gone() -> bool:
        return not {stack.prefix + name for name in names} & admin.list_topics(timeout=10).topics.keys()

    wait_until(is_gone, "the topics are gone")


@pytest.mark.parametrize("each", [3, FIRST + 20], ids=["fewer records than before", "more than before"])
def test_a_wiped_broker_beside_full_stores_is_refused_until_the_epoch_is_raised(
    tmp_path: Path, own_kafka: Callable[..., KafkaServer], mongo_url: str, mariadb_url: str, each: int
) -> None:
    kafka = own_kafka()
    stacks = [Stack(tmp_path / name, kafka.url, mongo_url, mariadb_url, "") for name in ("first", "second")]
    for stack in stacks:
        stack.directory.mkdir()
    first, second = stacks
    first.create_topics()
    try:
        for role in ("scoring", "sinks"):
            first.start(role)
        send(first, FIRST, first_number=0)
        assert assert_exact(first) == FIRST * PARTITIONS
        first.close()
        old_documents = first.archived()

        kafka.wipe()
        kafka.start()
        second.create_topics()
        send(second, each, first_number=100_000)
        reason = refusal(second, "scoring")
        assert "scoring: the archive" in reason
        if each < FIRST:
            assert f"up to offset {FIRST - 1}" in reason
            assert f"ends at {each}" in reason
        else:
            assert f"transactions[0]@{FIRST - 1} holds 'tx-1000" in reason
        assert "FRAUDSTREAM_EPOCH=2" in reason
        assert sum(second.ends("classifications")) <= PARTITIONS, "nothing but claims was published"

        second.start("scoring", EPOCH=2)
        answered(second, each * PARTITIONS)
        if each < FIRST:
            reason = refusal(second, "sinks")  # somebody forgot to tell the sinks
            assert f"up to offset {FIRST - 1}" in reason
            assert f"ends at {each}" in reason
        second.start("sinks", EPOCH=2)
        wait_until(
            lambda: second.count_archived() == (FIRST + each) * PARTITIONS, "both epochs are archived", 60
        )
        documents = second.archived()
        assert sum(d["source"]["epoch"] == 2 for d in documents) == each * PARTITIONS
        assert [d for d in documents if d["source"]["epoch"] == 1] == old_documents
        expected = brute_force(documents)
        wait_until(lambda: second.counted() == expected, "both epochs are counted", 120)
    finally:
        first.close()
        second.close()


@pytest.mark.parametrize("each", [3, FIRST + 20], ids=["fewer records than before", "more than before"])
def test_a_topic_made_again_beside_its_old_classifications_is_refused(
    stack: Callable[..., Stack], each: int
) -> None:
    installation = stack()
    worker = installation.start("scoring")
    send(installation, FIRST, first_number=0)
    answered(installation, FIRST * PARTITIONS)
    worker.kill()
    worker.wait()

    delete_topic(installation, "transactions")
    installation.create_topics()
    send(installation, each, first_number=100_000)
    reason = refusal(installation, "scoring")
    assert "classifications[" in reason
    if each < FIRST:
        assert f"up to offset {FIRST - 1}, but that log ends at {each}" in reason
    else:
        assert f"@{FIRST - 1} holds 'tx-1000" in reason
    assert "FRAUDSTREAM_EPOCH=2" in reason

    installation.start("scoring", EPOCH=2)
    answered(installation, (FIRST + each) * PARTITIONS)


def test_a_worker_of_an_older_epoch_than_the_results_is_refused(stack: Callable[..., Stack]) -> None:
    installation = stack()
    send(installation, 1, first_number=0)
    worker = installation.start("scoring", EPOCH=2)
    answered(installation, PARTITIONS)
    worker.kill()
    worker.wait()
    reason = refusal(installation, "scoring", EPOCH=1)
    assert "results of epoch 2" in reason
    assert "set FRAUDSTREAM_EPOCH=2" in reason


def test_a_worker_that_starts_where_nothing_was_lost_is_not_refused(stack: Callable[..., Stack]) -> None:
    installation = stack()
    worker = installation.start("scoring")
    for round_number in range(3):
        send(installation, FIRST, first_number=round_number * 1000)
        answered(installation, (round_number + 1) * FIRST * PARTITIONS)
        worker.kill()
        worker.wait()
        worker = installation.start("scoring")
    send(installation, FIRST, first_number=9000)
    answered(installation, 4 * FIRST * PARTITIONS)
    assert worker.poll() is None
