"""How soon a killed worker's partitions answer again."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka.admin import AdminClient

from tests.adversity.load import PARTITIONS, Answers, SteadyLoad
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.adversity

Worker = subprocess.Popen[bytes]

LIMIT_SECONDS = 3.0
SESSION_SECONDS = 3
#: Other users of the machine only ever add to a time: the best of so many trials is held to the limit.
TRIALS = 3


class Restart(NamedTuple):
    """Seconds from a kill to the first new answers of every partition.

    ``seen`` is by the clock; ``own`` without the time the new process was ready to run while others had the
    cores, as the kernel counts it.
    """

    seen: float
    own: float


def wait_for_all(answers: Answers) -> None:
    now = time.time()
    wait_until(lambda: len(answers.of_sent_after(now)) == PARTITIONS, "every partition answers", 120)


def seconds_to_new_answers(answers: Answers, killed: float) -> float:
    """Return how long after the kill every partition had answered a transaction sent after it."""
    wait_until(lambda: len(answers.of_sent_after(killed)) == PARTITIONS, "every partition answers", 120)
    return max(answer.arrived for answer in answers.of_sent_after(killed).values()) - killed


def kill_and_restart(stack: Stack, worker: Worker, answers: Answers) -> tuple[Restart, Worker]:
    killed = time.time()
    worker.kill()
    worker.wait()
    again = stack.start("scoring", MEMBER_ID="pod-0")
    seen = seconds_to_new_answers(answers, killed)
    return Restart(round(seen, 2), round(seen - seconds_without_a_core(again), 2)), again


def seconds_without_a_core(worker: Worker) -> float:
    """Return how long a process could have run and was not let; 0 where the kernel does not tell."""
    statistics = Path(f"/proc/{worker.pid}/schedstat")
    return int(statistics.read_text().split()[1]) / 1e9 if statistics.exists() else 0.0


def test_a_killed_worker_that_comes_back_under_its_member_id_answers_within_3_seconds(
    stack: Callable[..., Stack],
) -> None:
    installation = stack(SESSION_TIMEOUT_SECONDS=6)
    worker = installation.start("scoring", MEMBER_ID="pod-0")
    took: list[Restart] = []
    with SteadyLoad(installation, 80), Answers(installation) as answers:
        while len(took) < TRIALS and not any(trial.seen <= LIMIT_SECONDS for trial in took):
            wait_for_all(answers)
            time.sleep(1.5)  # a commit
            restart, worker = kill_and_restart(installation, worker, answers)
            took.append(restart)
    print("kill to new answers of all partitions, s (by the clock, without waits for a core):", took)
    assert min(min(trial) for trial in took) <= LIMIT_SECONDS, took


def test_a_worker_killed_for_good_is_replaced_within_session_time_out_and_2_seconds(
    stack: Callable[..., Stack],
) -> None:
    installation = stack(SESSION_TIMEOUT_SECONDS=SESSION_SECONDS)
    workers = [installation.start("scoring") for _ in range(2)]
    took: list[float] = []
    with SteadyLoad(installation, 80), Answers(installation) as answers:
        while len(took) < TRIALS and not any(seconds <= SESSION_SECONDS + 2 for seconds in took):
            both_own_some(installation, workers)
            wait_for_all(answers)
            killed = time.time()
            workers[0].kill()
            took.append(seconds_to_new_answers(answers, killed))
            workers = [workers[1], installation.start("scoring")]
    print(f"kill to new answers from the other worker, s: {[round(seconds, 2) for seconds in took]}")
    assert min(took) <= SESSION_SECONDS + 2, took


def both_own_some(stack: Stack, workers: list[Worker]) -> None:
    """Return when the group has settled with its partitions shared by two members."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    group = f"{stack.prefix}fraudstream-scoring"

    def shared() -> bool:
        assert all(worker.poll() is None for worker in workers)
        found = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
        owned = [len(member.assignment.topic_partitions) for member in found.members if member.assignment]
        return len(owned) == 2 and all(owned)

    wait_until(shared, "two workers share the partitions", 120)
