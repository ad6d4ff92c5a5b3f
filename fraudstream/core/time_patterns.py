"""Times written by a pattern such as ``%d/%m/%Y %H:%M``.

Read the same in every locale, and four times as fast as by ``strptime``.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from fraudstream.core.faults import shown
from fraudstream.core.wire_values import in_utc
from fraudstream.errors import InvalidMessage

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_DIRECTIVES: Final = {
    "Y": "(?P<Y>[0-9]{4})",
    "y": "(?P<y>[0-9]{2})",
    "m": "(?P<m>[0-9]{1,2})",
    "b": f"(?P<b>{'|'.join(_MONTHS)})",
    "B": f"(?P<B>{'|'.join(_LONG_MONTHS)})",
    "d": "(?P<d>[0-9]{1,2})",
    "H": "(?P<H>[0-9]{1,2})",
    "I": "(?P<I>[0-9]{1,2})",
    "p": "(?P<p>am|pm)",
    "M": "(?P<M>[0-9]{1,2})",
    "S": "(?P<S>[0-9]{1,2})",
    "f": "(?P<f>[0-9]{1,6})",
    "z": r"(?P<z>Z|[+-][0-9]{2}:?[0-9]{2})",
    "%": "%",
}
_FIXED_WIDTH: Final = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_LIKE_ISO: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")
_ISO_LENGTH: Final = 19
_OFFSET: Final = re.compile("[+-][0-9]{2}:[0-5][0-9]")


def parse_zone(name: str) -> tzinfo:
    """Return a time zone by name (``UTC``, ``Europe/London``) or offset (``+02:00``), or raise ValueError."""
    if name in ("UTC", "Z"):
        return UTC
    if _OFFSET.fullmatch(name) and int(name[1:3]) < 24:
        return _offset(name)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        fault = f"unknown timezone {name!r}; write 'UTC', '+02:00' or a name such as 'Europe/London'"
        raise ValueError(fault) from error


def compile_time_pattern(pattern: str, zone: tzinfo | None) -> Callable[[Any, str], datetime]:
    """Return a function that reads times written by a pattern.

    Parameters
    ----------
    pattern
        As ``strptime`` takes it, of the directives ``Y y m b B d H I p M S f z``. Digits run together must
        have their full width.
    zone
        What the times are in when the pattern has no ``%z``.

    Raises
    ------
    ValueError
        For a pattern that names no instant, with the reason.

    Examples
    --------
    >>> from datetime import UTC
    >>> compile_time_pattern("%d-%b-%y %H:%M", UTC)("14-Oct-20 19:05", "when")
    datetime.datetime(2020, 10, 14, 19, 5, tzinfo=datetime.timezone.utc)
    """
    directives = re.findall(r"%(.?)", pattern.replace("%%", ""))
    if unknown := [letter for letter in directives if letter not in _DIRECTIVES]:
        fault = (
            f"%{unknown[0]} is not understood; known are {' '.join('%' + letter for letter in _DIRECTIVES)}"
        )
        raise ValueError(fault)
    if repeated := [letter for letter in directives if directives.count(letter) > 1]:
        fault = f"%{repeated[0]} stands there twice"
        raise ValueError(fault)
    names = set(directives)
    for wanted, words in (("Yy", "year"), ("mbB", "month"), ("d", "day"), ("HI", "hour")):
        if not names & set(wanted):
            fault = f"has no {words} ({' or '.join('%' + letter for letter in wanted)})"
            raise ValueError(fault)
    if ("I" in names) != ("p" in names):
        fault = "%I and %p go together"
        raise ValueError(fault)
    if zone is None and "z" not in names:
        fault = "has no %z: say which timezone its times are in"
        raise ValueError(fault)
    if pattern in _LIKE_ISO:
        return _iso_reader(pattern, zone)
    return _pattern_reader(pattern, zone)


def _iso_reader(pattern: str, zone: tzinfo | None) -> Callable[[Any, str], datetime]:
    separator = pattern[8]
    read_iso = datetime.fromisoformat
    suffix = "+00:00" if zone is UTC else ""

    def read(value: Any, path: str) -> datetime:
        try:
            if len(value) == _ISO_LENGTH and value[10] == separator:
                return in_utc(read_iso(value + suffix), zone, value, path)
        except (ValueError, TypeError):
            pass
        fault = f"expected a time such as 2018-04-01{separator}00:00:31, got {shown(value)}"
        raise InvalidMessage(fault, path)

    return read


def _pattern_reader(pattern: str, zone: tzinfo | None) -> Callable[[Any, str], datetime]:
    expression = _expression(pattern)

    def read(value: Any, path: str) -> datetime:
        found = expression.fullmatch(value if value.__class__ is str else str(value))
        try:
            time = _time_of(found.groupdict()) if found else None
        except ValueError:
            time = None
        if time is None:
            fault = f"expected a time written as {pattern}, got {shown(value)}"
            raise InvalidMessage(fault, path)
        return in_utc(time, zone, value, path)

    return read


def _expression(pattern: str) -> re.Pattern[str]:
    parts = []
    pieces = re.split(r"(%.)", pattern)
    for index, piece in enumerate(pieces):
        if not piece.startswith("%"):
            parts.append(re.escape(piece))
            continue
        part = _DIRECTIVES[piece[1]]
        touches = (index > 1 and not pieces[index - 1]) or (index + 2 < len(pieces) and not pieces[index + 1])
        if touches and piece[1] in _FIXED_WIDTH:
            part = part.replace("{1,2}", "{2}")
        parts.append(part)
    return re.compile("".join(parts), re.IGNORECASE | re.ASCII)


def _time_of(read: dict[str, str | None]) -> datetime:
    def number(letter: str) -> int:
        return int(read.get(letter) or 0)

    year = number("Y")
    if "y" in read:
        # POSIX: 69 to 99 are in the twentieth century.
        year = number("y") + (1900 if number("y") >= 69 else 2000)
    month = number("m")
    if name := read.get("b") or read.get("B"):
        month = _MONTHS.index(name[:3].lower()) + 1
    hour = number("H")
    if half := read.get("p"):
        if not 1 <= number("I") <= 12:
            fault = "hour of a half day out of range"
            raise ValueError(fault)
        hour = number("I") % 12 + (12 if half.lower() == "pm" else 0)
    microsecond = int((read.get("f") or "0").ljust(6, "0"))
    return datetime(
        year,
        month,
        number("d"),
        hour,
        number("M"),
        number("S"),
        microsecond,
        tzinfo=_offset(zone) if (zone := read.get("z")) else None,
    )


def _offset(text: str) -> tzinfo:
    if text in ("Z", "z"):
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
