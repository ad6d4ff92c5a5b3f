"""What a producer wrote, turned into our values: text, money, times.

The decoders that ``wire_compile`` generates call these for everything that is not plain text already. Each
takes the value as JSON gave it and the path it came from, and raises :class:`InvalidMessage` naming that
path.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from fraudstream.core.currencies import is_currency_code, minor_units_per_major
from fraudstream.core.faults import shown
from fraudstream.errors import InvalidMessage

MAX_TEXT_CHARACTERS: Final = 256
"""Longest text of any field. Real ids and names stay under 100; longer ones would fill the memory
that a million histories share."""

MAX_TOKEN_CHARACTERS: Final = 64
"""Longest card id kept as it is: a SHA-256 digest in hexadecimal has this many."""

MAX_AMOUNT_MINOR: Final = 2**53
"""Amounts stay below this: every whole number up to here survives a JSON reader that knows only doubles."""

FIRST_TIME: Final = datetime(1990, 1, 1, tzinfo=UTC)
END_OF_TIME: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""A time outside is a wrong unit or a default value; one in 9999 would hold every window open for ever."""

FIRST_SECONDS: Final = int(FIRST_TIME.timestamp())
END_SECONDS: Final = int(END_OF_TIME.timestamp())
_MAX_AGE_YEARS: Final = 150
_CENT_TOLERANCE: Final = 1e-4
"""Of a minor unit: what binary fractions add to an amount (57.160000000000004) and no real amount does."""

_MAX_NUMBER_CHARACTERS: Final = 40
"""Longest number written as text; what Python's own ``str`` makes of a double has 25 at most."""
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_HOURS: Final[dict[int | str, int]] = {
    key: hour % 24 for hour in range(25) for key in (hour, str(hour), f"{hour:02}")
}


def as_text(value: float | bool) -> str:
    """Return a JSON number, true or false as text.

    >>> as_text(596), as_text(True)
    ('596', 'true')
    """
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def translated(value: str, values: Mapping[str, Any], path: str) -> Any:
    """Return what a declared value stands for; a value that is not declared is a fault."""
    try:
        return values[value]
    except KeyError:
        fault = f"expected one of {', '.join(map(repr, sorted(values)))}, got {shown(value)}"
        raise InvalidMessage(fault, path) from None


def currency_code(value: str, path: str) -> str:
    """Return an ISO 4217 code as it is, or raise."""
    if is_currency_code(value):
        return value
    fault = f"expected a currency code of three capital letters, got {shown(value)}"
    raise InvalidMessage(fault, path)


def without_symbol(
    value: Any, symbols: tuple[tuple[str, str], ...], default: str | None, path: str
) -> tuple[Any, str]:
    """Split ``£5`` into number and currency; without a symbol it is in the default currency, if any."""
    if value.__class__ is str:
        for symbol, currency in symbols:
            if value.startswith(symbol):
                return value[len(symbol) :].lstrip(), currency
    if default is not None:
        return value, default
    fault = f"expected one of the symbols {', '.join(symbol for symbol, _ in symbols)}, got {shown(value)}"
    raise InvalidMessage(fault, path)


def major_units(value: Any, currency: str, is_rounded: bool, path: str) -> int:
    """Return an amount in pounds or dollars, as text or number, in minor units.

    >>> major_units("57.16", "USD", False, "amount"), major_units(500, "JPY", False, "amount")
    (5716, 500)
    """
    scale = minor_units_per_major(currency)
    if value.__class__ is float:
        # Bounded first: far beyond this a double no longer tells one minor unit from the next.
        if not 0 <= value < MAX_AMOUNT_MINOR / scale / 100:
            return _bounded(-1 if value < 0 else MAX_AMOUNT_MINOR, path)
        minor = round(value * scale)
        fraction = value * scale - minor
    elif value.__class__ is str:
        if value[-3:-2] == "." and scale == 100 and value.isascii():
            digits = value[:-3] + value[-2:]
            if 2 < len(digits) <= 15 and digits.isdecimal():
                return int(digits)
        whole, point, decimals = value.partition(".")
        if not (whole.isdecimal() and value.isascii() and len(value) <= _MAX_NUMBER_CHARACTERS) or (
            point and not decimals.isdecimal()
        ):
            fault = f"expected an amount of 0 or more such as 12.34, got {shown(value)}"
            raise InvalidMessage(fault, path)
        if not point:
            return _bounded(int(whole) * scale, path)
        unit = 10 ** len(decimals)
        minor, remainder = divmod(int(whole + decimals) * scale, unit)
        # Half a minor unit goes to the even neighbour, as banks round, and as ``round`` does above.
        minor += 2 * remainder > unit or (2 * remainder == unit and minor % 2)
        fraction = min(remainder, unit - remainder) / unit
    elif value.__class__ is int:
        return _bounded(value * scale, path)
    else:
        fault = f"expected a number, got {shown(value)}"
        raise InvalidMessage(fault, path)
    # A double of that size is off by up to one part in 2**53, and so is its product.
    tolerance = _CENT_TOLERANCE + minor / 2**51
    if not is_rounded and not -tolerance < fraction < tolerance:
        fault = f"{currency} has fewer decimals than {shown(value)}"
        raise InvalidMessage(fault, path)
    return _bounded(minor, path)


