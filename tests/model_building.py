"""Builders for tests of the model: valid transactions and examples, but for what the test is about."""

import csv
import gzip
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fraudstream.core.messages import (
    Features,
    LabelPosition,
    LabelSource,
    LabelValue,
    Position,
    TrainingExample,
    Transaction,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = 86_400.0
SHARED = Path(__file__).parents[2] / "shared" / "data"


def transaction(days: float = 0.0, **changes: Any) -> Transaction:
    """Build a transaction at a card and a terminal, so many days after noon."""
    fields: dict[str, Any] = {
        "transaction_id": "t-1",
        "event_time": NOON + timedelta(days=days),
        "amount_minor": 5_000,
        "currency": "EUR",
        "card_id": "card-1",
        "terminal_id": "terminal-1",
    }
    return Transaction(**{**fields, **changes})


def street_purchase(**changes: Any) -> Transaction:
    """Build a transaction that names its circumstances, and neither card nor terminal."""
    fields: dict[str, Any] = {
        "transaction_id": "#3577 209",
        "event_time": NOON,
        "amount_minor": 500,
        "currency": "GBP",
        "hour": 19,
        "card_type": "Visa",
        "entry_mode": "Tap",
        "merchant_group": "Entertainment",
        "transaction_country": "United Kingdom",
        "shipping_country": "United Kingdom",
        "residence_country": "United Kingdom",
        "gender": "M",
        "bank": "RBS",
    }
    return Transaction(**{**fields, **changes})


def example(offset: int, label: str = "genuine", **changes: Any) -> TrainingExample:
    """Build the training example of the transaction at a source offset, labelled by the label at the same
    offset."""
    fields: dict[str, Any] = {
        "source": Position(1, 0, offset),
        "label_position": LabelPosition(0, offset),
        "label": LabelValue(label),
        "label_source": LabelSource.ANALYST,
        "labelled_at": NOON + timedelta(days=7),
        "event_time": NOON + timedelta(minutes=offset),
        "terminal_id": "terminal-1",
        "keys": (10, 400, 700),
        "features": Features(ratio=1.0, relative_amount=1.0, spike=0.0),
        "score": 0.01,
        "model_version": 1,
    }
    return TrainingExample(**{**fields, **changes})


def shared_file(name: str) -> Path:
    """Return a data set of the developers, or skip the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the developers' data set {name} is not beside the project")
    return path


def handbook_transactions(limit: int | None = None) -> Iterator[Transaction]:
    """Read the handbook's stream in its order, labels inside."""
    with gzip.open(shared_file("handbook-2018-04-to-06.csv.gz"), "rt", encoding="ascii") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if number == limit:
                return
            yield Transaction(
                transaction_id=row["TRANSACTION_ID"],
                event_time=datetime.fromisoformat(row["TX_DATETIME"]).replace(tzinfo=UTC),
                amount_minor=round(float(row["TX_AMOUNT"]) * 100),
                card_id=row["CUSTOMER_ID"],
                terminal_id=row["TERMINAL_ID"],
                label=LabelValue.FRAUD if row["TX_FRAUD"] == "1" else LabelValue.GENUINE,
            )


def capstone_transactions() -> list[Transaction]:
    """Read the capstone's day in order of its hours, rows of an hour as they stand in the file."""
    with shared_file("CreditCardData-13-Oct-20.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["Time"]))
    return [
        Transaction(
            transaction_id=row["Transaction ID"],
            event_time=NOON + timedelta(seconds=number / 100),
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
        for number, row in enumerate(rows)
    ]
