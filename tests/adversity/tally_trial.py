"""A tallying worker's trial: known amounts in, and every tally checked by hand."""

import json
import random
import subprocess
import threading
import time
from types import TracebackType
from typing import Self

import psutil

from tests.stack import Stack, wait_until

PARTITIONS = 4
KEYS = 200


class TallyTrial:
    """Sends random amounts to tallying workers, and afterwards checks each answer against a count by hand."""

    def __init__(self, stack: Stack, seed: int = 1, **settings: object) -> None:
        self.stack = stack
        self._settings = settings
        self._chance = random.Random(seed)
        self._amounts: list[list[tuple[str, int]]] = [[] for _ in range(PARTITIONS)]

    @property
    def sent(self) -> int:
        return sum(len(amounts) for amounts in self._amounts)

    def start(self, **settings: object) -> "subprocess.Popen[bytes]":
        return self.stack.start("scoring", module="tests.adversity.tallying", **self._settings, **settings)

    def send(self, number: int, digits: int = 1) -> None:
        """Send so many amounts, of so many digits at least, each key to its own partition; not flushed."""
        for _ in range(number):
            key, amount = self._chance.randrange(KEYS), self._chance.randrange(1000)
            partition = key % PARTITIONS
            self._amounts[partition].append((str(key), amount))
            self.stack.send("transactions", str(amount).zfill(digits), key=str(key), partition=partition)

    def send_to_each_key(self) -> None:
        """Send one amount to every key, so that the whole state shows in the answers."""
        for key in range(KEYS):
            self._amounts[key % PARTITIONS].append((str(key), 1))
            self.stack.send("transactions", "1", key=str(key), partition=key % PARTITIONS)
        self.stack.flush()

    def steadily(self, per_second: int) -> "_Steadily":
        """Send from a thread until the block is left."""
        return _Steadily(self, per_second)

    def is_answered(self) -> bool:
        if sum(self.stack.ends("classifications")) < self.sent:
            return False
        return len(self.stack.records("classifications")) >= self.sent

    def wait_until_answered(self, seconds: float = 150) -> None:
        wait_until(self.is_answered, "every amount is tallied", seconds)

    def check(self) -> None:
        """Every amount was tallied exactly once, in its order, on the right state."""
        doubled = backwards = wrong = 0
        expected: list[list[tuple[int, int]]] = []
        for amounts in self._amounts:
            tallies: dict[str, tuple[int, int]] = {}
            expected.append([])
            for key, amount in amounts:
                number, total = tallies.get(key, (0, 0))
                tallies[key] = (number + 1, total + amount)
                expected[-1].append(tallies[key])
        seen: list[set[int]] = [set() for _ in range(PARTITIONS)]
        highest = [-1] * PARTITIONS
        for record in self.stack.records("classifications"):
            answer = json.loads(record.value())
            partition, offset = record.partition(), answer["source"]["offset"]
            doubled += offset in seen[partition]
            backwards += offset < highest[partition]
            highest[partition] = max(highest[partition], offset)
            seen[partition].add(offset)
            wrong += (answer["number"], answer["total"]) != expected[partition][offset]
        missing = sum(len(one) for one in expected) - sum(len(one) for one in seen)
        result = {"missing": missing, "doubled": doubled, "out of order": backwards, "wrong": wrong}
        assert not any(result.values()), f"of {self.sent}: {result}"


class _Steadily:
    def __init__(self, trial: TallyTrial, per_second: int) -> None:
        self._trial = trial
        self._per_second = per_second
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="amounts")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if exc is None:
            self._trial.stack.flush()

    def _run(self) -> None:
        started, done = time.monotonic(), 0
        while not self._stopping.wait(0.02):
            due = int((time.monotonic() - started) * self._per_second) - done
            self._trial.send(due)
            done += due


def is_frozen(worker: "subprocess.Popen[bytes]") -> bool:
    """Whether a process stands still since a SIGSTOP."""
    return psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED
