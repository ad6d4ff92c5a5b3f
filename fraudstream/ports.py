"""What the shell needs from outside systems, as roles.

``adapters`` holds one module for each system that plays one. Every method raises
:class:`~fraudstream.errors.StoreUnavailable` when the store does not answer; then nothing may be assumed
about what was stored, and every call may be repeated as it is: all of them are idempotent.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from fraudstream.core.messages import Label, LabelPosition, LabelSource, LabelValue, Position
from fraudstream.core.window_cells import WindowCells


class LabelState(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive knows of a transaction's label: the last one that was accepted."""

    label: LabelValue
    label_source: LabelSource
    position: LabelPosition
    labelled_by: str | None = None


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """A classification as the archive returns it, with the label it has been given since, if any."""

    source: Position
    classification: bytes
    label: LabelState | None


class Unlabelled(msgspec.Struct, frozen=True, order=True):
    """An archived transaction without a label, and its event time to the millisecond."""

    event_time: datetime
    source: Position


class Archive(Protocol):
    """The memory of every classification, and so of the features a late label needs."""

    async def open(self) -> None:
        """Connect, and create collections and indexes that are missing. Idempotent."""

    async def close(self) -> None:
        """Let go of every connection. Idempotent."""

    async def ping(self) -> None:
        """Return when the store answers."""

    async def store(self, classifications: Sequence[bytes]) -> int:
        """Store encoded classifications and return how many were new.

        Idempotent by source position: what is stored already stays as it is (the first decision wins). Not
        atomic over the sequence: after a failure any part of it may be stored.
        """

    async def find(self, labels: Sequence[Label]) -> list[list[Archived]]:
        """Return for each label the archived transactions it may mean.

        By position if the label names one, else by id.
        """

    async def record_labels(self, states: Mapping[Position, tuple[Label, LabelPosition]]) -> None:
        """Note on each transaction the label that was accepted for it.

        A later call wins, unless the label noted is of a source whose word stands against this one's
        (:func:`~fraudstream.core.label_sources.overrules`): then that one stays.
        """

    async def unlabelled(self, until: datetime, after: Unlabelled | None, limit: int) -> list[Unlabelled]:
        """Return transactions without a label, the oldest event times first, ``limit`` at most.

        Event times are those up to ``until``, inclusive, to the millisecond; with ``after``, only what comes
        behind it in this order. Costs an index look-up and the rows returned, however much is stored and
        labelled.
        """

    async def highest_offsets(self, epoch: int) -> dict[int, int]:
        """Return the highest source offset stored for each partition of that epoch."""


class CountStore(Protocol):
    """Cumulative counts of each window, for dashboards and reports."""

    async def open(self) -> None:
        """Connect, and create tables and views that are missing. Idempotent."""

    async def close(self) -> None:
        """Let go of every connection. Idempotent."""

    async def ping(self) -> None:
        """Return when the store answers."""

    async def flush(self, windows: Sequence[WindowCells]) -> None:
        """Write the cumulative cells of each (window, source partition), in the place of those stored.

        Atomic over the sequence, idempotent, and never backwards: a window whose stored applied offset is
        higher stays as it is.
        """

    async def highest_offsets(self, epoch: int) -> dict[int, int]:
        """Return the highest applied offset stored for each source partition of that epoch."""
