"""What is wrong with a message, worded for a person, without secrets."""

import re
from typing import Final

import msgspec

from fraudstream.core.masking import mask_card_numbers
from fraudstream.errors import InvalidMessage

_SHOWN_CHARACTERS: Final = 40
"""Longest value quoted in a fault: enough to recognise it, too little to leak a whole record into a log."""

_PATH: Final = re.compile(r"^(?P<fault>.*?)(?: - at `(?P<where>key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(?P<name>.*)`$", re.DOTALL)
_TYPE_WORDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "datetime": "a time",
    "null": "null",
}


def shown(value: object) -> str:
    """Return a value as a fault quotes it: shortened, escaped, card numbers masked.

    >>> shown("4111 1111 1111 1111")
    "'**** **** **** 1111'"
    """
    text = mask_card_numbers(value if isinstance(value, str) else repr(value))
    if len(text) > _SHOWN_CHARACTERS:
        text = text[:_SHOWN_CHARACTERS] + "…"
    return ascii(text) if isinstance(value, str) else text


def _in_words(match: re.Match[str]) -> str:
    return " or ".join(_TYPE_WORDS.get(word.strip(), word.strip()) for word in match[1].split("|"))


def invalid_json(error: Exception) -> InvalidMessage:
    """Turn what a JSON decoder raised into the one error a message at fault may cause.

    >>> try:
    ...     msgspec.json.decode(b'{"a": []}', type=dict[str, int])
    ... except msgspec.ValidationError as error:
    ...     print(invalid_json(error))
    [...]: expected a whole number, got a list
    """
    if isinstance(error, UnicodeDecodeError):
        return InvalidMessage(f"is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}")
    if isinstance(error, RecursionError):
        return InvalidMessage("is nested too deeply")
    found = _PATH.match(str(error))
    path = (found["path"] or "").removeprefix(".") if found else ""
    fault = found["fault"] if found else str(error)
    if not isinstance(error, msgspec.ValidationError):
        return InvalidMessage(f"is not JSON: {mask_card_numbers(fault)}")
    if missing := _MISSING.match(fault):
        return InvalidMessage("is missing", ".".join(filter(None, (path, missing["name"]))))
    worded = re.sub(r"`([^`]*)`", _in_words, fault)
    worded = worded[:1].lower() + worded[1:]
    return InvalidMessage(mask_card_numbers(worded), mask_card_numbers(path))
