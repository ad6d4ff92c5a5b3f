"""Lengths of time as people write them: ``7d``, ``12h``, ``1h30m``, ``PT15M``."""

import re
from datetime import timedelta

from fraudstream.errors import InvalidInput

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}
_SHORT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|w|d|h|m|s)", re.IGNORECASE)
_ISO = re.compile(
    r"P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
_ISO_UNITS = ("weeks", "days", "hours", "minutes", "seconds")


def parse_duration(text: str) -> timedelta:
    """Read a length of time: number and unit (``w d h m s ms``), several in a row, or ISO 8601.

    A bare number is refused, since nobody can tell its unit.

    Raises
    ------
    InvalidInput
        When the text is neither; the message shows what is accepted.

    Examples
    --------
    >>> parse_duration("7d")
    datetime.timedelta(days=7)
    >>> parse_duration("1h30m") == parse_duration("PT1H30M")
    True
    """
    stripped = text.strip()
    if stripped[:1] in {"P", "p"} and (iso := _ISO.fullmatch(stripped)) and any(iso.groups()):
        parts = zip(_ISO_UNITS, iso.groups(), strict=True)
        amounts = {unit: float(amount) for unit, amount in parts if amount}
    else:
        found = _SHORT.findall(stripped)
        if not found or _SHORT.sub("", stripped).strip():
            msg = f"expected a duration such as 7d, 12h, 1h30m or PT15M, got {text!r}"
            raise InvalidInput(msg)
        amounts = {}
        for amount, unit in found:
            name = _UNITS[unit.lower()]
            amounts[name] = amounts.get(name, 0.0) + float(amount)
    try:
        return timedelta(**amounts)
    except OverflowError as exc:
        msg = f"expected a duration of at most 999999999 days, got {text!r}"
        raise InvalidInput(msg) from exc


def format_duration(length: timedelta) -> str:
    """Write a length of time the short way, the inverse of :func:`parse_duration` to the second.

    >>> format_duration(timedelta(hours=36, seconds=5))
    '1d12h5s'
    """
    seconds = int(length.total_seconds())
    text = ""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        amount, seconds = divmod(seconds, size)
        if amount:
            text += f"{amount}{unit}"
    return text or "0s"
