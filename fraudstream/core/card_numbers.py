"""Card numbers and card verification values: found and refused.

A **card number** is a run of 13 to 19 digits that passes the Luhn check, written in one piece or in the
groups that are printed on cards (4-4-4-4, 4-6-5, 4-4-4-4-3 …) with one to three spaces or dashes between
them. Not taken for one:

* digits inside a hexadecimal token (a digest, an object id): one digest in twenty holds a run long enough,
  one run in ten passes Luhn by chance, and refusing those would refuse good transactions at random;
* the decimals of a number;
* a bare JSON number of 13 digits that begins with 1, 2 or 3: milliseconds since 1970, of which one in ten
  passes Luhn. No card of 13 digits begins so. The same digits in quotes are refused, unless a wire format
  declares them a time.

A **card verification value** is anything but null, an empty text, true or false in a field named like one
(``cvv``, ``CVC2``, ``card_verification_value`` …). The *outcome* of a check (``cvv_result``) is no such
value.

Most messages hold neither, so :func:`is_suspect` is built to say no in about a microsecond, and never says no
wrongly.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from fraudstream.errors import InvalidMessage

_GROUPS: Final = (
    r"[0-9]{4}(?:S[0-9]{4}){2}S[0-9]{1,4}(?:S[0-9]{1,3})?"  # 4-4-4-1 … 4-4-4-4-3
    r"|[0-9]{4}S[0-9]{6}S[0-9]{4,5}"  # American Express, Diners Club
    r"|[0-9]{6}S[0-9]{13}"  # 19 digits, as Maestro and UnionPay print them
    r"|[0-9]{4}(?:S[0-9]{3}){3}"  # 13 digits, as Visa once printed them
).replace("S", r"[ \-]{1,3}")
_RUN: Final = rf"(?<![0-9])(?:[0-9]{{13,19}}(?![0-9])|(?<![A-Za-z])(?:{_GROUPS})(?![0-9A-Za-z]))"
_RUN_IN_TEXT: Final = re.compile(_RUN)
_RUN_IN_BYTES: Final = re.compile(_RUN.encode())
# In a JSON text a quote that no backslash precedes ends a name here, so this stands outside of all texts.
_BARE_TIME: Final = re.compile(rb':(?<=":)(?<!\\":)[ \t]*[123][0-9]{12}[ \t\r\n]*[,}]').search
_STRETCH: Final = re.compile(rb"[0-9](?:[ \-]{0,3}[0-9]){12,}").finditer
"""What holds every run there is; it begins with a digit, so the search for it jumps from digit to digit."""

_CODE_FIELD: Final = re.compile(
    r"(?:card|payment|customer|credit|debit|cc)*"
    r"(?:(?:cvv|cvc|cvn|cvd|csc|cav)[0-9]?|securitycode|cardverification(?:[0-9]|code|value|number)?)"
    r"(?:code|value|number|num|no|data)?"
)
"""Names of verification values, in lower case and without anything but letters and digits."""

# The quick test works on a copy with digits as zeros, letters in lower case, and without the bytes below, so
# that separators cannot hide anything. Backslash and ``u`` go too: an escaped digit (``\\u0034``) becomes a
# run of digits.
_DROPPED: Final = b" \t\r\n-_\\u"
_FOLDED: Final = bytes(
    0x30 if 0x30 <= b <= 0x39 else b + 0x20 if 0x41 <= b <= 0x5A else b for b in range(256)
)
_LONG_RUN: Final = b"0" * 13
# One leading byte that every name holds lets the search jump from ``c`` to ``c``: a third of the time of the
# plain alternation. ``rityc`` and ``ardv`` are what dropping leaves of ``security_code`` and
# ``card_verification``.
_CODE_HINT: Final = re.compile(rb'c(?:v|sc|av|rityc|ardv)[^"]{0,80}":').search
_ESCAPED_ASCII: Final = re.compile(rb"\\u00[2-7]").search

_DOUBLED: Final = bytes((2 * (b - 0x30) - (9 if b > 0x34 else 0)) % 256 for b in range(256))
_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")
_TOKEN_LENGTHS: Final = frozenset({16, 24, 32, 40, 48, 56, 64, 96, 128})
"""Lengths of hexadecimal ids and digests; ``a4111111111111111`` has none of them and is refused."""


def passes_luhn(digits: bytes) -> bool:
    """Tell whether ASCII digits pass the Luhn check (ISO/IEC 7812-1, annex B).

    >>> passes_luhn(b"4111111111111111"), passes_luhn(b"4111111111111112")
    (True, False)
    """
    backwards = digits[::-1]
    plain = backwards[::2]
    return (sum(plain) - 0x30 * len(plain) + sum(backwards[1::2].translate(_DOUBLED))) % 10 == 0


def is_code_field(name: str) -> bool:
    """Tell whether a field is named like a card verification value.

    >>> [is_code_field(name) for name in ("cvv", "Card-CVC2", "card_verification_value", "cvv_result")]
    [True, True, True, False]
    """
    return _CODE_FIELD.fullmatch("".join(filter(str.isalnum, name)).lower()) is not None


def is_suspect(value: bytes) -> bool:
    """Tell whether a JSON text *may* hold a card number or verification value; no is certain, yes is not."""
    folded = value.translate(_FOLDED, _DROPPED)
    is_escaped = 0x5C in value
    if _CODE_HINT(folded) is not None or (is_escaped and _ESCAPED_ASCII(value) is not None):
        return True
    parts = folded.split(_LONG_RUN, 2)
    if len(parts) == 1:
        return False
    if is_escaped and b"\\u" in value:
        # In the raw text the digits that end an escape run into those of a number: only decoding tells.
        return True
    # Dropping bytes only moves text forward, so in the value itself the run begins at or after ``at``.
    at = len(parts[0])
    if len(parts) == 2 and _BARE_TIME(value, at - 1) is not None:
        # The only long run is the time of a producer that counts milliseconds.
        return False
    return any(_holds_number(value, *digits.span()) for digits in _STRETCH(value, at))


def _holds_number(value: bytes, start: int, end: int) -> bool:
    digits = value[start:end]
    if is_bare_time(value, start, digits):
        return False
    if digits.isdigit() and len(digits) <= 19:
        return passes_luhn(digits)
    return any(
        passes_luhn(run[0].translate(None, b" -")) for run in _RUN_IN_BYTES.finditer(value, start, end)
    )


def is_bare_time(value: bytes, start: int, run: bytes) -> bool:
    """Tell whether digits at a place in a JSON text are a member's unquoted milliseconds since 1970."""
    if len(run) != 13 or run[0] not in b"123":
        return False
    found = _BARE_TIME(value, max(start - 4, 0))
    return found is not None and found.start() < start < found.end()


