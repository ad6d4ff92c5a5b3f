"""Windows across midnight: late, doubled and out-of-order records, and a counting worker that is killed."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as dt_time
from typing import Any

import pytest

from tests.adversity.exactness import answered
from tests.adversity.load import PARTITIONS, transaction
from tests.stack import DIMENSIONS, Stack, wait_until

pytestmark = pytest.mark.adversity

SIZE, GRACE = 300, 60
#: The last midnight but one: in the past, and too near for the broker's retention.
MIDNIGHT = datetime.combine(datetime.now(UTC).date(), dt_time(), UTC) - timedelta(days=1)
START, MINUTES = MIDNIGHT - timedelta(minutes=20), 40

Cells = Counter[tuple[int, int, str, str, str]]


def day_change(number: int, seed: int) -> list[tuple[dict[str, Any], int]]:
    """Return transactions and the time of their record in ms: some out of order, late, or sent twice."""
    chance = random.Random(seed)
    made: list[tuple[dict[str, Any], int]] = []
    for index in range(number):
        record_time = START + timedelta(minutes=MINUTES) * (index / number)
        luck = chance.random()
        if luck < 0.75:
            behind = 0.0
        elif luck < 0.95:
            behind = chance.uniform(0, GRACE - 5)  # out of order, within the grace
        else:
            behind = chance.uniform(GRACE, 1500)  # late, most of them for a window that is closed
        value = transaction(index, record_time - timedelta(seconds=behind))
        stamp = int(record_time.timestamp() * 1000)
        made.append((value, stamp))
        if chance.random() < 0.03:
            made.append((value, stamp))  # a producer that sends twice: two positions, both count
    return made


def expected_cells(stack: Stack) -> tuple[Cells, int]:
    """Count by hand what is in the topics; also return how many records are late."""
    decisions: dict[tuple[int, int], str] = {}
    for record in stack.records("classifications"):
        answer = json.loads(record.value())
        position = answer["source"]["partition"], answer["source"]["offset"]
        decisions.setdefault(position, answer["decision"])
    cells: Cells = Counter()
    late = 0
    newest = [0.0] * PARTITIONS
    for record in stack.records("transactions"):
        value = json.loads(record.value())
        partition = record.partition()
        second = int(datetime.fromisoformat(value["event_time"]).timestamp())
        newest[partition] = max(newest[partition], second)
        window = second // SIZE * SIZE
        if window + SIZE + GRACE <= newest[partition]:
            late += 1
            continue
        decision = decisions[partition, record.offset()]
        for population in ("all",) if decision == "approve" else ("all", "fraud"):
            for dimension in DIMENSIONS:
                cells[1, window, population, dimension, value.get(dimension) or "unknown"] += 1
            cells[1, window, population, "decision", decision] += 1
    return cells, late


def send_some_classifications_again(stack: Stack, chance: random.Random) -> int:
    """Put copies of published classifications behind the others, as a restored backup may."""
    copies = 0
    for record in stack.records("classifications"):
        if chance.random() < 0.05:
            stack.send(
                "classifications",
                record.value(),
                key=record.key().decode(),
                partition=record.partition(),
                timestamp_ms=record.timestamp()[1],
            )
            copies += 1
    stack.flush()
    return copies


@pytest.mark.parametrize(
    ("number", "kills"),
    [(4_000, 2), pytest.param(40_000, 10, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
def test_counts_equal_a_count_by_hand_whatever_the_order_and_however_often_the_worker_dies(
    stack: Callable[..., Stack], number: int, kills: int
) -> None:
    chance = random.Random(20260301)
    # Alerts at a low threshold, so that the population `fraud` is not empty.
    installation = stack(
        FLUSH_INTERVAL_SECONDS=1, SESSION_TIMEOUT_SECONDS=3, REVIEW_BY="threshold", REVIEW_AT="0.002"
    )
    installation.start("scoring")
    sinks = installation.start("sinks", MEMBER_ID="sinks-0")
    made = day_change(number, seed=1)
    share = len(made) // (kills + 1) + 1
    for start in range(0, len(made), share):
        for value, stamp in made[start : start + share]:
            card = int(value["card_id"].removeprefix("card-"))
            installation.send(
                "transactions", value, key=value["card_id"], partition=card % PARTITIONS, timestamp_ms=stamp
            )
        installation.flush()
        answered(installation, min(start + share, len(made)))
        if start + share < len(made):
            time.sleep(chance.uniform(0.0, 1.5))  # before, during or after a flush
            sinks.kill()
            sinks.wait()
            sinks = installation.start("sinks", MEMBER_ID="sinks-0")
    copies = send_some_classifications_again(installation, chance)

    expected, late = expected_cells(installation)
    wait_until(lambda: installation.count_archived() == len(made), "all are archived, copies once")
    wait_until(lambda: installation.counted() == expected, "the counts equal a count by hand", 120)
    time.sleep(2.5)  # two more flushes change nothing
    assert installation.counted() == expected
    windows = {cell[1] for cell in expected}
    assert min(windows) < MIDNIGHT.timestamp() <= max(windows)
    assert late > 0
    assert copies > 0
    assert any(cell[2] == "fraud" for cell in expected)
    print(
        f"{len(made)} records, {late} late, {copies} doubled classifications, {kills} kills: "
        f"{len(expected)} cells of {len(windows)} windows, 0 wrong"
    )
