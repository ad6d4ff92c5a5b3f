"""Classifications as MongoDB documents, and back without a difference.

People query the documents, so they are native: times are dates, fields are fields. BSON dates end at
milliseconds; what is below is kept beside them in ``sub_millisecond``, so that what is read back is what was
scored. The free field names of ``attributes`` become values, since BSON forbids some names.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fraudstream.core.messages import Label, LabelPosition, LabelSource, LabelValue, Position
from fraudstream.errors import InvalidMessage
from fraudstream.ports import Archived, LabelState

Document = dict[str, Any]

OUR_OWN = ("_id", "transaction_id", "card_id", "label", "sub_millisecond")
"""Fields of the document that are not fields of the classification."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(
    enc_hook=int
).encode  # the driver's own integers, for numbers of more than 32 bits


def to_document(classification: bytes) -> Document:
    """Return the document of an encoded classification.

    Raises
    ------
    InvalidMessage
        If it is no classification.
    """
    try:
        document: Document = _decode(classification)
        transaction, source = document["transaction"], document["source"]
        position = Position(source["epoch"], source["partition"], source["offset"])
        remainders = _dates_from_texts(document)
        document |= {
            "_id": str(position),
            "transaction_id": transaction["transaction_id"],
            "card_id": transaction.get("card_id"),
            "label": None,
        }
        if attributes := transaction.get("attributes"):
            transaction["attributes"] = [{"name": name, "value": value} for name, value in attributes.items()]
    except (
        msgspec.MsgspecError,
        UnicodeDecodeError,
        RecursionError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
    ) as exc:
        fault = f"expected a classification: {type(exc).__name__} {exc}"
        raise InvalidMessage(fault) from exc
    if remainders:
        document["sub_millisecond"] = remainders
    return document


def from_document(document: Document) -> Archived:
    """Return what the archive keeps of a transaction, from its document."""
    source = document["source"]
    state: Document | None = document["label"]
    remainders: Mapping[str, int] = document.get("sub_millisecond") or {}
    transaction = document["transaction"]
    for name in OUR_OWN:
        document.pop(name, None)
    for name, microseconds in remainders.items():
        *path, field = name.split(" ")
        holder = transaction if path else document
        holder[field] += timedelta(microseconds=microseconds)
    if attributes := transaction.get("attributes"):
        transaction["attributes"] = {attribute["name"]: attribute["value"] for attribute in attributes}
    return Archived(
        source=Position(int(source["epoch"]), int(source["partition"]), int(source["offset"])),
        classification=_encode(document),
        label=None
        if state is None
        else LabelState(
            label=LabelValue(state["label"]),
            label_source=LabelSource(state["source"]),
            position=LabelPosition(int(state["position"]["partition"]), int(state["position"]["offset"])),
            labelled_by=state.get("labelled_by"),
        ),
    )


def label_document(label: Label, position: LabelPosition) -> Document:
    """Return what a transaction's document says of its label."""
    return {
        "label": label.label.value,
        "source": label.source.value,
        "position": {"partition": position.partition, "offset": position.offset},
        "labelled_at": label.labelled_at,
        "labelled_by": label.labelled_by,
    }


def _dates_from_texts(document: Document) -> dict[str, int]:
    remainders: dict[str, int] = {}
    transaction = document["transaction"]
    for holder, field, name in (
        (document, "event_time", "event_time"),
        (document, "scored_at", "scored_at"),
        (transaction, "event_time", "transaction event_time"),
    ):
        moment = datetime.fromisoformat(holder[field])
        if moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
        below = moment.microsecond % 1000
        if below:
            remainders[name] = below
            moment -= timedelta(microseconds=below)
        holder[field] = moment
    return remainders
