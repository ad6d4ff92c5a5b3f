"""Slices: contiguous records of one partition, which Faust carries as if each were one record.

Stock Faust spends about 65 µs on a record before any work is done. A slice costs about as much and holds
hundreds, so the cost disappears; membership, assignment, tables and recovery stay Faust's own. Three public
hooks are used here: the ``ConsumerScheduler`` setting, ``faust.Schema`` and ``Topic(schema=…)``. What they
need besides is in ``consumer``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import faust
from faust.serializers.schemas import Schema
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP, TopicT

from fraudstream.delivery.records import Message, Record, is_claim

#: Records in one slice at most. Large enough that the cost of a slice (about 100 µs) vanishes, small enough
#: that a slice of full-cost scoring (about 10 ms) does not hold up the loop noticeably.
SLICE_SIZE = 512

#: Names of the topics read in slices; everything else is read as stock Faust does.
_sliced_topics: set[str] = set()


class PartitionId(NamedTuple):
    """Topic and partition, in the shape both Faust and aiokafka use."""

    topic: str
    partition: int


class RecordSlice:
    """Contiguous records of one partition, in the guise of one aiokafka record whose value is the slice.

    Faust sees the offset of the last record. ``processed`` becomes true only when everything that follows
    from the records is durable; only then may their offsets be committed.
    """

    __slots__ = (
        "__weakref__",
        "first",
        "offset",
        "partition",
        "processed",
        "records",
        "timestamp",
        "timestamp_type",
        "topic",
    )
    headers: tuple[tuple[str, bytes], ...] = ()
    key: None = None
    checksum: None = None
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, partition: PartitionId, records: Sequence[Record]) -> None:
        last = records[-1]
        self.topic, self.partition = partition
        self.first: int = records[0].offset
        self.offset: int = last.offset
        self.timestamp: int = last.timestamp
        self.timestamp_type: int = last.timestamp_type
        self.records = records
        self.processed = False

    @property
    def value(self) -> "RecordSlice":
        """The slice itself: what Faust hands to the agent."""
        return self

    def __len__(self) -> int:
        return len(self.records)

    def messages(self) -> list[Message]:
        """Return the records that say something: not those that delete a key, nor changes of owner."""
        said = [
            record for record in self.records if record.value and not (record.headers and is_claim(record))
        ]
        return cast("list[Message]", said)

    def __repr__(self) -> str:
        return f"<slice {self.topic}[{self.partition}] {self.first}..{self.offset}>"


class SliceScheduler(DefaultSchedulingStrategy):
    """Cuts what one fetch brought into slices, round robin over the partitions so that none starves."""

    size = SLICE_SIZE

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        """Yield slices of sliced topics, then records of all others as stock Faust orders them."""
        lanes = {tp: self._cut(tp, found) for tp, found in records.items() if is_sliced(tp.topic) and found}
        rest = {tp: found for tp, found in records.items() if not is_sliced(tp.topic)}
        while lanes:
            for tp in list(lanes):
                part = next(lanes[tp], None)
                if part is None:
                    del lanes[tp]
                else:
                    yield tp, part
        if rest:
            yield from super().iterate(rest)

    def _cut(self, tp: TP, records: list[Any]) -> Iterator[RecordSlice]:
        partition = PartitionId(tp.topic, tp.partition)
        for start in range(0, len(records), self.size):
            yield RecordSlice(partition, records[start : start + self.size])


class SliceSchema(Schema[Any, Any]):
    """Hands a slice through undecoded: agents decode records themselves, so that Faust can drop none."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        """Return no key: a slice has many."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """Return the slice."""
        return message.value


def is_sliced(topic: str) -> bool:
    """Tell whether a topic is read in slices."""
    return topic in _sliced_topics


def read_in_slices(topic: str) -> None:
    """Have every consumer of this process read a topic in slices."""
    _sliced_topics.add(topic)


def sliced_topic(app: faust.App, name: str) -> TopicT:
    """Return the Faust topic of that name, read in slices."""
    read_in_slices(name)
    return app.topic(name, schema=SliceSchema())
