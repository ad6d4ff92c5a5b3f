"""Encoding and decoding of every message this system writes itself, and of labels."""

import math
from datetime import datetime
from typing import TypeVar

import msgspec

from fraudstream.core.card_numbers import is_suspect, refuse_card_data
from fraudstream.core.faults import invalid_json
from fraudstream.core.messages import Classification, Label, TrainingExample
from fraudstream.errors import InvalidMessage

T = TypeVar("T")

_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_encoder = msgspec.json.Encoder()
_classification = msgspec.json.Decoder(Classification)
_example = msgspec.json.Decoder(TrainingExample)
_label = msgspec.json.Decoder(Label, strict=False)  # times may also be seconds since 1970

encode_classification = _encoder.encode
encode_training_example = _encoder.encode
encode_label = _encoder.encode


def decode_classification(value: bytes | None) -> Classification:
    """Return a classification; raises ``InvalidMessage`` for anything else."""
    return _decoded(_classification, value)


def decode_training_example(value: bytes | None) -> TrainingExample:
    """Return a training example; raises ``InvalidMessage`` for anything else."""
    example = _decoded(_example, value)
    if not math.isfinite(example.score):
        fault = "is not finite"
        raise InvalidMessage(fault, "score")
    return example


def decode_label(value: bytes | None) -> Label:
    """Return a label.

    Raises
    ------
    InvalidMessage
        It is none, names no transaction, has a time without an offset from UTC or holds card data.
    """
    label = _decoded(_label, value)
    if value is not None and is_suspect(value):
        refuse_card_data(value, ())
    if label.position is None and not label.transaction_id:
        fault = "expected transaction_id or position, got neither"
        raise InvalidMessage(fault, "transaction_id")
    for name in ("labelled_at", "event_time", "not_before"):
        time: datetime | None = getattr(label, name)
        if time is not None and time.tzinfo is None:
            fault = "expected a time with its offset from UTC, got one without"
            raise InvalidMessage(fault, name)
    return label


def _decoded(decoder: "msgspec.json.Decoder[T]", value: bytes | None) -> T:
    if not value:
        fault = "is empty"
        raise InvalidMessage(fault)
    try:
        return decoder.decode(value)
    except _UNDECODABLE as exc:
        raise invalid_json(exc) from None

