"""A model version kept whole: its snapshot, and the risks of all terminals as they stood with it.

It is written as several records that follow one another, because the risks of many terminals do not fit
into one: parts of risks, then a head with the snapshot, the number of parts and their checksum.
"""

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from fraudstream.core.registry import LeftOut
from fraudstream.core.snapshot import Snapshot, decode_snapshot
from fraudstream.errors import InvalidSnapshot

HEAD = b"head"
PART = b"part"

PART_ROWS = 5_000
"""Terminals of one part: about 300 kB, well below what a broker takes in one record."""

MAGIC = "fraudstream-kept-model"


class KeptModel(msgspec.Struct, frozen=True, kw_only=True):
    """A learned state with everything a learner needs to go on from it."""

    snapshot: Snapshot
    risks: dict[str, object]
    left_out: tuple[LeftOut, ...]


class _Head(msgspec.Struct):
    magic: str
    snapshot: bytes
    left_out: tuple[LeftOut, ...]
    parts: int
    sha256: bytes


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(_Head)
_rows_decoder = msgspec.msgpack.Decoder(list[tuple[str, object]])


def encode_kept(
    snapshot: bytes, risks: Mapping[str, Sequence[int | float]], left_out: tuple[LeftOut, ...]
) -> list[tuple[bytes, bytes]]:
    """Return the records of a kept model, each as key and value, the head last.

    Parameters
    ----------
    snapshot
        As encoded by :func:`~fraudstream.core.snapshot.encode_snapshot`.
    risks
        Row of each terminal.
    left_out
        What the version has not learned.
    """
    digest = hashlib.sha256()
    records = []
    rows = iter(risks.items())
    while part := list(islice(rows, PART_ROWS)):
        packed = zlib.compress(_encoder.encode(part), 1)
        digest.update(packed)
        records.append((PART, packed))
    head = _Head(MAGIC, snapshot, left_out, len(records), digest.digest())
    return [*records, (HEAD, _encoder.encode(head))]


def decode_kept(records: Iterable[tuple[bytes | None, bytes | None]]) -> KeptModel:
    """Return the kept model whose records, as key and value, these are; what follows its head is ignored.

    Raises
    ------
    InvalidSnapshot
        Records are missing, damaged or something else.
    """
    digest = hashlib.sha256()
    risks: dict[str, object] = {}
    parts = 0
    try:
        for key, value in records:
            if key == PART and value is not None:
                digest.update(value)
                risks.update(_rows_decoder.decode(zlib.decompress(value)))
                parts += 1
                continue
            head = _head_decoder.decode(value or b"")
            if (key, head.magic) != (HEAD, MAGIC):
                break
            if (head.parts, head.sha256) != (parts, digest.digest()):
                fault = "a kept model does not have the risks its head names"
                raise InvalidSnapshot(fault)
            return KeptModel(snapshot=decode_snapshot(head.snapshot), risks=risks, left_out=head.left_out)
    except (msgspec.MsgspecError, UnicodeDecodeError, zlib.error) as error:
        fault = f"expected a kept model, got other bytes: {error}"
        raise InvalidSnapshot(fault) from error
    fault = "expected a kept model, found none: its records are not there any more"
    raise InvalidSnapshot(fault)
