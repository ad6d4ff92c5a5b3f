"""What an agent asks for when it has looked at a slice, and what it is told in return."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from faust.types import TP

from fraudstream.delivery.records import OutRecord
from fraudstream.delivery.slices import RecordSlice


@dataclass(slots=True)
class Work:
    """Everything that follows from one slice. The lane does it in the order of the fields.

    Attributes
    ----------
    early
        Started when the slice is queued, beside that of slices before it, and awaited first of all: writing
        to a store what may be written in any order. Repeated like ``before``, and repeatable as a whole.
    before
        Awaited next, and again after a pause for as long as it raises ``StoreUnavailable``: writing to a
        store, or looking something up and adding to the fields below. Must be repeatable as a whole.
    outputs
        Records for the lane's output topic.
    notices
        Records for other topics, by topic, such as dead letters. They may come twice after a crash; their
        readers tell.
    changes
        Changed table entries, each key once: key and value, ``None`` to delete.
    published
        Called when outputs and notices are published; for counters and latencies of those who read them.
    after
        Awaited once all of the above is durable, retried like ``before``.
    done
        Called when the slice may be committed; for counters.
    """

    early: Callable[[], Awaitable[None]] | None = None
    before: Callable[[], Awaitable[None]] | None = None
    outputs: list[OutRecord] = field(default_factory=list)
    notices: dict[str, list[OutRecord]] = field(default_factory=dict)
    changes: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    published: Callable[[], None] | None = None
    after: Callable[[], Awaitable[None]] | None = None
    done: Callable[[], None] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing but publishing follows: what comes behind it may share its requests."""
        return self.early is None and self.before is None and self.after is None

    def join(self, later: "Work") -> None:
        """Take over what is to be published by plain work that follows this one; a key may be twice then."""
        self.outputs += later.outputs
        for topic, records in later.notices.items():
            self.notices.setdefault(topic, []).extend(records)
        self.changes += later.changes


class SliceHandler(Protocol):
    """The agent's side of a lane."""

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Prepare for partitions that are newly ours, before their state is recovered."""

    def waits_for(self, part: RecordSlice) -> Awaitable[None] | None:
        """Return what a slice must wait for before it may be judged; None for nothing."""

    def judge(self, part: RecordSlice) -> Work:
        """Say what follows from a slice, without I/O. Called once a delivery, in order within a partition."""


class Consumer(Protocol):
    """What a lane needs of the consumer."""

    def hold(self, tp: TP) -> None:
        """Stop fetching one partition."""

    def release(self, tp: TP) -> None:
        """Fetch a held partition again."""
