"""Reading the model registry: which versions there were, and where each comes from.

For whoever looks at models: the command line, pages, and the learner itself before it goes back to one.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from fraudstream.core.registry import Entry, Refusal, decode_record
from fraudstream.errors import InvalidInput, InvalidMessage
from fraudstream.topics import Topics

_NEAR = 10_000
"""Versions between which the registry is read on rather than searched anew: about two megabytes."""

_SINGLE = 8
"""Offsets looked at for one record: a transaction leaves its marker behind each."""


class Limits(Protocol):
    """First offset of a log, and the one its next record will get."""

    @property
    def low(self) -> int:
        """First offset still there."""

    @property
    def end(self) -> int:
        """Offset of the next record."""


class Logs(Protocol):
    """What is needed of a reader of logs: see :class:`~fraudstream.delivery.logs.LogReader`."""

    async def bounds(self, topic: str, partition: int) -> Limits:
        """Return where a partition begins and ends now."""

    def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Any]:
        """Yield the messages of a partition from offset ``start`` to before ``end``."""


class ModelRegistry:
    """The versions there were, and the way back to each.

    Parameters
    ----------
    topics
        Of the installation.
    logs
        Reads them.
    """

    def __init__(self, topics: Topics, logs: Logs) -> None:
        self._registry = topics.model_registry.name
        self._logs = logs

    async def newest(self, limit: int) -> list[Entry | Refusal]:
        """Return the newest records of the registry, oldest first."""
        bounds = await self._logs.bounds(self._registry, 0)
        back = 2 * limit
        while True:
            start = max(bounds.low, bounds.end - back)
            found = [record async for _, record in self.records(start, bounds.end)]
            if len(found) >= limit or start == bounds.low:
                return found[-limit:]
            back *= 2

    async def records(self, start: int, end: int) -> AsyncIterator[tuple[int, Entry | Refusal]]:
        """Yield the records of a part of the registry with their offsets; what is none is passed over."""
        async for record in self._logs.read(self._registry, 0, start, end):
            try:
                yield record.offset, decode_record(record.value)
            except InvalidMessage:
                continue  # written by a newer program, or by nobody of ours

    async def end(self) -> int:
        """Return the offset that the next record of the registry will get."""
        return (await self._logs.bounds(self._registry, 0)).end

    async def find(self, version: int) -> Entry:
        """Return the entry of a version. Versions only rise in the log, so few of its records are read.

        Raises
        ------
        InvalidInput
            There is no such version, or not any more.
        """
        (found,) = await self.find_all([version])
        return found

    async def find_all(self, versions: Iterable[int]) -> list[Entry]:
        """Return the entries of several versions, in rising order; raises as :meth:`find` does."""
        wanted = sorted(set(versions))
        found: dict[int, Entry] = {}
        end = await self.end()
        for number, version in enumerate(wanted):
            if version in found or (number and version - wanted[number - 1] <= _NEAR and found):
                continue
            await self._read_on(version, wanted[number:], end, found)
        for version in wanted:
            if version not in found:
                fault = f"there is no model version {version}"
                newest = await self.newest(1)
                if newest:
                    fault += f" in the registry: the newest is {newest[0].version}"
                raise InvalidInput(fault)
        return [found[version] for version in wanted]

    async def _read_on(self, version: int, wanted: Sequence[int], end: int, found: dict[int, Entry]) -> None:
        """Find a version by halving, and then what is wanted of those close behind it."""
        left = set(wanted)
        last = version
        async for _, record in self.records(await self._first_offset(version), end):
            if record.version - last > _NEAR or record.version > wanted[-1]:
                return
            if isinstance(record, Entry) and record.version in left:
                found[record.version] = record
                left.remove(record.version)
                last = record.version
            if not left:
                return

    async def _first_offset(self, version: int) -> int:
        """Return the offset of the first record of a version or a later one."""
        bounds = await self._logs.bounds(self._registry, 0)
        low, high = bounds.low, bounds.end
        while low < high:
            middle = (low + high) // 2
            found = await self._first_from(middle, high)
            if found is not None and found[1].version < version:
                low = found[0] + 1
            else:
                high = middle
        return low

    async def _first_from(self, start: int, end: int) -> tuple[int, Entry | Refusal] | None:
        step = _SINGLE
        while start < end:
            async for found in self.records(start, min(end, start + step)):
                return found
            start += step
            step *= 4
        return None

    async def kept(self, limit: int) -> list[Entry]:
        """Return the newest versions that were kept whole, oldest first."""
        found: list[Entry] = []
        newest = await self.newest(1)
        version = newest[0].version if newest else 0
        while version > 0 and len(found) < limit:
            entry = await self.find(version)
            if not entry.is_kept:
                if entry.kept_at < 0:
                    break
                entry = await self.kept_as(entry)
            found.append(entry)
            version = await self.before(entry.version)
        return found[::-1]

    async def kept_as(self, entry: Entry) -> Entry:
        """Return the entry of a version's base, as a version that was kept."""
        base = await self.find(entry.base)
        # A version that was published before it was kept, at a change of program, does not say so itself.
        return base if base.is_kept else _with_base(base, entry.kept_at)

    async def before(self, version: int) -> int:
        """Return the version published before one, 0 for none: numbers may be missing."""
        bounds = await self._logs.bounds(self._registry, 0)
        low, high = bounds.low, bounds.end
        before = 0
        while low < high:
            middle = (low + high) // 2
            found = await self._first_from(middle, high)
            if found is None or found[1].version >= version:
                high = middle
            else:
                low, before = found[0] + 1, found[1].version
        return before


def _with_base(entry: Entry, kept_at: int) -> Entry:
    return msgspec.structs.replace(entry, base=entry.version, kept_at=kept_at)
