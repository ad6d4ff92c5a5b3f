"""A learned state as data: what the learner publishes, every worker serves from, and a rollback goes back to.

On the wire a snapshot is a msgpack array of magic word, format version, SHA-256 of the body, and the body.
Weights that were never learned are left out; the others travel as packed little-endian doubles, so that
they come back to the last bit.

A snapshot names its terms, each with the number of its keys. Code that knows further terms reads it as it
is: those begin from zero, all others keep what they learned. Code that lacks one of them cannot tell what
its weights are worth without it, and refuses; only a learner may go on from the rest.
"""

import hashlib
import math
from datetime import datetime
from itertools import accumulate

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraudstream.core.look_tables import TABLES_ROW, LookTables
from fraudstream.core.looks import LOOKS
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.terms import SIZES, STARTS
from fraudstream.errors import InvalidInput, InvalidSnapshot

MAGIC = "fraudstream-model"
FORMAT_VERSION = 3
WITH_SUMS = 2
"""The format before: the same, but the sums of gradients stood before those of squares. They follow from
them and the weights, and are passed over."""

MOST_KEYS = 2**32
"""Keys travel as 32-bit numbers."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One learned state.

    ``version`` rises with every snapshot of a learner. ``training_offset`` is the offset of the last
    training example in it, -1 for none; ``learned`` counts examples. ``keys`` are the learned keys,
    ascending, ``weights`` and ``squares`` what the learner holds of each: the weight and the sum of squared
    gradients. ``typical`` is the mean weight of each term over recent examples: what reasons are
    relative to. ``trust``: the accounts of label sources, as
    :class:`~fraudstream.core.label_trust.LabelTrust` gives them; empty where none were kept. ``design``: name
    and constants of the model. ``added``: terms of this code that it was learned without; ``dropped``: its
    terms that this code lacks. Keys and ``typical`` are those of this code.
    """

    version: int
    training_offset: int
    created_at: datetime
    learned: int
    intercept: float
    keys: tuple[int, ...]
    weights: tuple[float, ...]
    squares: tuple[float, ...]
    tables: LookTables
    typical: tuple[float, ...]
    trust: bytes = b""
    design: ModelDesign = ModelDesign()
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class _Body(msgspec.Struct, array_like=True):
    version: int
    training_offset: int
    created_at: datetime
    learned: int
    terms: list[tuple[str, int]]
    intercept: float
    keys: bytes
    weights: bytes
    squares: bytes
    tables: TABLES_ROW
    typical: tuple[float, ...]
    # What was added later. A further field is the last line here and a line in Snapshot, of one name and
    # type, both with what it is in snapshots that lack it: those end earlier, and readers of an earlier
    # release pass over it. The array has no names: none may be moved or taken out.
    trust: bytes = b""
    design: ModelDesign = ModelDesign()


class _Envelope(msgspec.Struct, array_like=True):
    magic: str
    format_version: int
    sha256: bytes
    body: bytes


