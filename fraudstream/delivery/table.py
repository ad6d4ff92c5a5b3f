"""A Faust table that is written and recovered in slices.

Stock tables cost 57 µs a write and 85 µs a recovered record. Here an agent works on plain objects, one
mapping a partition, and each checkpoint writes every touched key once. Faust still owns the changelog's
assignment and decides when recovery is complete.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast

import faust
from faust.tables.manager import TableManager
from faust.types import TP, EventT

from fraudstream.delivery.fencing import FencedProducers
from fraudstream.delivery.records import CLAIM_KEY, OutRecord
from fraudstream.delivery.slices import RecordSlice, SliceSchema, read_in_slices

S = TypeVar("S")


class SliceTable(faust.Table[Any, Any], Generic[S]):
    """State of an agent, one object a source partition.

    Parameters
    ----------
    app
        The agent's app.
    name
        Name of the table; its changelog is ``<app id>-<name>-changelog``.
    new
        Makes the empty state of a partition.
    restore
        Applies one changelog entry (key, value or None) to a partition's state.
    """

    def __init__(  # noqa: PLR0913 - what differs between tables, all of it by name
        self,
        app: faust.App,
        name: str,
        *,
        partitions: int,
        new: Callable[[int], S],
        restore: Callable[[S, bytes, bytes | None], None],
        view: Callable[[S], Mapping[Any, Any]],
        **kwargs: Any,
    ) -> None:
        super().__init__(
            app, name=name, partitions=partitions, schema=SliceSchema(), recovery_buffer_size=8, **kwargs
        )
        self._new_state = new
        self._restore = restore
        self._view = view
        self.states: dict[int, S] = {}
        #: Changelog offset up to which memory holds everything, for each partition whose recovery is
        #: complete.
        self._written: dict[int, int] = {}
        self._claims: dict[int, int] = {}
        read_in_slices(self.changelog_topic_name)

    def of(self, partition: int) -> S:
        """Return the state of a source partition, empty at first."""
        found = self.states.get(partition)
        if found is None:
            found = self.states[partition] = self._new_state(partition)
        return found

    async def write(
        self, partition: int, changes: Iterable[tuple[bytes, bytes | None]], producers: FencedProducers
    ) -> None:
        """Write changed entries to the changelog; they are durable when this returns.

        Not atomic: each entry carries the offset it has seen.
        """
        records = [OutRecord(-1, key, value) for key, value in changes]
        last = await producers.send(partition, self.changelog_topic_name, records)
        if last is not None:
            self._written[partition] = last

    def take_over(self, claims: Mapping[int, int], clean: Iterable[int]) -> None:
        """Decide, a partition, between keeping what is in memory and recovering all of it from the changelog.

        Memory is kept only when all of it was written (``clean``) and nothing but our own claim came behind
        our last write: then it equals the changelog, however long the rebalance took.
        """
        recovery = cast(TableManager, self.app.tables).recovery
        kept = {p for p in clean if p in claims and p in self._written and claims[p] == self._written[p] + 1}
        for partition in list(self.states):
            if partition not in kept:
                del self.states[partition]
        self._written = {partition: claims[partition] for partition in kept}
        self._claims = dict(claims)
        for partition, claim in claims.items():
            tp = TP(self.changelog_topic_name, partition)
            recovery.revoke(tp)
            if partition in kept:
                recovery.active_offsets[tp] = claim - 1

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Note that memory now equals the changelog up to our claim (called by Faust's recovery)."""
        for tp in active_tps:
            if tp.partition in self._claims:
                self._written.setdefault(tp.partition, self._claims[tp.partition])
        await super().on_recovery_completed(active_tps, standby_tps)

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]]) -> None:
        """Restore state from slices of the changelog (called by Faust's recovery)."""
        for event in batch:
            part = cast(RecordSlice, event.value)
            state = self.of(part.partition)
            for record in part.records:
                if record.key is not None and record.key != CLAIM_KEY:
                    self._restore(state, record.key, record.value)

    async def on_changelog_event(self, event: EventT[Any]) -> None:
        """Do nothing a record: slices are restored as a whole."""

    # What Faust's own pages and commands show of a table.

    def _entries(self) -> dict[Any, Any]:
        return {key: value for state in self.states.values() for key, value in self._view(state).items()}

    def __getitem__(self, key: Any) -> Any:
        return self._entries()[key]

    def __iter__(self) -> Any:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def keys(self) -> Any:
        """Return the keys of every owned partition."""
        return self._entries().keys()

    def values(self) -> Any:
        """Return the entries of every owned partition."""
        return self._entries().values()

    def items(self) -> Any:
        """Return keys and entries of every owned partition."""
        return self._entries().items()
