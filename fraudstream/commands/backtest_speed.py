"""How fast a backtest was, as its files tell it: measured once, and then the same in every run.

Two runs of a backtest write the same bytes, and a reader wants to see numbers in them; but a measured speed
is never the same twice. So the first run that comes to a result by some code on some machine keeps its
speeds, with the time they were measured, and later runs tell these. Another result, changed code or another
machine is measured anew; so is everything with ``--speed new``.
"""

import hashlib
import os
import platform
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import click
import msgspec

import fraudstream
from fraudstream.core import ftrl


class Told(StrEnum):
    """Which speeds the JSON and the page tell."""

    KEPT = "kept"
    NEW = "new"
    NONE = "none"


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one run.

    ``cpu_us_per_event``: processor time of features, score, label state and learning, challengers not
    included, in microseconds; ``events_per_second``: rows a second of processor time, reading and everything
    else included, challengers not. ``challengers_cpu_us``: of scoring and learning of each, for one event.
    ``measured_on``: processor and Python, for people.
    """

    cpu_us_per_event: float
    events_per_second: float
    challengers_cpu_us: tuple[float, ...] = ()
    measured_at: datetime
    measured_on: str


def machine() -> str:
    """Return what speeds depend on, as people tell it."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    core = "plain" if str(ftrl.__file__).endswith(".py") else "compiled"
    return f"{platform.machine()}, {os.cpu_count()} processors, {python}, core {core}"


def kept_speed(measured: Speed, result: bytes, folder: Path | None = None) -> Speed:
    """Return the speed first measured with this result, or keep the one just measured.

    Where it cannot be kept, a warning says that another run will tell another speed.

    Parameters
    ----------
    result
        Everything the backtest came to, without speeds.
    folder
        Where speeds are kept: the user's folder for caches unless told.
    """
    path = (folder or _folder()) / f"{_name(result, measured.measured_on)}.json"
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Speed)
        if len(kept.challengers_cpu_us) == len(measured.challengers_cpu_us):
            return kept
    except (OSError, msgspec.MsgspecError):
        pass  # none yet, or not one we wrote: keep a new one
    keep_speed(measured, result, folder)
    return measured


def keep_speed(measured: Speed, result: bytes, folder: Path | None = None) -> None:
    """Keep a speed as that of a result, in place of an earlier one; atomic."""
    path = (folder or _folder()) / f"{_name(result, measured.measured_on)}.json"
    unfinished = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(msgspec.json.encode(measured))
        unfinished.replace(path)
    except OSError as error:
        told = (
            f"{path.parent}: speeds cannot be kept, another run will tell others: {error.strerror or error}"
        )
        click.echo(f"fraudstream: warning: {told}", err=True)


def _folder() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "fraudstream" / "backtest-speeds"


def _name(result: bytes, measured_on: str) -> str:
    digest = hashlib.sha256(result)
    digest.update(f"{measured_on} {platform.node()}".encode())
    for part in _code():
        digest.update(part)
    return digest.hexdigest()


def _code() -> Sequence[bytes]:
    """Return what this program is made of: a change of it may change how fast it is."""
    package = Path(fraudstream.__file__).parent
    return [path.read_bytes() for path in sorted(package.rglob("*.py"))]
