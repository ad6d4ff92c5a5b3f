"""A whole day of capstone messages, as their producer sends them, through workers that are killed, frozen
and joined."""

import csv
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fraudstream.delivery.stopping import ExitStatus
from tests.stack import Stack, brute_force, wait_until

DAY = Path("../shared/data/CreditCardData-13-Oct-20.csv")
PARTITIONS = 4

pytestmark = [
    pytest.mark.adversity,
    pytest.mark.shared_data,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not DAY.exists(), reason="needs the developers' data sets"),
]


def rows_of_the_day() -> int:
    with DAY.open(encoding="utf-8-sig") as file:
        return sum(1 for _ in csv.DictReader(file))


def done(stack: Stack, rows: int) -> bool:
    """Every row is classified or a dead letter (the log may also hold claims)."""
    return sum(stack.ends("classifications")) + sum(stack.ends("dead-letters")) >= rows and (
        len(stack.records("classifications")) + len({identity(r) for r in stack.records("dead-letters")})
        >= rows
    )


def identity(letter: object) -> tuple[str, ...]:
    headers = dict(letter.headers())  # type: ignore[attr-defined]
    return tuple(
        headers[f"fraudstream-dead-letter-{name}"].decode() for name in ("topic", "partition", "offset")
    )


def check_everything(stack: Stack, rows: int) -> None:
    """Nothing lost and nothing doubled: in the classifications, in the archive, in the counts."""
    import json

    positions: Counter[tuple[int, int]] = Counter()
    for record in stack.records("classifications"):
        source = json.loads(record.value())["source"]
        assert source["partition"] == record.partition()
        positions[source["partition"], source["offset"]] += 1
    refused = {identity(letter) for letter in stack.records("dead-letters")}
    assert max(positions.values()) == 1
    assert len(positions) + len(refused) == rows
    assert not {(int(p), int(o)) for _, p, o in refused} & positions.keys()

    wait_until(lambda: stack.count_archived() >= len(positions), "every classification is archived", 120)
    documents = stack.archived()
    assert Counter((d["source"]["partition"], d["source"]["offset"]) for d in documents) == positions
    expected = brute_force(documents)
    wait_until(
        lambda: stack.counted() == expected, "the counts equal a brute-force count over the archive", 60
    )


def replay(stack: Stack, *options: str) -> "subprocess.Popen[bytes]":
    command = ["replay", str(DAY), "--format", "capstone", *options]
    from tests.stack import COMMAND

    return subprocess.Popen([*COMMAND, *command], env=stack.environment, stdout=subprocess.DEVNULL)


def restart_ended(stack: Stack, workers: dict[str, "subprocess.Popen[bytes]"]) -> None:
    """Start again what ended itself, as a supervisor does: a zombie that found itself fenced does."""
    for name, worker in workers.items():
        if worker.poll() is not None:
            assert worker.returncode == ExitStatus.FENCED, stack.log_of(worker)[-2000:]
            workers[name] = stack.start(name.split("-")[0])


def test_every_row_is_classified_archived_and_counted_once(stack: Callable[..., Stack]) -> None:
    installation = stack()
    for role in ("scoring", "scoring", "sinks"):
        installation.start(role)
    rows = rows_of_the_day()
    assert replay(installation).wait(120) == 0
    wait_until(lambda: done(installation, rows), "every row is answered", 120)
    check_everything(installation, rows)


def test_kills_freezes_joins_and_leaves_lose_and_double_nothing(stack: Callable[..., Stack]) -> None:
    chance = random.Random(20201013)
    installation = stack()
    workers = {
        name: installation.start(name.split("-")[0])
        for name in ("scoring-0", "scoring-1", "sinks-0", "sinks-1")
    }
    rows = rows_of_the_day()
    producer = replay(installation, "--rate", "1000")
    kills = 0
    third = None
    while producer.poll() is None or kills < 10:
        time.sleep(chance.uniform(1.5, 5.0))
        name = chance.choice(list(workers))
        if kills == 4 and third is None:  # one joins, and is told to leave a while later
            third = installation.start("scoring")
        if kills == 7 and third is not None and third.poll() is None:
            third.send_signal(signal.SIGTERM)
            assert third.wait(30) == 0
        if kills == 5:  # one is frozen past its session timeout, and wakes as a zombie
            workers["scoring-0"].send_signal(signal.SIGSTOP)
            time.sleep(6)
            workers["scoring-0"].send_signal(signal.SIGCONT)
        workers[name].kill()
        workers[name].wait()
        workers[name] = installation.start(name.split("-")[0])
        kills += 1
        restart_ended(installation, workers)
    restart_ended(installation, workers)
    wait_until(lambda: done(installation, rows), "every row is answered", 180)
    check_everything(installation, rows)