def minor_units(value: Any, path: str) -> int:
    """Return a whole number of pence or cents, as number or text.

    >>> minor_units("5716", "amount_minor")
    5716
    """
    if value.__class__ is int:
        return _bounded(value, path)
    if value.__class__ is str and value.isdecimal() and value.isascii() and len(value) <= 16:
        return _bounded(int(value), path)
    fault = f"expected a whole number of minor units, 0 or more, got {shown(value)}"
    raise InvalidMessage(fault, path)


def _bounded(minor: int, path: str) -> int:
    if 0 <= minor < MAX_AMOUNT_MINOR:
        return minor
    fault = "expected an amount of 0 or more" if minor < 0 else "expected an amount below 2**53 minor units"
    raise InvalidMessage(fault, path)


def _number(value: Any, path: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if value.__class__ is str and _NUMBER.fullmatch(value):
        # As a whole number where it is one: a double would lose the last digits of microseconds.
        return float(value) if "." in value else int(value)
    fault = f"expected a number, got {shown(value)}"
    raise InvalidMessage(fault, path)


def years(value: Any, path: str) -> float:
    """Return an age in years, 0 to 150, fractions allowed."""
    try:
        age = float(value)  # four times as fast as looking first; what it takes too kindly is looked at again
    except (TypeError, ValueError, OverflowError):
        age = -1.0
    if value.__class__ is str and not (value.isascii() and value.replace(".", "", 1).isdecimal()):
        age = -1.0
    if 0 <= age <= _MAX_AGE_YEARS:
        return age
    fault = f"expected an age of 0 to {_MAX_AGE_YEARS} years, got {shown(value)}"
    raise InvalidMessage(fault, path)


def hour_of_day(value: Any, path: str) -> int:
    """Return an hour, 0 to 23; 24 is the hour that begins at midnight.

    >>> hour_of_day("19", "time"), hour_of_day(24, "time")
    (19, 0)
    """
    if (hour := _HOURS.get(value)) is not None and value.__class__ is not bool:
        return hour
    fault = f"expected an hour, 0 to 24, got {shown(value)}"
    raise InvalidMessage(fault, path)


def record_time(timestamp_ms: int) -> datetime:
    """Return the timestamp of a Kafka record as a time."""
    if FIRST_SECONDS * 1000 <= timestamp_ms < END_SECONDS * 1000:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    fault = f"expected a time from 1990 to 2099, got {timestamp_ms}"
    raise InvalidMessage(fault, "record timestamp")


def epoch_time(value: Any, units_per_second: int, path: str) -> datetime:
    """Return seconds, milliseconds or microseconds since 1970 as a time.

    >>> epoch_time(1522540831000, 1000, "sent_at")
    datetime.datetime(2018, 4, 1, 0, 0, 31, tzinfo=datetime.timezone.utc)
    """
    if value.__class__ is not int:
        value = _number(value, path)
    # Compared before it is divided: a whole number too large for a double must not get that far.
    if FIRST_SECONDS * units_per_second <= value < END_SECONDS * units_per_second:
        return datetime.fromtimestamp(value / units_per_second, UTC)
    fault = f"expected a time from 1990 to 2099, got {shown(value)}"
    raise InvalidMessage(fault, path)


def iso_time(value: Any, zone: tzinfo | None, path: str) -> datetime:
    """Return an ISO 8601 time; without an offset it is in the declared zone, if one is.

    >>> iso_time("2018-04-01T02:00:31+02:00", None, "event_time")
    datetime.datetime(2018, 4, 1, 0, 0, 31, tzinfo=datetime.timezone.utc)
    """
    try:
        time = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        time = None
    if time is not None and time.tzinfo is UTC and 1990 <= time.year < 2100:
        return time
    # Ten characters and fewer are a date: a day is no instant.
    if time is None or len(value) <= 10:
        fault = f"expected a date and time in ISO 8601, got {shown(value)}"
        raise InvalidMessage(fault, path)
    return in_utc(time, zone, value, path)


def in_utc(time: datetime, zone: tzinfo | None, value: object, path: str) -> datetime:
    """Return a time in UTC and within bounds, or raise. Within a repeated hour the first one is meant."""
    if time.tzinfo is UTC and 1990 <= time.year < 2100:
        return time
    if time.tzinfo is None:
        if zone is None:
            fault = f"expected a time with its offset from UTC, got {shown(value)}"
            raise InvalidMessage(fault, path)
        time = time.replace(tzinfo=zone)
    # The last years of the calendar cannot be moved to another zone.
    if 1989 <= time.year <= 2100:
        time = time.astimezone(UTC)
        if 1990 <= time.year < 2100:
            return time
    fault = f"expected a time from 1990 to 2099, got {shown(value)}"
    raise InvalidMessage(fault, path)


def token_of(value: str, hash_token: Callable[[str], str] | None, path: str) -> str:
    """Return a card id that is fit to keep: short, and hashed if it may be a card number and a key is set."""
    digits = value.replace(" ", "").replace("-", "")
    is_numeric = digits.isdecimal() and 13 <= len(digits) <= 19
    if len(value) <= MAX_TOKEN_CHARACTERS and not (is_numeric and hash_token):
        return value
    if hash_token is not None:
        return hash_token(digits if is_numeric else value)
    fault = f"expected a token of at most {MAX_TOKEN_CHARACTERS} characters, got {len(value)}"
    raise InvalidMessage(fault, path)
