"""Mutable state to and from rows: plain tuples of numbers, texts and lists that any encoding can carry."""

from typing import Any, TypeVar

import msgspec

from fraudstream.errors import InvalidMessage

S = TypeVar("S", bound=msgspec.Struct)


def struct_from(kind: type[S], row: object) -> S:
    """Build a struct from the row of its fields.

    Raises
    ------
    InvalidMessage
        The row is not the row of such a struct: a field is missing or of another type.
    """
    if not isinstance(row, list | tuple) or len(row) != len(kind.__struct_fields__):
        fault = f"expected a row of {kind.__name__} with {len(kind.__struct_fields__)} numbers, got another"
        raise InvalidMessage(fault)
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        fault = f"expected a row of {kind.__name__}, got another: {error}"
        raise InvalidMessage(fault) from error


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
