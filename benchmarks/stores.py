"""How fast stores and window counting are: ``python benchmarks/stores.py [--archive URL] [--counts URL]``.

Without addresses only counting itself is measured, which needs no store. Databases named should be empty
ones: rows of an earlier run would be replays. Prints JSON; rates are of this machine and whatever else it
does meanwhile.
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from fraudstream.adapters import connect_archive, connect_count_store
from fraudstream.core.counted import DIMENSIONS, decode_counted
from fraudstream.core.messages import (
    Classification,
    Decision,
    Features,
    Label,
    LabelPosition,
    LabelSource,
    LabelValue,
    Position,
    Reason,
    Transaction,
)
from fraudstream.core.window_cells import WindowCells
from fraudstream.core.windows import WindowCounts

SLICE = 512
SLICES_IN_FLIGHT = 8
IO = Path("/proc/self/io")
BEGIN = datetime(2026, 3, 1, 23, 50, tzinfo=UTC)


def transaction_id(number: int) -> str:
    """Return an id that does not follow from the one before, as those of most producers."""
    return f"t{number * 2_654_435_761 % 2**32:08x}"


def classification(offset: int, rng: random.Random) -> bytes:
    """Return an encoded classification of usual size: about 1.2 kB, 30 keys, three reasons."""
    at = BEGIN + timedelta(milliseconds=30 * offset)
    transaction = Transaction(
        transaction_id=transaction_id(offset),
        event_time=at,
        amount_minor=rng.randrange(100_000),
        currency=rng.choice(["GBP", "USD"]),
        card_id=f"card {rng.randrange(5_000)}",
        terminal_id=f"terminal {rng.randrange(1_000)}",
        merchant_group=rng.choice(["Food", "Fuel", "Games", "Travel"]),
        transaction_type="POS",
        entry_mode=rng.choice(["Tap", "PIN"]),
        card_type="Visa",
        transaction_country="United Kingdom",
        shipping_country="United Kingdom",
        residence_country="United Kingdom",
        bank=rng.choice(["Monzo", "RBS", "Halifax"]),
    )
    text = "the amount is 4.2 times what this card usually spends"
    return msgspec.json.encode(
        Classification(
            source=Position(1, 0, offset),
            transaction=transaction,
            event_time=at,
            keys=tuple(rng.randrange(1 << 22) for _ in range(30)),
            features=Features(ratio=rng.random(), relative_amount=rng.random(), spike=0.0),
            score=rng.random(),
            decision=Decision.REVIEW if rng.random() < 0.02 else Decision.APPROVE,
            reasons=tuple(Reason(name=f"reason {n}", text=text, contribution=rng.random()) for n in range(3)),
            model_version=12,
            scored_at=at + timedelta(microseconds=12_345),
        )
    )


def measure_counting(values: list[bytes], repeat: int = 7) -> dict[str, float]:
    """Return microseconds of CPU a record: decoding what counting reads, and counting it."""
    decoding, counting = [], []
    for _ in range(repeat):
        started = time.process_time()
        records = [decode_counted(value) for value in values]
        decoded = time.process_time()
        counts = WindowCounts(0)
        for record in records:
            counts.fold(record, 1_800_000_000_000)
        done = time.process_time()
        decoding.append((decoded - started) / len(values) * 1e6)
        counting.append((done - decoded) / len(values) * 1e6)
    return {
        "decode_us_median": round(statistics.median(decoding), 2),
        "decode_us_min": round(min(decoding), 2),
        "fold_us_median": round(statistics.median(counting), 2),
        "fold_us_min": round(min(counting), 2),
    }


def _written() -> int:
    if not IO.exists():
        return 0
    return int(dict(line.split(": ") for line in IO.read_text().splitlines())["wchar"])


async def _rate(number: int, calls: list[Callable[[], Awaitable[object]]]) -> float:
    started = time.perf_counter()
    for call in calls:
        await call()
    return round(number / (time.perf_counter() - started))


async def measure_archive(url: str, values: list[bytes], lookups: int = 5_000) -> dict[str, float]:
    """Return rates a second of each call, in slices of 512, one call at a time; of storing, eight at a time.

    And what storing one costs this process: microseconds of CPU, and bytes it writes (as Linux tells).
    """
    archive = connect_archive(url)
    await archive.open()
    rng = random.Random(2)
    fields = {"label": LabelValue.FRAUD, "source": LabelSource.ANALYST, "labelled_at": BEGIN}
    by_id = [
        Label(transaction_id=transaction_id(rng.randrange(len(values))), **fields) for _ in range(lookups)
    ]
    by_position = [
        Label(position=Position(1, 0, rng.randrange(len(values))), **fields) for _ in range(lookups)
    ]

    def slices(items: list[object]) -> list[list[object]]:
        return [items[start : start + SLICE] for start in range(0, len(items), SLICE)]

    states = [
        {label.position: (label, LabelPosition(0, n)) for n, label in enumerate(part)}
        for part in slices(by_position)
    ]
    waiting = iter(slices(values))

    async def store_waiting() -> None:
        for part in waiting:
            await archive.store(part)

    cpu, written = time.process_time(), _written()
    stored = await _rate(
        len(values), [lambda: asyncio.gather(*(store_waiting() for _ in range(SLICES_IN_FLIGHT)))]
    )
    result = {
        "store": stored,
        "store_cpu_us": round((time.process_time() - cpu) / len(values) * 1e6, 1),
        "store_written_bytes": round((_written() - written) / len(values)),
        "find_by_id": await _rate(lookups, [lambda part=part: archive.find(part) for part in slices(by_id)]),
        "find_by_position": await _rate(
            lookups, [lambda part=part: archive.find(part) for part in slices(by_position)]
        ),
        "record_labels": await _rate(
            lookups, [lambda state=state: archive.record_labels(state) for state in states]
        ),
    }
    await archive.close()
    return result


async def measure_counts(url: str, cells: int = 10_000, repeat: int = 5) -> dict[str, float]:
    """Return seconds to flush so many cells at once: the first time, and again with higher counts."""
    counts = connect_count_store(url)
    await counts.open()
    seconds = []
    for applied in range(repeat):
        window = WindowCells(
            epoch=1,
            window_start=int(BEGIN.timestamp()),
            source_partition=0,
            applied_offset=applied,
            cells={("all", DIMENSIONS[n % len(DIMENSIONS)], f"value {n}"): n + applied for n in range(cells)},
            amounts={("all", "GBP"): (cells, cells * 100)},
        )
        started = time.perf_counter()
        await counts.flush([window])
        seconds.append(time.perf_counter() - started)
    await counts.close()
    return {
        "first_seconds": round(seconds[0], 3),
        "again_seconds_median": round(statistics.median(seconds[1:]), 3),
        "again_seconds_max": round(max(seconds[1:]), 3),
    }


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", help="address of an empty archive")
    parser.add_argument("--counts", help="address of an empty store of counts")
    parser.add_argument("--number", type=int, default=20_000, help="classifications")
    options = parser.parse_args()
    rng = random.Random(1)
    values = [classification(offset, rng) for offset in range(options.number)]
    result: dict[str, object] = {
        "classification_bytes": round(statistics.mean(map(len, values))),
        "counting": measure_counting(values[:2_000]),
    }
    if options.archive:
        result["archive_per_second"] = asyncio.run(measure_archive(options.archive, values))
    if options.counts:
        result["flush_of_10000_cells"] = asyncio.run(measure_counts(options.counts))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
