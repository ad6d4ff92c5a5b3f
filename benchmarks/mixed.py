"""Two streams in one, one model: ``python -m benchmarks.mixed HANDBOOK CAPSTONE [--json]``.

The capstone day is spread evenly over the handbook's months, so that its transactions come among the others'
at any time of any day. Labels come 7 days late for the handbook and 5,000 capstone transactions late for
the capstone data. Each stream is measured on its own second half, the capstone by day only, alone and
mixed: one model that serves both should lose nothing.
"""

import argparse
import heapq
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path

import msgspec

from benchmarks.offline_pass import NIGHT_ENDS, read
from fraudstream.core.evaluation import average_precision
from fraudstream.core.label_delay import KnownLabel
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.core.prequential import OfflinePass

DELAY_SECONDS = 7 * 86_400.0
DELAY_ROWS = 5_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Given = tuple[float, int, Transaction, tuple[KnownLabel, ...]]


def handbook(transactions: list[Transaction]) -> Iterator[Given]:
    for one in transactions:
        at = one.event_time.timestamp()
        yield at, 0, one, (KnownLabel(at + DELAY_SECONDS, one.label is LabelValue.FRAUD),)


def capstone(transactions: list[Transaction], first: float, last: float) -> Iterator[Given]:
    step = (last - first) / len(transactions)
    for number, one in enumerate(transactions):
        at = first + number * step
        moved = msgspec.structs.replace(one, event_time=EPOCH + timedelta(seconds=at))
        yield at, 1, moved, (KnownLabel(at + DELAY_ROWS * step, one.label is LabelValue.FRAUD),)


def measure(given: list[Given]) -> dict[str, float]:
    """Play a stream and return the average precision of each of its parts."""
    run = OfflinePass()
    scored: tuple[list[tuple[float, Transaction]], ...] = ([], [])
    for _, part, one, known in given:
        scored[part].append((run.score(one, 0, known), one))
    found = {}
    for name, rows in zip(("handbook", "capstone"), scored, strict=True):
        late = [
            (score, one.label is LabelValue.FRAUD)
            for score, one in rows[len(rows) // 2 :]
            if name == "handbook" or (one.hour or 0) >= NIGHT_ENDS
        ]
        if late:
            found[name] = average_precision(*zip(*late, strict=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mixed", description=__doc__.splitlines()[0])
    parser.add_argument("handbook", type=Path)
    parser.add_argument("capstone", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    months, _ = read(options.handbook)
    day, _ = read(options.capstone)
    first, last = (months[place].event_time.timestamp() for place in (0, -1))
    parts = [list(handbook(months)), list(capstone(day, first, last))]
    alone = measure(parts[0]) | measure(parts[1])
    mixed = measure(list(heapq.merge(*parts, key=itemgetter(0, 1))))
    found = {
        name: {"alone": alone[name], "mixed": mixed[name], "change": mixed[name] - alone[name]}
        for name in alone
    }
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, one in found.items():
        print(f"{name:10} alone {one['alone']:.4f}   mixed {one['mixed']:.4f}   {one['change']:+.4f}")


if __name__ == "__main__":
    main()
