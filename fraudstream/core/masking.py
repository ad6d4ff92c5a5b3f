"""Take card numbers and card verification values out of text that must be kept or shown."""

import re
from typing import Final, overload

from fraudstream.core.card_numbers import card_numbers, hide_digits, is_bare_time, is_code_field

_NAME: Final = re.compile(r'"(?P<name>(?:[^"\\]|\\.){2,80})"\s*:\s*', re.DOTALL)
_VALUE: Final = re.compile(r'"(?:[^"\\]|\\.)*|[0-9][0-9.eE+\-]*|[\[{][^\]}]*', re.DOTALL)
_LOOSE_CODE: Final = re.compile(
    r"(?P<name>(?:cvv|cvc|cvn|cvd|csc|cav)[0-9]?\s*[=:]\s*[\"']?)(?P<value>[0-9]{3,4})(?![0-9])",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"\\(?:u00(?P<code>[2-7][0-9a-fA-F])|u[0-9a-fA-F]{4}|.)", re.DOTALL)


@overload
def mask_card_numbers(text: bytes) -> bytes: ...


@overload
def mask_card_numbers(text: str) -> str: ...


def mask_card_numbers(text: bytes | str) -> bytes | str:
    r"""Replace the digits of card numbers but their last four, and verification values, by ``*``.

    Works on anything, JSON or not, in any encoding that keeps ASCII, and never raises. What holds neither
    comes back as it is, byte for byte. In a JSON text nothing else changes, except that ASCII written as
    ``\u00XX`` is written plainly if that is where a number hid.

    >>> mask_card_numbers(b'{"note": "4111 1111 1111 1111", "cvv": "123"}')
    b'{"note": "**** **** **** 1111", "cvv": "***"}'
    """
    if isinstance(text, bytes):
        # Latin-1 gives each byte a character and back: nothing is lost, whatever the bytes are.
        return _masked(text.decode("latin-1")).encode("latin-1")
    return _masked(text)


def _masked(text: str) -> str:
    masked = _mask_plain(text)
    if "\\u00" in masked:
        plain = _ESCAPE.sub(_unescaped, masked)
        if (found := _mask_plain(plain)) != plain:
            return found
    return masked


def _unescaped(escape: re.Match[str]) -> str:
    character = chr(int(escape["code"], 16)) if escape["code"] else ""
    return character if character not in ("", '"', "\\", "\x7f") else escape[0]


def _mask_plain(text: str) -> str:
    text = _LOOSE_CODE.sub(lambda found: found["name"] + "*" * len(found["value"]), text)
    text = _mask_codes(text)
    # The digits that end an escape run into those of a number: look once more with escapes blanked out.
    blanked = _ESCAPE.sub(lambda escape: "\0" * len(escape[0]), text)
    numbers = {number.span(): number[0] for seen in (text, blanked) for number in card_numbers(seen)}
    masked = _Edits(text)
    for (start, end), number in sorted(numbers.items()):
        if not is_bare_time(text.encode("latin-1", "replace"), start, number.encode()):
            masked.replace(start, end, hide_digits(number))
    return masked.text()


def _mask_codes(text: str) -> str:
    masked = _Edits(text)
    for member in _NAME.finditer(text):
        value = _VALUE.match(text, member.end())
        if value is not None and is_code_field(_ESCAPE.sub(_unescaped, member["name"])):
            quoted = value[0].startswith('"')
            hidden = '"' + "*" * (len(value[0]) - 1) if quoted else re.sub(r"[0-9]", "*", value[0])
            masked.replace(*value.span(), hidden)
    return masked.text()


class _Edits:
    """A text and what to put in place of some parts of it, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._end = 0

    def replace(self, start: int, end: int, by: str) -> None:
        """Replace one part; one that begins inside the part before it is left as that one made it."""
        if start >= self._end:
            self._parts += (self._text[self._end : start], by)
            self._end = end

    def text(self) -> str:
        return "".join(self._parts) + self._text[self._end :]
