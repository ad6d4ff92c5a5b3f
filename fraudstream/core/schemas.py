"""JSON Schemas and examples of the messages that others write or read.

Written to ``docs`` by ``python -m fraudstream.core.schemas docs``.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from fraudstream.core.aspects import segments_of
from fraudstream.core.codec import SentLabel
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
    TrainingExample,
    Transaction,
)
from fraudstream.core.policy import is_alert
from fraudstream.core.wire_values import MAX_AMOUNT_MINOR, MAX_TEXT_CHARACTERS, MAX_TOKEN_CHARACTERS

_Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)]
_Id = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARACTERS)]
_Token = Annotated[str, Meta(max_length=MAX_TOKEN_CHARACTERS)]
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class NativeTransaction(msgspec.Struct, kw_only=True):
    """One payment in our own names, as the wire format ``native`` takes it; further fields are ignored."""

    transaction_id: Annotated[_Id, Meta(description="The producer's id; need not be unique")]
    event_time: Annotated[datetime, Meta(tz=True, description="When the card was used, ISO 8601 with offset")]
    amount_minor: Annotated[int, Meta(ge=0, lt=MAX_AMOUNT_MINOR, description="Pence, cents")] | None = None
    currency: (
        Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217; needed with an amount")] | None
    ) = None
    card_id: Annotated[_Token, Meta(description="A token, never a card number")] | None = None
    customer_id: _Text | None = None
    terminal_id: _Text | None = None
    merchant_group: _Text | None = None
    transaction_type: _Text | None = None
    entry_mode: _Text | None = None
    card_type: _Text | None = None
    transaction_country: Annotated[_Text, Meta(description="Where the card was used")] | None = None
    shipping_country: Annotated[_Text, Meta(description="Where the goods go")] | None = None
    residence_country: Annotated[_Text, Meta(description="Where the card holder lives")] | None = None
    bank: _Text | None = None
    age: Annotated[float, Meta(ge=0, le=150, description="Of the card holder, years")] | None = None
    gender: _Text | None = None
    hour: Annotated[int, Meta(ge=0, le=24, description="Hour of day where the card was used")] | None = None
    label: Annotated[LabelValue, Meta(description="The truth where it is known; never scored")] | None = None
    attributes: Annotated[dict[str, _Text], Meta(description="For display; never scored")] | None = None


_TYPES: Final[dict[str, tuple[str, Any]]] = {
    "transaction": ("Transaction", NativeTransaction),
    "label": ("Label", SentLabel),
    "classification": ("Classification", Classification),
    "alert": ("Alert: a classification a person must see", Classification),
    "training-example": ("Training example", TrainingExample),
}


def schemas() -> dict[str, bytes]:
    """Return the JSON Schema of each message, by file name."""
    return {
        f"{name}.json": _pretty({"$schema": _DIALECT, **msgspec.json.schema(kind), "title": title})
        for name, (title, kind) in _TYPES.items()
    }


def examples() -> dict[str, bytes]:
    """Return an example of each message, and of a transaction in each shipped wire format, by file name."""
    transaction = Transaction(
        transaction_id="8f2c1d",
        event_time=datetime(2026, 3, 14, 21, 7, 45, 250_000, UTC),
        amount_minor=23_990,
        currency="GBP",
        card_id="tok_5b1e9a",
        customer_id="c-4021",
        terminal_id="t-877",
        merchant_group="Electronics",
        transaction_type="Online",
        entry_mode="CVC",
        card_type="Visa",
        transaction_country="United Kingdom",
        shipping_country="Portugal",
        residence_country="United Kingdom",
        bank="RBS",
        age=44.5,
        gender="F",
        attributes={"channel": "app"},
    )
    source = Position(1, 0, 48_211)
    features = Features(ratio=6.2, relative_amount=4.1, spike=0.73)
    scored = Classification(
        source=source,
        transaction=transaction,
        event_time=transaction.event_time,
        keys=(117, 20_482, 51_960),
        features=features,
        score=0.9134,
        decision=Decision.DECLINE,
        reasons=(
            Reason(name="amount_against_card", text="6.2 times this card's mean amount", contribution=2.31),
            Reason(name="terminal_risk", text="2 of the last 9 verdicts here were fraud", contribution=1.18),
        ),
        model_version=3_181,
        scored_at=datetime(2026, 3, 14, 21, 7, 45, 262_000, UTC),
    )
    reported = Label(
        label=LabelValue.FRAUD,
        source=LabelSource.CHARGEBACK,
        labelled_at=datetime(2026, 3, 21, 9, 30, tzinfo=UTC),
        transaction_id=transaction.transaction_id,
        position=source,
        card_id=transaction.card_id,
        labelled_by="acquirer",
    )
    example = TrainingExample(
        source=source,
        label_position=LabelPosition(0, 912),
        label=reported.label,
        label_source=reported.source,
        labelled_at=reported.labelled_at,
        event_time=transaction.event_time,
        terminal_id=transaction.terminal_id,
        keys=scored.keys,
        features=features,
        score=scored.score,
        model_version=scored.model_version,
        labelled_by=reported.labelled_by,
        segments=segments_of(transaction),
        alert=is_alert(scored.decision, scored.flags),
    )
    messages = {
        "transaction": transaction,
        "transaction-capstone": _CAPSTONE,
        "transaction-handbook": _HANDBOOK,
        "label": reported,
        "classification": scored,
        "alert": scored,
        "training-example": example,
    }
    return {f"{name}.json": _pretty(message) for name, message in messages.items()}


_CAPSTONE: Final = {
    "transaction_id": "#4402 817",
    "date": "13-Oct-20",
    "day_of_week": "Tuesday",
    "time": "15",
    "card_type": "MasterCard",
    "entry_mode": "Tap",
    "amount": "£48",
    "transaction_type": "POS",
    "merchant_group": "",
    "transaction_country": "United Kingdom",
    "shipping_address": "United Kingdom",
    "residence_country": "United Kingdom",
    "gender": "F",
    "age": "51.4",
    "bank": "Lloyds",
    "fraud": "0",
}
_HANDBOOK: Final = {
    "TRANSACTION_ID": 9017,
    "TX_DATETIME": "2018-04-01 17:25:09",
    "CUSTOMER_ID": 2210,
    "TERMINAL_ID": 7431,
    "TX_AMOUNT": 63.9,
    "TX_FRAUD": 0,
}


def _pretty(message: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(message), indent=2) + b"\n"


def main(arguments: Sequence[str]) -> None:
    """Write ``schemas/*.json`` and ``examples/*.json`` under the folder given as the only argument."""
    (folder,) = arguments
    for part, files in (("schemas", schemas()), ("examples", examples())):
        target = Path(folder) / part
        target.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (target / name).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1:])
