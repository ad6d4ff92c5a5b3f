"""Records as they are about to be written, and the claim that marks a change of owner."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

#: Header of the record by which a new owner fences older ones; consumers pass it over.
CLAIM_HEADER = "fraudstream-claim"
#: Key of the claim in a changelog; no table key begins with a zero byte.
CLAIM_KEY = b"\x00fraudstream-claim"

Headers = tuple[tuple[str, bytes], ...]


class Record(Protocol):
    """One record as it was read: what aiokafka's own records and those of a slice have in common."""

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""

    @property
    def timestamp(self) -> int:
        """Its time, in milliseconds since 1970."""

    @property
    def timestamp_type(self) -> int:
        """Whose time that is: 0 the producer's, 1 the broker's."""

    @property
    def key(self) -> bytes | None:
        """What it is about."""

    @property
    def value(self) -> bytes | None:
        """What it says; None to delete its key."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """What its producer added."""


class Message(Record, Protocol):
    """A record that says something."""

    @property
    def value(self) -> bytes:
        """What it says; not empty."""


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


def is_claim(record: Record) -> bool:
    """Tell whether a record is a change of owner rather than a message."""
    return bool(record.headers) and record.headers[0][0] == CLAIM_HEADER