def card_numbers(text: str) -> Iterator[re.Match[str]]:
    """Yield each card number in a text, with its separators, where it stands."""
    for run in _RUN_IN_TEXT.finditer(text):
        digits = run[0].replace(" ", "").replace("-", "").encode()
        if passes_luhn(digits) and not _is_part_of_something(text, *run.span()):
            yield run


def _is_part_of_something(text: str, start: int, end: int) -> bool:
    if text[start - 1 : start] == "." and text[max(start - 2, 0) : start - 1].isdecimal():
        return True
    left, right = start, end
    while left > 0 and text[left - 1].isalnum():
        left -= 1
    while right < len(text) and text[right].isalnum():
        right += 1
    return (
        right - left in _TOKEN_LENGTHS
        and right - left > end - start
        and _HEXADECIMAL.issuperset(text[left:right])
    )


def contains_card_number(text: str | bytes) -> bool:
    """Tell whether a text holds a full card number.

    >>> contains_card_number("paid with 4111-1111-1111-1111"), contains_card_number("order 4111111111111112")
    (True, False)
    """
    return next(card_numbers(text if isinstance(text, str) else text.decode("latin-1")), None) is not None


class _Object(list[tuple[str, Any]]):
    """A JSON object with every one of its members, even those of the same name."""


class _Number(str):
    """The digits of a JSON number before its decimal point."""

    __slots__ = ()


def _number(text: str) -> _Number:
    return _Number(text.partition(".")[0].lstrip("-"))


def refuse_card_data(value: bytes, exempt: frozenset[str] = frozenset()) -> None:
    """Raise if a JSON text holds a card number or a card verification value, in whichever field.

    Parameters
    ----------
    value
        The whole message.
    exempt
        Paths (``payload.sent_at``) whose digits are known to be something else, such as a time.

    Raises
    ------
    InvalidMessage
        Naming the field, with all digits but the last four masked. Also when the value is not JSON.
    """
    try:
        document = json.loads(
            value.decode(), object_pairs_hook=_Object, parse_int=_number, parse_float=_number
        )
    except RecursionError:
        fault = "is nested too deeply"
        raise InvalidMessage(fault) from None
    except ValueError:
        # The decoder's own words quote nothing, but its error keeps the document: do not chain it.
        fault = "is not JSON"
        raise InvalidMessage(fault) from None
    remaining: list[tuple[str, Any]] = [("", document)]
    while remaining:
        path, node = remaining.pop()
        if isinstance(node, _Object):
            for name, child in node:
                _refuse_in_name(path, name, child)
                remaining.append((f"{path}.{name}" if path else name, child))
        elif isinstance(node, list):
            remaining.extend((f"{path}[{index}]", child) for index, child in enumerate(node))
        elif isinstance(node, str) and path not in exempt:
            _refuse_in_text(path, node)


def _refuse_in_name(path: str, name: str, child: object) -> None:
    if found := next(card_numbers(name), None):
        fault = f"has a field named like a card number, {hide_digits(found[0])}"
        raise InvalidMessage(fault, path)
    if child is not None and child not in ("", True, False) and is_code_field(name):
        fault = "holds a card verification value, which must never be sent"
        raise InvalidMessage(fault, f"{path}.{name}" if path else name)


def _refuse_in_text(path: str, text: str) -> None:
    if isinstance(text, _Number) and len(text) == 13 and text[0] in "123":
        return
    if found := next(card_numbers(text), None):
        fault = f"holds a card number, {hide_digits(found[0])}; send a token in its place"
        raise InvalidMessage(fault, path)


def hide_digits(number: str) -> str:
    """Replace every digit but the last four.

    >>> hide_digits("4111 1111 1111 1111")
    '**** **** **** 1111'
    """
    kept = len(number) - 4
    return "".join(
        "*" if index < kept and letter.isdecimal() else letter for index, letter in enumerate(number)
    )
