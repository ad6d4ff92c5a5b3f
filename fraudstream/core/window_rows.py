"""Windows as changelog entries: text keys, msgpack values.

``<source partition>/<epoch>/<window start>`` holds one window, ``<source partition>`` what belongs to all
of them. Values are positional, so that new fields can be appended: old rows then lack them, old programs
skip them.
"""

import msgspec

from fraudstream.core.decoding import decoder_of
from fraudstream.errors import InvalidMessage


class WindowRow(msgspec.Struct, frozen=True, array_like=True):
    """One window.

    Per population, counts by dimension and value, and [number, sum in minor units] by currency.
    """

    applied: int
    all: dict[str, dict[str, int]]
    fraud: dict[str, dict[str, int]]
    all_amounts: dict[str, tuple[int, int]]
    fraud_amounts: dict[str, tuple[int, int]]


class PartitionRow(msgspec.Struct, frozen=True, array_like=True):
    """What the windows of a source partition have in common; names as in ``WindowCounts``."""

    size_seconds: int
    epoch: int
    applied: int
    watermark: int
    closed_before: int
    late_records: int
    misdated_records: int
    ahead: tuple[int, ...]


encode_row = msgspec.msgpack.Encoder().encode


def partition_key(source_partition: int) -> bytes:
    """Return the key of a partition's own row."""
    return b"%d" % source_partition


def window_key(source_partition: int, epoch: int, start: int) -> bytes:
    """Return the key of a window's row.

    >>> window_key(3, 1, 1772323200)
    b'3/1/1772323200'
    """
    return b"%d/%d/%d" % (source_partition, epoch, start)


def parse_key(key: bytes) -> tuple[int, int] | None:
    """Return the (epoch, window start) a key names, or None for a partition's own row.

    Raises
    ------
    InvalidMessage
        If it is neither.
    """
    parts = key.split(b"/")
    if len(parts) in {1, 3}:
        try:
            numbers = [int(part) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            return None
        if len(numbers) == 3:
            return numbers[1], numbers[2]
    fault = f"expected the key of a window or a partition, got {key[:64]!r}"
    raise InvalidMessage(fault)


decode_window = decoder_of(msgspec.msgpack.Decoder(WindowRow).decode, "the row of a window")
"""Read the row of a window; anything else is an ``InvalidMessage``."""


decode_partition = decoder_of(
    msgspec.msgpack.Decoder(PartitionRow).decode, "the row of a partition's windows"
)
"""Read the row of a partition's windows; anything else is an ``InvalidMessage``."""
