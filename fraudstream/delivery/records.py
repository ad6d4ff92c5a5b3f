"""Records as they are about to be written, and the claim that marks a change of owner."""

from typing import NamedTuple

from aiokafka import ConsumerRecord

#: Header of the record by which a new owner fences older ones; consumers pass it over.
CLAIM_HEADER = "fraudstream-claim"
#: Key of the claim in a changelog; no table key begins with a zero byte.
CLAIM_KEY = b"\x00fraudstream-claim"

Headers = tuple[tuple[str, bytes], ...]


class OutRecord(NamedTuple):
    """One record to publish.

    ``source_offset`` is the offset of the source record it follows from: within a partition it only rises,
    which is how every reader tells a replay.
    """

    source_offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None = None
    headers: Headers = ()


def is_claim(record: ConsumerRecord[bytes, bytes]) -> bool:
    """Tell whether a record is a change of owner rather than a message."""
    return bool(record.headers) and record.headers[0][0] == CLAIM_HEADER
