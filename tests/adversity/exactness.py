"""What must be true in the end, whatever happened meanwhile."""

import json
from collections import Counter

from tests.stack import DIMENSIONS, Stack, brute_force, wait_until


def positions_of(stack: Stack) -> "Counter[tuple[int, int, int]]":
    """Return how often each source position (epoch, partition, offset) was classified."""
    found: Counter[tuple[int, int, int]] = Counter()
    for record in stack.records("classifications"):
        source = json.loads(record.value())["source"]
        assert source["partition"] == record.partition()
        found[source["epoch"], source["partition"], source["offset"]] += 1
    return found


def answered(stack: Stack, number: int, seconds: float = 120) -> None:
    """Return when so many transactions are answered."""

    def all_are() -> bool:
        # Claims of owners stand among the answers: below this there is no need to look closer.
        return (
            sum(stack.ends("classifications")) >= number and len(stack.records("classifications")) >= number
        )

    wait_until(all_are, f"{number} transactions are answered", seconds)


def assert_exact(stack: Stack, epoch: int = 1, seconds: float = 120) -> int:
    """Every transaction is classified once, archived once and counted once; return how many there are."""
    sent = {
        (epoch, partition, offset)
        for partition, end in enumerate(stack.ends("transactions"))
        for offset in range(end)
    }
    answered(stack, len(sent), seconds)
    classified = positions_of(stack)
    assert set(classified) == sent, (
        f"{len(sent - set(classified))} lost, {len(set(classified) - sent)} invented"
    )
    assert max(classified.values()) == 1, f"{sum(classified.values()) - len(sent)} classified twice"
    wait_until(lambda: stack.count_archived() >= len(sent), f"{len(sent)} are archived", seconds)
    counted = [f"transaction.{dimension}" for dimension in DIMENSIONS]
    documents = stack.archived("source", "event_time", "decision", *counted)
    sources = Counter(
        (d["source"]["epoch"], d["source"]["partition"], d["source"]["offset"]) for d in documents
    )
    assert sources == classified
    expected = brute_force(documents)
    wait_until(lambda: stack.counted() == expected, "the counts equal a brute-force count", seconds)
    return len(sent)
