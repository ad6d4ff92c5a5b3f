"""A foreign format, mapped by a file alone, shares the topic with native and capstone messages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.test_poison import answered, transaction
from tests.stack import Stack, wait_until

CAPSTONE = json.loads(Path("docs/examples/transaction-capstone.json").read_text())

ACQUIRER = """
name = "acquirer"
missing = ["", "n/a"]

[when]
has = ["payment.reference", "payment.money.value"]

[fields]
transaction_id = "payment.reference"
event_time = { from = "payment.at", format = "epoch_milliseconds" }
amount_minor = { from = "payment.money.value", unit = "major" }
currency = "payment.money.currency"
card_id = "payment.card.token"
terminal_id = "payment.shop.till"
"""


def foreign(number: int, value: str, currency: str) -> dict[str, Any]:
    return {
        "payment": {
            "reference": f"acq-{number}",
            "at": 1_772_366_400_000 + number,
            "money": {"value": value, "currency": currency},
            "card": {"token": "tok-9"},
            "shop": {"till": "till-4"},
        }
    }


def test_three_formats_share_a_topic(stack: Callable[..., Stack], tmp_path: Path) -> None:
    mapping = tmp_path / "acquirer.toml"
    mapping.write_text(ACQUIRER)
    installation = stack(WIRE_FORMATS=mapping)
    installation.start("scoring")
    installation.send("transactions", foreign(1, "12.50", "EUR"), key="tok-9", partition=0)
    installation.send("transactions", transaction(2), key="card-1", partition=0)
    installation.send("transactions", CAPSTONE, key=CAPSTONE["transaction_id"], partition=0)
    installation.send("transactions", foreign(3, "1500", "JPY"), key="tok-9", partition=0)
    installation.flush()
    wait_until(lambda: len(answered(installation)) == 4, "all four are scored")
    found = {name: one["transaction"] for name, one in answered(installation).items()}
    assert (found["acq-1"]["amount_minor"], found["acq-1"]["currency"]) == (1250, "EUR")
    assert (found["acq-3"]["amount_minor"], found["acq-3"]["currency"]) == (1500, "JPY")
    assert found["acq-1"]["event_time"] == "2026-03-01T12:00:00.001000Z"
    assert found["tx-2"]["amount_minor"] == 1250
    assert installation.records("dead-letters") == []


def test_a_wrong_mapping_is_refused_at_start_with_file_line_and_reason(
    stack: Callable[..., Stack], tmp_path: Path
) -> None:
    mapping = tmp_path / "wrong.toml"
    mapping.write_text(ACQUIRER.replace('card_id = "payment', 'card_number = "payment'))
    installation = stack(WIRE_FORMATS=mapping)
    worker = installation.start("scoring")
    assert worker.wait(30) == 1
    line = next(n for n, text in enumerate(mapping.read_text().splitlines(), 1) if "card_number" in text)
    log = installation.log_of(worker)
    assert f"{mapping}:{line}" in log
    assert "card_number" in log
