"""Worlds as files: a CSV for backtests, JSON lines for a replay."""

import csv
import gzip
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import msgspec

from fraudstream.core.codec import encode_label
from fraudstream.errors import InvalidInput
from fraudstream.simulation.events import Day, Event, SimulatedLabel, instant
from fraudstream.simulation.labels import NEVER
from fraudstream.simulation.payments import GENUINE
from fraudstream.simulation.world import World

CSV_COLUMNS = (
    "TRANSACTION_ID",
    "TX_DATETIME",
    "CUSTOMER_ID",
    "TERMINAL_ID",
    "TX_AMOUNT",
    "TX_FRAUD",
    "LABELLED",
)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a text file for writing, compressed when its name ends in ``.gz``."""
    try:
        if path.suffix == ".gz":
            # No time and no name inside: the same world gives the same bytes.
            with (
                path.open("wb") as raw,
                gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
            ):
                with _text(packed) as text:
                    yield text
        else:
            with path.open("w", encoding="utf-8", newline="\n") as text:
                yield text
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}"
        raise InvalidInput(msg) from error
