"""How the first messages of a file map to transactions, for ``fraudstream check --sample``."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import click

from fraudstream.commands.replay_rows import encoding_of, unpacked
from fraudstream.core.wire_formats import WireFormats
from fraudstream.core.wire_samples import SampleResult, describe_sample
from fraudstream.errors import InvalidMessage


def describe_file(path: Path, formats: WireFormats, rows: int) -> list[str]:
    """Print what becomes of the first messages of a JSON-lines or CSV file; return a line for each fault."""
    try:
        messages = list(islice(_messages(path, formats), rows))
    except (OSError, EOFError, csv.Error, InvalidMessage) as exc:
        return [f"{path}: cannot be read: {exc}"]
    if not messages:
        return [f"{path}: holds no messages"]
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    results = describe_sample(formats, messages, now_ms)
    for result in results:
        _show(result)
    return [
        f"{path}: message {result.number}: {result.field + ': ' if result.field else ''}{result.fault}"
        for result in results
        if result.fault
    ]


def _messages(path: Path, formats: WireFormats) -> Iterator[bytes]:
    with path.open("rb") as raw, unpacked(raw) as stream:
        lines = (line.rstrip(b"\r\n") for line in stream)
        first = next(filter(None, lines), b"")
        if first.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
            yield first
            yield from filter(None, lines)
            return
        encoding = encoding_of(path)
        text = (line.decode(encoding) for line in lines)
        for row in csv.DictReader(text, next(csv.reader([first.decode(encoding)]), [])):
            yield formats.encode_row({name: value for name, value in row.items() if name is not None})


def _show(result: SampleResult) -> None:
    click.echo(f"message {result.number}: {result.wire_format or 'no wire format'}")
    for name, value in (result.transaction or {}).items():
        click.echo(f"    {name} = {value}")
    if result.missing:
        click.echo(f"    missing: {', '.join(result.missing)}")
    if result.fault:
        click.echo(f"    refused: {result.field + ': ' if result.field else ''}{result.fault}")
