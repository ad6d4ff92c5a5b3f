"""From environment variables to field values, and from faults to lines a person can act on."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from fraudstream.durations import parse_duration
from fraudstream.errors import InvalidInput, InvalidSettings

PREFIX = "FRAUDSTREAM_"

IGNORED = ("FRAUDSTREAM_TEST_", "FRAUDSTREAM_SERVICES_CACHE")
"""Variables of the test tooling, which may share an environment with a worker."""


def variable_of(field: str) -> str:
    """Return the environment variable of a field."""
    return f"{PREFIX}{field.upper()}"


def collect_variables(
    environ: Mapping[str, str], *, fields: Collection[str], secrets: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the text of each field that is set, and a line for each variable that cannot be used."""
    values: dict[str, str] = {}
    faults: list[str] = []
    from_file = {f"{variable_of(name)}_FILE": name for name in secrets}
    direct = {variable_of(name): name for name in fields}
    for variable in sorted(environ):
        text = environ[variable]
        if not variable.startswith(PREFIX) or variable.startswith(IGNORED):
            continue
        if variable in direct:
            if text:
                values[direct[variable]] = text
        elif variable in from_file:
            name = from_file[variable]
            if not text:
                continue
            if environ.get(variable.removesuffix("_FILE")):
                faults.append(f"{variable}: {variable.removesuffix('_FILE')} is set too; keep one of them")
                continue
            try:
                values[name] = Path(text).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as exc:
                reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
                faults.append(f"{variable}: cannot read {text}: {reason}")
                continue
            if not values[name]:
                del values[name]
                faults.append(f"{variable}: {text} is empty")
        else:
            near = difflib.get_close_matches(variable, [*direct, *from_file], n=1)
            faults.append(f"{variable}: no such setting{f'; did you mean {near[0]}?' if near else ''}")
    return values, faults


def describe_faults(error: ValidationError, values: Mapping[str, str], secrets: Collection[str]) -> list[str]:
    """Return a line for each thing pydantic refused, by the variable's name, never with a secret's value."""
    lines: list[str] = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        said = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:
            lines.extend(said.splitlines())
            continue
        name = str(fault["loc"][0])
        said = said.replace("Input should", "should", 1).replace(" items after validation", " characters")
        shown = name in values and name not in secrets and "@" not in values[name] and "got " not in said
        got = f", got {values[name]!r}" if shown else ""
        lines.append(f"{variable_of(name)}: {said}{got}")
    return lines


def refuse(faults: Sequence[str]) -> NoReturn:
    """Raise :class:`InvalidSettings` with one line for each fault, sorted by variable."""
    raise InvalidSettings("\n".join(sorted(dict.fromkeys(faults))))


def require_scheme(*schemes: str) -> Callable[[object], object]:
    """Return a check that a URL has one of the schemes; its error never shows the URL."""

    def check(value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            msg = "not a URL that can be read (is its port a number?)"
            raise ValueError(msg) from None
        if parts.scheme not in schemes:
            msg = f"expected a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"
            raise ValueError(msg)
        if parts.scheme == "sqlite" and not parts.path.strip("/"):
            msg = "expected sqlite:///file"
            raise ValueError(msg)
        if parts.scheme != "sqlite" and not parts.hostname:
            msg = "expected a host name after the scheme"
            raise ValueError(msg)
        return value

    return check


def read_duration(value: object) -> object:
    """Turn text into a length of time, and leave anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except InvalidInput as exc:
        raise ValueError(str(exc)) from exc


def check_kafka_url(value: object) -> object:
    """Check that a URL names brokers and nothing else."""
    url = urlsplit(str(value).split(",", maxsplit=1)[0])
    if "@" in str(value):
        msg = "credentials do not belong in it: use FRAUDSTREAM_KAFKA_USERNAME and FRAUDSTREAM_KAFKA_PASSWORD"
        raise ValueError(msg)
    if url.scheme != "kafka":
        msg = "expected kafka://host:port, several brokers separated by commas"
        raise ValueError(msg)
    for server in split_servers(str(value)):
        if not re.fullmatch(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", server):
            msg = f"expected host:port for each broker, got {server!r}"
            raise ValueError(msg)
    return value


def split_servers(kafka_url: str) -> list[str]:
    """Return the brokers of a ``kafka://`` URL as ``host:port``; a missing port is 9092.

    >>> split_servers("kafka://one,kafka://two:9093")
    ['one:9092', 'two:9093']
    """
    servers = [part.strip().removeprefix("kafka://").rstrip("/") for part in kafka_url.split(",")]
    return [server if re.search(r":\d+$", server) or not server else f"{server}:9092" for server in servers]


def split_list(value: object) -> object:
    """Split text at commas, dropping blanks; anything else is left as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def mask_url(url: str) -> str:
    """Return a URL fit for logs and errors: without password and without query.

    >>> mask_url("mysql://app:s3cret@db:3306/fraudstream?ssl=1")
    'mysql://app:***@db:3306/fraudstream'
    """
    return re.sub(r"://([^:@/]*):.*@", r"://\1:***@", url.partition("?")[0])