_TERMS = list(SIZES.items())
_ADDED_LATER = _Body.__struct_fields__[-len(_Body.__struct_defaults__) :]
"""Fields with a default: they go from a snapshot to the wire and back as they are."""
_body_decoder = msgspec.msgpack.Decoder(_Body)
_envelope_decoder = msgspec.msgpack.Decoder(_Envelope)
_encoder = msgspec.msgpack.Encoder()
_UNREADABLE = (
    msgspec.MsgspecError,
    UnicodeDecodeError,
)  # msgspec lets the second through where text is no UTF-8


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return the bytes of a snapshot, of the terms of this code. The same snapshot gives the same bytes."""
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
            squares=np.array(snapshot.squares, "<f8").tobytes(),
            tables=snapshot.tables.to_row(),
            typical=snapshot.typical,
            **{name: getattr(snapshot, name) for name in _ADDED_LATER},
        )
    )
    return _encoder.encode(_Envelope(MAGIC, FORMAT_VERSION, hashlib.sha256(body).digest(), body))


def decode_snapshot(data: bytes, *, drop_unknown: bool = False) -> Snapshot:
    """Return the snapshot of these bytes, in the keys of this code.

    Parameters
    ----------
    drop_unknown
        Leave out what was learned for terms that this code lacks, or knows with another number of keys: for
        a learner that goes on from it. What is left is no model to score with before it has learned on.

    Raises
    ------
    InvalidSnapshot
        The bytes are no snapshot, are damaged, were written by another format version, hold numbers no
        learner can have reached or, unless dropped, terms that this code lacks.
    """
    try:
        envelope = _envelope_decoder.decode(data)
    except _UNREADABLE as error:
        fault = f"expected a model snapshot, got other bytes: {error}"
        raise InvalidSnapshot(fault) from error
    if envelope.magic != MAGIC:
        fault = f"expected a model snapshot, got {envelope.magic[:40]!r}"
        raise InvalidSnapshot(fault)
    if envelope.format_version not in {FORMAT_VERSION, WITH_SUMS}:
        fault = f"expected snapshot format {FORMAT_VERSION}, got {envelope.format_version}"
        raise InvalidSnapshot(fault)
    if hashlib.sha256(envelope.body).digest() != envelope.sha256:
        fault = "the checksum of the model snapshot does not match its content"
        raise InvalidSnapshot(fault)
    try:
        packed = envelope.body if envelope.format_version == FORMAT_VERSION else _without_sums(envelope.body)
        body = _body_decoder.decode(packed)
    except (*_UNREADABLE, InvalidInput) as error:
        fault = f"the model snapshot has other content than its format says: {error}"
        raise InvalidSnapshot(fault) from error
    return _checked(body, drop_unknown=drop_unknown)


def _without_sums(packed: bytes) -> bytes:
    fields = msgspec.msgpack.decode(packed, type=list[object])
    sums = _Body.__struct_fields__.index("squares")
    return _encoder.encode(fields[:sums] + fields[sums + 1 :])


def _checked(body: _Body, *, drop_unknown: bool) -> Snapshot:
    unknown = [name for name, size in body.terms if SIZES.get(name) != size]
    if unknown and not drop_unknown:
        fault = f"the model snapshot {body.version} has terms this code lacks: {', '.join(unknown)[:400]}"
        raise InvalidSnapshot(fault)
    ends = list(accumulate(size for _, size in body.terms))
    if not ends or len(dict(body.terms)) < len(ends) or any(size < 1 for _, size in body.terms):
        fault = f"the model snapshot {body.version} has no terms, a term twice or one without keys"
        raise InvalidSnapshot(fault)
    if ends[-1] > MOST_KEYS:
        fault = f"the model snapshot {body.version} has more keys than can be numbered: {ends[-1]:,}"
        raise InvalidSnapshot(fault)
    try:
        keys = np.frombuffer(body.keys, "<u4")
        tables = [np.frombuffer(packed, "<f8") for packed in (body.weights, body.squares)]
    except ValueError as error:
        fault = f"the model snapshot {body.version} is cut: {error}"
        raise InvalidSnapshot(fault) from error
    if any(len(table) != len(keys) for table in tables) or len(body.typical) != len(ends):
        fault = f"the model snapshot {body.version} has tables of differing length"
        raise InvalidSnapshot(fault)
    if len(keys) and (int(keys[-1]) >= ends[-1] or not bool(np.all(keys[1:] > keys[:-1]))):
        fault = f"the model snapshot {body.version} has keys out of order or range"
        raise InvalidSnapshot(fault)
    numbers = (body.intercept, *body.typical)
    if not all(map(math.isfinite, numbers)) or not all(bool(np.all(np.isfinite(table))) for table in tables):
        fault = f"the model snapshot {body.version} has weights that are not finite"
        raise InvalidSnapshot(fault)
    counts = LookTables(*body.tables)
    if bool(np.any(tables[1] < 0.0)) or not _possible(counts):
        fault = f"the model snapshot {body.version} has counts no learner can have reached"
        raise InvalidSnapshot(fault)
    typical = body.typical
    numbered = tuple(keys.tolist())
    if body.terms != _TERMS:
        ours, kept = _translated(keys, body.terms, ends)
        numbered = tuple(ours.tolist())
        tables = [table[kept] for table in tables]
        known = {name: mean for (name, _), mean in zip(body.terms, typical, strict=True)}
        typical = tuple(0.0 if name in unknown else known.get(name, 0.0) for name in SIZES)
    weights, squares = (tuple(table.tolist()) for table in tables)
    return Snapshot(
        version=body.version,
        training_offset=body.training_offset,
        created_at=body.created_at,
        learned=body.learned,
        intercept=body.intercept,
        keys=numbered,
        weights=weights,
        squares=squares,
        tables=counts,
        typical=typical,
        added=tuple(name for name, size in _TERMS if (name, size) not in body.terms),
        dropped=tuple(unknown),
        **{name: getattr(body, name) for name in _ADDED_LATER},
    )


def _translated(
    keys: NDArray[np.uint32], terms: list[tuple[str, int]], ends: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return keys as this code numbers them, ascending, and where each stood; those it lacks are left out."""
    term = np.searchsorted(ends, keys, "right")
    starts = (0, *ends)
    lacking = -1 - ends[-1]  # leads below any key
    moved = [
        STARTS[name] - start if SIZES.get(name) == size else lacking
        for (name, size), start in zip(terms, starts, strict=False)
    ]
    found = keys.astype(np.int64) + np.array(moved, np.int64)[term]
    order = np.argsort(found, kind="stable")
    kept = order[np.searchsorted(found[order], 0) :]
    return found[kept], kept


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
