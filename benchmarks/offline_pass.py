"""How good the model is on a file, and what it costs.

Run as ``python -m benchmarks.offline_pass FILE [--partitions N] [--json]``. FILE is the handbook's stream
(CSV, may be gzipped) or a day of the capstone data; its header tells. One pass in time order, each
transaction scored on arrival and its label learned when due: 7 days later, or 5,000 transactions later
where the file has no times. Quality is that of the second half of the rows. Costs are CPU microseconds of
this process; a stage's is the least of many short rounds beside their median, since other work on the
machine can only add.
"""

import argparse
import csv
import gc
import gzip
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from fraudstream.core.evaluation import card_precision, evaluate
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.learning import Learner
from fraudstream.core.messages import LabelValue, Position, Transaction
from fraudstream.core.policy import Policy
from fraudstream.core.prequential import OfflinePass
from fraudstream.core.reasons import reasons
from fraudstream.core.risk import EntityRisk, note_label
from fraudstream.core.scoring import classify, keys_of
from fraudstream.core.snapshot import decode_snapshot, encode_snapshot

NIGHT_ENDS = 7
"""Hours before are all fraud in the capstone data, so only the others say how good a score is."""

SAMPLE = 1_000
ROUNDS = 15


def handbook(rows: Iterator[dict[str, str]]) -> list[Transaction]:
    return [
        Transaction(
            transaction_id=row["TRANSACTION_ID"],
            event_time=datetime.fromisoformat(row["TX_DATETIME"]).replace(tzinfo=UTC),
            amount_minor=round(float(row["TX_AMOUNT"]) * 100),
            card_id=row["CUSTOMER_ID"],
            terminal_id=row["TERMINAL_ID"],
            label=LabelValue.FRAUD if row["TX_FRAUD"] == "1" else LabelValue.GENUINE,
        )
        for row in rows
    ]


def capstone(rows: Iterator[dict[str, str]]) -> list[Transaction]:
    start = datetime(2020, 10, 13, tzinfo=UTC)
    return [
        Transaction(
            transaction_id=row["Transaction ID"],
            event_time=start + timedelta(seconds=number / 100),
            amount_minor=round(float(re.sub(r"[^0-9.]", "", row["Amount"])) * 100) if row["Amount"] else None,
            currency="GBP",
            hour=int(row["Time"]),
            card_type=row["Type of Card"] or None,
            entry_mode=row["Entry Mode"] or None,
            merchant_group=row["Merchant Group"] or None,
            transaction_country=row["Country of Transaction"] or None,
            shipping_country=row["Shipping Address"] or None,
            residence_country=row["Country of Residence"] or None,
            gender=row["Gender"] or None,
            bank=row["Bank"] or None,
            label=LabelValue.FRAUD if row["Fraud"].strip() == "1" else LabelValue.GENUINE,
        )
        for number, row in enumerate(sorted(rows, key=lambda row: int(row["Time"])))
    ]


