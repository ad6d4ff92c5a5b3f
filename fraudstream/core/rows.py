"""Mutable state to and from rows: plain tuples of numbers, texts and lists that any encoding can carry."""

from typing import Any

import msgspec

from fraudstream.errors import InvalidMessage


def values_from(row: object, kind: Any, name: str) -> tuple[Any, ...]:
    """Return the values of a row, each of the type that ``kind``, a tuple type, has in its place.

    Raises
    ------
    InvalidMessage
        The row is not one of ``name``: a value is missing or of another type.
    """
    try:
        values: tuple[Any, ...] = msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        fault = f"expected a row of {name}, got another: {error}"
        raise InvalidMessage(fault) from error
    return values
