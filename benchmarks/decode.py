"""CPU time of decoding and encoding one message: ``python -m benchmarks.decode [--json]``.

Messages differ from one another, as real ones do, so that nothing is looked up that would not be in a stream.
The least of many short spans is reported beside their median: other work on the machine can only add.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fraudstream.core.codec import decode_label, encode_classification
from fraudstream.core.messages import Classification, Decision, Features, Position, Reason
from fraudstream.core.wire_formats import load_wire_formats
from tests.integration.test_foreign_format import ACQUIRER

RECORD_MS = 1_602_700_000_000
RECORDS_PER_MS = 20
"""A partition that receives twenty thousand a second."""

CHUNK = 250
"""Messages timed together: about a millisecond, so that some chunks meet no other work on the machine."""

NESTED = """
name = "shop"
missing = [""]
[when]
has = ["payment.id"]
[fields]
transaction_id = "payment.id"
event_time = { from = "payment.at", format = "epoch_milliseconds" }
amount_minor = { from = "payment.money.value", unit = "major" }
currency = "payment.money.unit"
card_id = "payment.card.token"
terminal_id = "shop.terminal"
merchant_group = "shop.group"
entry_mode = "payment.mode"
residence_country = "holder.country"
"""


def native(rng: random.Random) -> dict[str, Any]:
    return {
        "transaction_id": f"{rng.getrandbits(64):016x}",
        "event_time": f"2026-03-14T21:{rng.randrange(60):02}:{rng.uniform(0, 59):06.3f}Z",
        "amount_minor": rng.randrange(100, 50_000),
        "currency": "GBP",
        "card_id": f"tok_{rng.getrandbits(32):08x}",
        "terminal_id": f"t-{rng.randrange(10_000)}",
        "merchant_group": rng.choice(["Electronics", "Food", "Fashion", "Gaming"]),
        "transaction_type": "Online",
        "entry_mode": rng.choice(["Tap", "PIN", "CVC"]),
        "card_type": "Visa",
        "transaction_country": "United Kingdom",
        "residence_country": "United Kingdom",
        "bank": "RBS",
        "age": round(rng.uniform(18, 80), 1),
        "gender": "F",
    }


def capstone(rng: random.Random) -> dict[str, Any]:
    return {
        "transaction_id": f"#{rng.randrange(10_000)} {rng.randrange(1_000)}",
        "date": "14-Oct-20",
        "day_of_week": "Wednesday",
        "time": str(rng.randrange(24)),
        "card_type": "Visa",
        "entry_mode": rng.choice(["Tap", "PIN", "CVC"]),
        "amount": f"£{rng.randrange(5, 400)}",
        "transaction_type": "POS",
        "merchant_group": "Entertainment",
        "transaction_country": "United Kingdom",
        "shipping_address": "United Kingdom",
        "residence_country": "United Kingdom",
        "gender": "M",
        "age": f"{rng.uniform(18, 80):.1f}",
        "bank": "RBS",
        "fraud": "0",
    }


def handbook(rng: random.Random) -> dict[str, Any]:
    return {
        "TRANSACTION_ID": rng.randrange(1_000_000),
        "TX_DATETIME": f"2018-04-01 {rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}",
        "CUSTOMER_ID": rng.randrange(5_000),
        "TERMINAL_ID": rng.randrange(10_000),
        "TX_AMOUNT": round(rng.uniform(1, 220), 2),
        "TX_FRAUD": 0,
    }


def nested(rng: random.Random) -> dict[str, Any]:
    return {
        "kind": "payment",
        "payment": {
            "id": f"p-{rng.getrandbits(32)}",
            "at": RECORD_MS + rng.randrange(10**9),
            "mode": "Tap",
            "money": {"value": round(rng.uniform(1, 220), 2), "unit": "EUR"},
            "card": {"token": f"tok_{rng.getrandbits(32):08x}", "brand": "Visa", "expires": "11/29"},
        },
        "shop": {"terminal": f"t-{rng.randrange(10_000)}", "group": "Food", "lines": [1, 2, 3]},
        "holder": {"country": "PT"},
    }


def acquirer(rng: random.Random) -> dict[str, Any]:
    currency = rng.choice(["EUR", "JPY"])
    return {
        "payment": {
            "reference": f"acq-{rng.randrange(10**8)}",
            "at": RECORD_MS + rng.randrange(10**9),
            "money": {
                "value": f"{rng.uniform(1, 220):.{2 if currency == 'EUR' else 0}f}",
                "currency": currency,
            },
            "card": {"token": f"tok_{rng.getrandbits(32):08x}"},
            "shop": {"till": f"t-{rng.randrange(10_000)}"},
        },
    }


def microseconds(run: Callable[[Any], object], inputs: Sequence[Any], rounds: int) -> tuple[float, float]:
    taken = []
    for _ in range(rounds):
        for start in range(0, len(inputs), CHUNK):
            chunk = inputs[start : start + CHUNK]
            started = time.process_time_ns()
            for one in chunk:
                run(one)
            taken.append((time.process_time_ns() - started) / len(chunk) / 1_000)
    return min(taken), statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="rounds over 2,000 messages each (40)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, text in {"acquirer": ACQUIRER, "shop": NESTED}.items():
            files.append(Path(folder) / f"{name}.toml")
            files[-1].write_text(text)
        formats = load_wire_formats(files)
    results: dict[str, tuple[float, float]] = {}
    transactions = []
    for make in (native, capstone, handbook, acquirer, nested):
        messages = [json.dumps(make(rng), ensure_ascii=False).encode() for _ in range(2_000)]
        records = [(value, RECORD_MS + at // RECORDS_PER_MS) for at, value in enumerate(messages)]
        transactions += [formats.decode(*record) for record in records]
        results[f"decode {make.__name__}"] = microseconds(
            lambda it: formats.decode(*it), records, options.rounds
        )
    classifications = [
        Classification(
            source=Position(1, 0, at),
            transaction=transaction,
            event_time=transaction.event_time,
            keys=tuple(range(at, at + 19)),
            features=Features(ratio=6.2, relative_amount=4.1, spike=0.73),
            score=0.9134,
            decision=Decision.DECLINE,
            reasons=tuple(
                Reason(name="amount", text="6.2 times the mean", contribution=2.31) for _ in range(3)
            ),
            model_version=3_181,
            scored_at=transaction.event_time,
        )
        for at, transaction in enumerate(transactions[:2_000])
    ]
    results["encode classification"] = microseconds(encode_classification, classifications, options.rounds)
    label = json.dumps(
        {
            "transaction_id": "t-1",
            "label": "fraud",
            "source": "analyst",
            "labelled_at": "2026-03-14T21:07:45Z",
        }
    ).encode()
    results["decode label"] = microseconds(decode_label, [label] * 2_000, options.rounds)
    if options.json:
        json.dump(
            {name: {"least_us": low, "median_us": mid} for name, (low, mid) in results.items()}, sys.stdout
        )
        return
    print(f"{'CPU µs of one':<24}{'least':>8}{'median':>8}")
    for name, (low, mid) in results.items():
        print(f"{name:<24}{low:>8.2f}{mid:>8.2f}")


if __name__ == "__main__":
    main()
