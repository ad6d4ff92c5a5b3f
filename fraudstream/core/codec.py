"""Labels, and the messages this system writes for itself, to and from JSON.

Encoding is msgspec's and cannot fail for the frozen values of ``messages``. Decoding returns a value or
raises :class:`InvalidMessage`, whatever the bytes.
"""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from fraudstream.core.card_numbers import is_suspect, refuse_card_data
from fraudstream.core.faults import invalid_json
from fraudstream.core.messages import (
    Classification,
    Label,
    LabelSource,
    LabelValue,
    Position,
    TrainingExample,
)
from fraudstream.core.wire_values import MAX_TEXT_CHARACTERS, epoch_time, iso_time
from fraudstream.errors import InvalidMessage

_T = TypeVar("_T")
_Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)]
_Id = (
    Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS, min_length=1)]
    | Annotated[int, Meta(ge=0, le=2**63 - 1)]
)
_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Time = Annotated[str, Meta(max_length=64)] | float | int


class SentPosition(msgspec.Struct, frozen=True, gc=False):
    """The source position of a transaction, as a label names it."""

    epoch: _Count
    partition: _Count
    offset: _Count


class SentLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A label as anybody may send it: times in ISO 8601 with an offset, or seconds since 1970."""

    label: LabelValue
    source: LabelSource
    labelled_at: _Time
    transaction_id: _Id | None = None
    position: SentPosition | None = None
    card_id: _Id | None = None
    event_time: _Time | None = None
    labelled_by: _Text | None = None
    not_before: _Time | None = None


_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_COUNTS_OF_OURS: Final = frozenset({"position.epoch", "position.partition", "position.offset"})
"""Numbers of a label that are never card numbers, however long."""

_encoder = msgspec.json.Encoder()
_parse_classification = msgspec.json.Decoder(Classification).decode
_parse_example = msgspec.json.Decoder(TrainingExample).decode
_parse_label = msgspec.json.Decoder(SentLabel).decode

# Bound methods rather than functions around them: these run once for each transaction.
encode_classification: Final[Callable[[Classification], bytes]] = _encoder.encode
"""Return a classification as JSON."""

encode_training_example: Final[Callable[[TrainingExample], bytes]] = _encoder.encode
"""Return a training example as JSON."""

encode_label: Final[Callable[[Label], bytes]] = _encoder.encode
"""Return a label as JSON, as :func:`decode_label` reads it."""


def decode_classification(value: bytes | None) -> Classification:
    """Return a classification.

    Raises
    ------
    InvalidMessage
        It is none, or has a time without an offset from UTC.
    """
    classification = _parsed(_parse_classification, value)
    _require_offset(classification.event_time, "event_time")
    _require_offset(classification.transaction.event_time, "transaction.event_time")
    _require_offset(classification.scored_at, "scored_at")
    return classification


def decode_training_example(value: bytes | None) -> TrainingExample:
    """Return a training example.

    Raises
    ------
    InvalidMessage
        It is none, has a time without an offset from UTC, or a score that is no probability.
    """
    example = _parsed(_parse_example, value)
    _require_offset(example.event_time, "event_time")
    _require_offset(example.labelled_at, "labelled_at")
    if not (math.isfinite(example.score) and 0 <= example.score <= 1):
        fault = f"expected a probability, got {example.score}"
        raise InvalidMessage(fault, "score")
    return example


def decode_label(value: bytes | None) -> Label:
    """Return a label.

    Raises
    ------
    InvalidMessage
        It is none, names no transaction, has a time outside 1990 to 2099 or without an offset from UTC, or
        holds a card number or a card verification value.
    """
    wire = _parsed(_parse_label, value)
    if value is not None and is_suspect(value):
        refuse_card_data(value, _COUNTS_OF_OURS)
    if wire.transaction_id is None and wire.position is None:
        fault = "is missing, and so is position: a label must name its transaction"
        raise InvalidMessage(fault, "transaction_id")
    position = wire.position
    return Label(
        label=wire.label,
        source=wire.source,
        labelled_at=_time(wire.labelled_at, "labelled_at"),
        transaction_id=None if wire.transaction_id is None else str(wire.transaction_id),
        position=None if position is None else Position(position.epoch, position.partition, position.offset),
        card_id=None if wire.card_id is None else str(wire.card_id),
        event_time=None if wire.event_time is None else _time(wire.event_time, "event_time"),
        labelled_by=wire.labelled_by,
        not_before=None if wire.not_before is None else _time(wire.not_before, "not_before"),
    )


def _time(value: str | float, field: str) -> datetime:
    return iso_time(value, None, field) if isinstance(value, str) else epoch_time(value, 1, field)


def _require_offset(time: datetime, field: str) -> None:
    if time.tzinfo is None:
        fault = "expected a time with its offset from UTC"
        raise InvalidMessage(fault, field)


def _parsed(parse: Callable[[Any], _T], value: bytes | None) -> _T:
    if not value:
        fault = "is empty"
        raise InvalidMessage(fault)
    try:
        value.decode()
        return parse(value)
    except _UNDECODABLE as error:
        raise invalid_json(error) from None