def read(path: Path) -> tuple[list[Transaction], bool]:
    """Return the transactions of a file, and whether it tells their times."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        timed = "TX_DATETIME" in (rows.fieldnames or ())
        return (handbook(iter(rows)) if timed else capstone(iter(rows))), timed


def quality(transactions: list[Transaction], scores: list[float], timed: bool) -> dict[str, Any]:
    half = len(transactions) // 2
    tested = [
        (one, score)
        for one, score in zip(transactions[half:], scores[half:], strict=True)
        if timed or (one.hour or 0) >= NIGHT_ENDS
    ]
    truth = [one.label is LabelValue.FRAUD for one, _ in tested]
    measured = msgspec.to_builtins(evaluate([score for _, score in tested], truth))
    if timed:
        days = [one.event_time.toordinal() for one, _ in tested]
        weeks = (days[-1] - days[0] + 1) // 7
        first = next(place for place, day in enumerate(days) if day > days[-1] - 7 * weeks)
        cards = [one.card_id for one, _ in tested[first:]]
        shares = card_precision(days[first:], cards, [score for _, score in tested[first:]], truth[first:])
        measured["card_precision_100"] = float(shares.mean())
    return measured


def stages(run: OfflinePass, sample: list[Transaction]) -> dict[str, tuple[float, float]]:
    """Measure each stage on a sample, in the state that the pass has reached. Ends the use of the pass."""
    state, serving, policy = run.states[0], run.serving, Policy()
    weigh = serving.explainer.weigh
    times = [one.event_time.timestamp() for one in sample]
    seen = [(one, *state.see(one, at, serving)) for one, at in zip(sample, times, strict=True)]
    keyed = [(keys_of(one, observation), one, observation, *known) for one, observation, *known in seen]
    parts = [(weigh(keys)[1], *rest) for keys, *rest in keyed]
    now = datetime.now(UTC)
    offset = iter(range(2**40, 2**50))
    learner = Learner()
    risk = EntityRisk()

    def per_transaction(act: Callable[[], object]) -> tuple[float, float]:
        rounds = []
        for _ in range(ROUNDS):
            started = time.process_time()
            act()
            rounds.append((time.process_time() - started) / len(sample) * 1e6)
        return min(rounds), statistics.median(rounds)

    def look_and_cross() -> None:
        for one, at in zip(sample, times, strict=True):
            keys_of(one, state.see(one, at, serving)[0])

    def weigh_all() -> None:
        for keys, *_ in keyed:
            weigh(keys)

    def explain() -> None:
        for part in parts:
            reasons(*part)

    def classify_all() -> None:
        for one in sample:
            classify(one, Position(1, 0, next(offset)), now, state, serving, policy)

    def note() -> None:
        for _, _, observation, *_ in keyed:
            note_label(
                risk, learner.tables, observation.at, observation.ratio, observation.relative_amount, False
            )

    def learn() -> None:
        for keys, *_ in keyed:
            learner.model.learn_keys(keys, fraud=False)

    return {
        "see: history and risk to keys": per_transaction(look_and_cross),
        "weigh: score and contributions": per_transaction(weigh_all),
        "reasons: in words": per_transaction(explain),
        "classify: all of it, and fold": per_transaction(classify_all),
        "label: look tables and terminal": per_transaction(note),
        "label: learn weights": per_transaction(learn),
    }


def snapshot_cost(learner: Learner) -> dict[str, float]:
    costs: dict[str, list[float]] = {"take_ms": [], "encode_ms": [], "decode_ms": []}
    for _ in range(ROUNDS):
        started = time.process_time()
        taken = learner.snapshot(datetime.now(UTC))
        costs["take_ms"].append((time.process_time() - started) * 1e3)
        started = time.process_time()
        encoded = encode_snapshot(taken)
        costs["encode_ms"].append((time.process_time() - started) * 1e3)
        started = time.process_time()
        decode_snapshot(encoded)
        costs["decode_ms"].append((time.process_time() - started) * 1e3)
    return {"bytes": len(encoded), "weights": len(taken.keys)} | {
        name: statistics.median(rounds) for name, rounds in costs.items()
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offline_pass")
    parser.add_argument("file", type=Path)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)

    transactions, timed = read(options.file)
    cards: dict[str | None, int] = {}
    partitions = [
        cards.setdefault(one.card_id, len(cards)) % options.partitions if one.card_id else 0
        for one in transactions
    ]
    gc.collect()
    gc.freeze()  # the file itself is no work of the stream
    run = OfflinePass(LabelDelay() if timed else LabelDelay(transactions=5_000), options.partitions)
    started, wall = time.process_time(), time.perf_counter()
    scores = [run.score(one, partition) for one, partition in zip(transactions, partitions, strict=True)]
    cpu, wall = time.process_time() - started, time.perf_counter() - wall
    found = {
        "file": options.file.name,
        "partitions": options.partitions,
        "quality": quality(transactions, scores, timed),
        "cpu_us_per_transaction": cpu / len(transactions) * 1e6,
        "transactions_per_cpu_second": len(transactions) / cpu,
        "transactions_per_second": len(transactions) / wall,
        "snapshot": snapshot_cost(run.learner),
        "stages_us": stages(run, transactions[-SAMPLE:]),
    }
    if options.json:
        json.dump(found, sys.stdout, indent=2)
        return
    for name, value in found.items():
        if not isinstance(value, dict):
            print(f"{name:32} {value:,.2f}" if isinstance(value, float) else f"{name:32} {value}")
            continue
        print(name)
        for part, number in value.items():
            if isinstance(number, tuple):
                print(f"  {part:34} {number[0]:6.2f} least {number[1]:6.2f} median")
            else:
                print(f"  {part:34} {number:,.4f}" if isinstance(number, float) else f"  {part:34} {number}")


if __name__ == "__main__":
    main(sys.argv[1:])
