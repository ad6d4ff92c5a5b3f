"""A learned state as data: what the learner publishes, every worker serves from, and a rollback goes back to.

On the wire a snapshot is a msgpack array of magic word, format version, SHA-256 of the body, and the body.
Weights that were never learned are left out; the others travel as packed little-endian doubles, so that
they come back to the last bit.
"""

import hashlib
import math
from datetime import datetime

import msgspec
import numpy as np

from fraudstream.core.risk import LOOKS, LookTables
from fraudstream.core.terms import KEYS, TERMS, terms_checksum
from fraudstream.errors import InvalidSnapshot

MAGIC = "fraudstream-model"
FORMAT_VERSION = 1


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One learned state.

    ``version`` rises with every snapshot of a learner. ``training_offset`` is the offset of the last
    training example in it, -1 for none; ``learned`` counts examples. ``keys`` are the learned keys,
    ascending, and ``weights``, ``gradients`` and ``squares`` what FTRL-Proximal holds of each (*w*, *z* and
    *n* of its paper). ``typical`` is the mean weight of each term over recent examples: what reasons are
    relative to. ``trust``: the accounts of label sources, as
    :class:`~fraudstream.core.label_trust.LabelTrust` gives them; empty where none were kept.
    """

    version: int
    training_offset: int
    created_at: datetime
    learned: int
    intercept: float
    keys: tuple[int, ...]
    weights: tuple[float, ...]
    gradients: tuple[float, ...]
    squares: tuple[float, ...]
    tables: LookTables
    typical: tuple[float, ...]
    trust: bytes = b""


class _Body(msgspec.Struct, array_like=True):
    version: int
    training_offset: int
    created_at: datetime
    learned: int
    terms: str
    intercept: float
    keys: bytes
    weights: bytes
    gradients: bytes
    squares: bytes
    tables: LookTables
    typical: tuple[float, ...]
    trust: bytes = b""


class _Envelope(msgspec.Struct, array_like=True):
    magic: str
    format_version: int
    sha256: bytes
    body: bytes


_TERMS = terms_checksum()
_body_decoder = msgspec.msgpack.Decoder(_Body)
_envelope_decoder = msgspec.msgpack.Decoder(_Envelope)
_encoder = msgspec.msgpack.Encoder()
_UNREADABLE = (
    msgspec.MsgspecError,
    UnicodeDecodeError,
)  # msgspec lets the second through where text is no UTF-8


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return the bytes of a snapshot. The same snapshot always gives the same bytes."""
    body = _encoder.encode(
        _Body(
            version=snapshot.version,
            training_offset=snapshot.training_offset,
            created_at=snapshot.created_at,
            learned=snapshot.learned,
            terms=_TERMS,
            intercept=snapshot.intercept,
            keys=np.array(snapshot.keys, "<u4").tobytes(),
            weights=np.array(snapshot.weights, "<f8").tobytes(),
            gradients=np.array(snapshot.gradients, "<f8").tobytes(),
            squares=np.array(snapshot.squares, "<f8").tobytes(),
            tables=snapshot.tables,
            typical=snapshot.typical,
            trust=snapshot.trust,
        )
    )
    return _encoder.encode(_Envelope(MAGIC, FORMAT_VERSION, hashlib.sha256(body).digest(), body))


def decode_snapshot(data: bytes) -> Snapshot:
    """Return the snapshot of these bytes.

    Raises
    ------
    InvalidSnapshot
        The bytes are no snapshot, are damaged, were written by another format version or for other terms,
        or hold numbers no learner can have reached.
    """
    try:
        envelope = _envelope_decoder.decode(data)
    except _UNREADABLE as error:
        fault = f"expected a model snapshot, got other bytes: {error}"
        raise InvalidSnapshot(fault) from error
    if envelope.magic != MAGIC:
        fault = f"expected a model snapshot, got {envelope.magic[:40]!r}"
        raise InvalidSnapshot(fault)
    if envelope.format_version != FORMAT_VERSION:
        fault = f"expected snapshot format {FORMAT_VERSION}, got {envelope.format_version}"
        raise InvalidSnapshot(fault)
    if hashlib.sha256(envelope.body).digest() != envelope.sha256:
        fault = "the checksum of the model snapshot does not match its content"
        raise InvalidSnapshot(fault)
    try:
        body = _body_decoder.decode(envelope.body)
    except _UNREADABLE as error:
        fault = f"the model snapshot has other content than its format says: {error}"
        raise InvalidSnapshot(fault) from error
    return _checked(body)


def _checked(body: _Body) -> Snapshot:
    if body.terms != _TERMS:
        fault = f"expected a model snapshot of the terms {_TERMS[:12]}, got terms {body.terms[:12]}"
        raise InvalidSnapshot(fault)
    try:
        keys = np.frombuffer(body.keys, "<u4")
        tables = [np.frombuffer(packed, "<f8") for packed in (body.weights, body.gradients, body.squares)]
    except ValueError as error:
        fault = f"the model snapshot {body.version} is cut: {error}"
        raise InvalidSnapshot(fault) from error
    if any(len(table) != len(keys) for table in tables) or len(body.typical) != len(TERMS):
        fault = f"the model snapshot {body.version} has tables of differing length"
        raise InvalidSnapshot(fault)
    if len(keys) and (int(keys[-1]) >= KEYS or not bool(np.all(keys[1:] > keys[:-1]))):
        fault = f"the model snapshot {body.version} has keys out of order or range"
        raise InvalidSnapshot(fault)
    numbers = (body.intercept, *body.typical)
    if not all(map(math.isfinite, numbers)) or not all(bool(np.all(np.isfinite(table))) for table in tables):
        fault = f"the model snapshot {body.version} has weights that are not finite"
        raise InvalidSnapshot(fault)
    if bool(np.any(tables[2] < 0.0)) or not _possible(body.tables):
        fault = f"the model snapshot {body.version} has counts no learner can have reached"
        raise InvalidSnapshot(fault)
    weights, gradients, squares = (tuple(table.tolist()) for table in tables)
    return Snapshot(
        version=body.version,
        training_offset=body.training_offset,
        created_at=body.created_at,
        learned=body.learned,
        intercept=body.intercept,
        keys=tuple(keys.tolist()),
        weights=weights,
        gradients=gradients,
        squares=squares,
        tables=body.tables,
        typical=body.typical,
        trust=body.trust,
    )


def _possible(tables: LookTables) -> bool:
    pairs = ((tables.ratio_labels, tables.ratio_frauds), (tables.amount_labels, tables.amount_frauds))
    return (
        0 <= tables.frauds <= tables.labels
        and 1 <= tables.followed_by_fraud <= tables.followed
        and all(
            len(labels) == len(frauds) == LOOKS
            and all(0 <= fraud <= label for label, fraud in zip(labels, frauds, strict=True))
            for labels, frauds in pairs
        )
    )
