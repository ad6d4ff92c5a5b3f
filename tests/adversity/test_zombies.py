"""Workers killed or frozen at named moments of a checkpoint: nothing missing, doubled or wrong."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from fraudstream.delivery.backlog import HIGH
from fraudstream.delivery.stopping import ExitStatus
from tests.adversity.load import Probe
from tests.adversity.tally_trial import PARTITIONS, TallyTrial, is_frozen
from tests.adversity.tallying import MOMENTS
from tests.services import free_port
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.adversity

SESSION_SECONDS = 3
#: What comes on top of a full backlog: the fetch that filled it and the one in flight, each 1 MB of records
#: of some 480 bytes.
FETCHED_RECORDS = 5_000
slow = [pytest.mark.slow, pytest.mark.timeout(600)]


def freeze_and_wake(trial: TallyTrial, moment: str) -> str:
    """Freeze a worker until another one has its partitions, wake it, kill the other; say what it did.

    The kill makes a third worker recover from a changelog that the zombie may have written to last.
    """
    zombie = trial.start(TALLY_FREEZE=moment, TALLY_FREEZE_EVERY=10)
    with trial.steadily(600):
        wait_until(lambda: is_frozen(zombie), "the worker freezes", 120)
        frozen_at = trial.stack.ends("classifications")
        successor = trial.start()

        def has_taken_over() -> bool:
            ends = trial.stack.ends("classifications")
            return all(end > before + 20 for end, before in zip(ends, frozen_at, strict=True))

        wait_until(has_taken_over, "another worker has taken over every partition", 120)
        zombie.send_signal(signal.SIGCONT)
        time.sleep(0.25)
        successor.kill()
        successor.wait()
        last = trial.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            zombie.wait(5)
    if zombie.poll() is None:  # it saw in time that it had lost its partitions, or froze again
        fate = "frozen again" if is_frozen(zombie) else "joined again"
        zombie.kill()
        zombie.wait()
    else:
        assert zombie.returncode == ExitStatus.FENCED, trial.stack.log_of(zombie)[-3000:]
        fate = "fenced"
    trial.send_to_each_key()
    trial.wait_until_answered()
    trial.check()
    last.kill()
    last.wait()
    return fate


@pytest.mark.parametrize("trials", [1, pytest.param(3, marks=slow)])
@pytest.mark.parametrize("fetch", ["thread", "loop"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_zombie_neither_doubles_answers_nor_spoils_state(
    stack: Callable[..., Stack], moment: str, fetch: str, trials: int
) -> None:
    trial = TallyTrial(stack(SESSION_TIMEOUT_SECONDS=SESSION_SECONDS), TALLY_FETCH=fetch)
    fates = [freeze_and_wake(trial, moment) for _ in range(trials)]
    print(f"frozen at {moment!r}: {fates}; {trial.sent} amounts, all exact")


# Slow, both: once in about ten runs on a busy machine a static member that is back within two seconds of
# its second kill is given nothing for minutes. Nothing is lost by it; why it waits is not found yet
# (docs/development.md).
@pytest.mark.parametrize("kills", [pytest.param(2, marks=slow), pytest.param(12, marks=slow)])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_between_two_steps_of_a_checkpoint_changes_nothing(
    stack: Callable[..., Stack], moment: str, kills: int
) -> None:
    # A static member comes back to its partitions at once, so that many kills fit into a short test.
    trial = TallyTrial(stack(MEMBER_ID="pod-0", SESSION_TIMEOUT_SECONDS=6))
    with trial.steadily(600):
        for _ in range(kills):
            worker = trial.start(TALLY_KILL=moment, TALLY_KILL_EVERY=15)
            assert worker.wait(120) == -signal.SIGKILL, trial.stack.log_of(worker)[-3000:]
        trial.start()
    trial.send_to_each_key()
    trial.wait_until_answered()
    trial.check()
    print(f"{kills} kills at {moment!r}: {trial.sent} amounts, all exact")


@pytest.mark.parametrize("trials", [2, pytest.param(10, marks=slow)])
def test_a_group_that_has_committed_nothing_beside_a_full_changelog_loses_nothing(
    stack: Callable[..., Stack], trials: int
) -> None:
    # What recovery throws away was fetched already; without a commit, aiokafka would not go back for it.
    trial = TallyTrial(stack(MEMBER_ID="pod-0", COMMIT_INTERVAL_SECONDS=60))
    trial.send(4000)
    trial.stack.flush()
    for _ in range(trials):
        worker = trial.start()
        wait_until(lambda: sum(trial.stack.ends("classifications")) > PARTITIONS, "it has begun")
        worker.kill()
        worker.wait()
        assert committed(trial.stack) == {}
        trial.send(1000)
        trial.stack.flush()
    trial.start()
    trial.wait_until_answered()
    trial.check()


def test_a_group_whose_commits_were_reset_loses_and_doubles_nothing(stack: Callable[..., Stack]) -> None:
    trial = TallyTrial(stack(SESSION_TIMEOUT_SECONDS=SESSION_SECONDS))
    trial.send(4000)
    trial.stack.flush()
    worker = trial.start()
    trial.wait_until_answered()
    wait_until(lambda: bool(committed(trial.stack)), "offsets are committed")
    worker.terminate()
    assert worker.wait(30) == 0
    admin = AdminClient({"bootstrap.servers": trial.stack.bootstrap})
    for future in admin.delete_consumer_groups([group_of(trial.stack)]).values():
        future.result(30)
    assert committed(trial.stack) == {}
    trial.send(2000)
    trial.stack.flush()
    trial.start()
    trial.wait_until_answered()
    trial.check()


def test_a_partition_that_waits_for_a_store_holds_back_nothing_but_itself(
    stack: Callable[..., Stack], tmp_path: Path
) -> None:
    port = free_port()
    trial = TallyTrial(stack(METRICS_PORT=port))
    shut = tmp_path / "shut"
    shut.touch()
    trial.start(TALLY_SHUT=shut)
    trial.send(80_000, digits=400)  # 8 MB a partition
    trial.stack.flush()
    sent = trial.stack.ends("transactions")
    wait_until(
        lambda: all(
            end >= wanted
            for end, wanted in zip(trial.stack.ends("classifications")[1:], sent[1:], strict=True)
        ),
        "all other partitions are answered to their end",
    )
    assert trial.stack.ends("classifications")[0] <= 1, "partition 0 holds nothing but a claim"
    waiting = Probe(port).metric("fraudstream_pending_records", agent="scoring")
    assert HIGH <= waiting <= HIGH + FETCHED_RECORDS, f"{waiting} records wait of {sent[0]}"
    shut.unlink()
    trial.wait_until_answered()
    trial.check()


def group_of(stack: Stack) -> str:
    return f"{stack.prefix}fraudstream-scoring"


def committed(stack: Stack) -> dict[int, int]:
    """Return what the scoring group has committed, by partition."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    asked = ConsumerGroupTopicPartitions(group_of(stack))
    found = admin.list_consumer_group_offsets([asked])[group_of(stack)].result(30)
    return {
        at.partition: at.offset
        for at in found.topic_partitions or ()
        if at.offset > 0 and at.topic == stack.prefix + "transactions"
    }
