"""Bytes into what they are to be, or a clear refusal."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from fraudstream.errors import InvalidMessage

T = TypeVar("T")

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises at bytes that are something else: text that is no UTF-8 and deep nesting too."""


def decoder_of(decode: Callable[[bytes], T], what: str) -> Callable[[bytes | None], T]:
    """Return a decoder that answers anything but ``what``, nothing included, by an ``InvalidMessage``.

    >>> decode_number = decoder_of(msgspec.json.Decoder(int).decode, "a number")
    >>> decode_number(b"7")
    7
    >>> decode_number(None)
    Traceback (most recent call last):
    fraudstream.errors.InvalidMessage: expected a number: Input data was truncated
    """

    def decoded(value: bytes | None) -> T:
        try:
            return decode(value or b"")
        except UNDECODABLE as error:
            fault = f"expected {what}: {error}"
            raise InvalidMessage(fault) from error

    return decoded
