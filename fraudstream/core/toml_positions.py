"""Where a key stands in a TOML text, for errors that name a line."""

import re
from collections.abc import Sequence
from typing import Final

_KEY: Final = r"(?:[\w-]+|\"[^\"]*\"|'[^']*')"
_HEADER: Final = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_ASSIGNMENT: Final = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")


def line_of(lines: Sequence[str], where: Sequence[str]) -> int:
    """Return the line, from 1, of the innermost of these nested keys that has one of its own.

    TOML's parser keeps no positions, so this follows headers and keys through the text; an option inside ``{
    … }`` is found at the line of its field.

    >>> line_of(["name = 'shop'", "[fields]", "bank = { form = 'x' }"], ["fields", "bank", "form"])
    3
    """
    header: tuple[str, ...] = ()
    best, depth = 1, 0
    for number, line in enumerate(lines, 1):
        if found := _HEADER.match(line):
            keys = header = _keys(found[1])
        elif found := _ASSIGNMENT.match(line):
            keys = (*header, *_keys(found[1]))
        else:
            continue
        if len(keys) > depth and tuple(where[: len(keys)]) == keys:
            best, depth = number, len(keys)
    return best


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, text))
