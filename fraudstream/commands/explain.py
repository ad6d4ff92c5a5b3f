"""``fraudstream explain``: past decisions, computed again bit for bit and told in words."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import TextIO

import click
import msgspec

from fraudstream.adapters import connect_archive
from fraudstream.commands.context import pass_settings
from fraudstream.commands.model import Reading, reading
from fraudstream.core.codec import decode_classification
from fraudstream.core.explanation import Explanation
from fraudstream.core.explanation import explain as explain_one
from fraudstream.core.learning import Learner
from fraudstream.core.messages import Classification, Label, LabelSource, LabelValue, Position
from fraudstream.errors import InvalidInput
from fraudstream.settings import Settings

FOUND_TOGETHER = 500
"""Classifications asked for at once."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

PRINTED_WHOLE = 20
"""Up to so many decisions are told in words; of more, only those that differ."""


class _PositionType(click.ParamType):
    name = "position"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Position:
        parts = str(value).strip().split("-")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):
            self.fail(f"expected epoch-partition-offset such as 1-0-42, got {value!r}", param, ctx)
        return Position(*map(int, parts))


_POSITION = _PositionType()


@click.command()
@click.argument("positions", nargs=-1, type=_POSITION, metavar="[POSITION]...")
@click.option("--from", "file", type=click.File(), metavar="FILE", help="Positions, one a line; - for input.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_settings
def explain(settings: Settings, positions: tuple[Position, ...], file: TextIO | None, as_json: bool) -> int:
    """Compute past decisions again and tell their reasons.

    A POSITION is epoch-partition-offset of the transaction, as alerts and the archive name it. The model
    version that scored it is made again from the nearest one kept whole; score and reasons are compared
    with what was stored, to the last bit. Ends with 1 when anything differs.
    """
    wanted = list(dict.fromkeys([*positions, *(_lines(file) if file else [])]))
    if not wanted:
        msg = "name at least one position"
        raise InvalidInput(msg)
    return asyncio.run(_explain(settings, wanted, as_json))


def _lines(file: TextIO) -> Iterator[Position]:
    for line in file:
        if line.strip():
            yield _POSITION.convert(line, None, None)


async def _explain(settings: Settings, wanted: Sequence[Position], as_json: bool) -> int:
    stored = await _stored(settings, wanted)
    different = 0
    versions = {one.model_version for one in stored}
    async with reading(settings) as read:
        async for one in explanations(read, stored):
            different += not one.equal
            if as_json:
                click.echo(msgspec.json.encode(one))
            elif len(wanted) <= PRINTED_WHOLE or not one.equal:
                click.echo(one.text())
    if not as_json and len(wanted) > 1:
        click.echo(
            f"{len(wanted):,} decisions of {len(versions):,} model versions computed again:"
            f" {len(wanted) - different:,} equal to the last bit, {different:,} differ"
        )
    return 1 if different else 0


async def _stored(settings: Settings, wanted: Sequence[Position]) -> list[Classification]:
    """Return the archived classifications of some positions.

    Raises
    ------
    InvalidInput
        The archive does not hold one of them.
    """
    archive = connect_archive(settings.mongo_url.get_secret_value())
    found: list[Classification] = []
    await archive.open()
    try:
        for start in range(0, len(wanted), FOUND_TOGETHER):
            part = wanted[start : start + FOUND_TOGETHER]
            answers = await archive.find([_anything_about(position) for position in part])
            for position, answer in zip(part, answers, strict=True):
                if not answer:
                    msg = f"the archive holds no decision at {position}"
                    raise InvalidInput(msg)
                found.append(decode_classification(answer[0].classification))
    finally:
        await archive.close()
    return found


def _anything_about(position: Position) -> Label:
    """Return a label that names a position: how an archive is asked."""
    return Label(
        label=LabelValue.GENUINE,
        source=LabelSource.PRESUMED,
        labelled_at=_LONG_AGO,
        position=position,
    )


async def explanations(read: Reading, stored: Sequence[Classification]) -> AsyncIterator[Explanation]:
    """Yield the explanation of each decision, by model version: each version is made again once."""
    by_version: dict[int, list[Classification]] = {}
    for one in stored:
        by_version.setdefault(one.model_version, []).append(one)
    beginning = Learner()
    for one in by_version.pop(0, ()):
        yield explain_one(one, beginning)
    entries = await read.registry.find_all(by_version)
    async for entry, learner in read.rebuilder.rebuild_each(entries):
        for one in by_version[entry.version]:
            yield explain_one(one, learner, entry.code)
