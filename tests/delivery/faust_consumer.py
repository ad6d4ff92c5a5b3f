"""A consumer of ours inside a Faust app that connects to nothing."""

from dataclasses import dataclass

import faust
from aiokafka import ConsumerRecord
from faust.types import TP

from fraudstream.delivery.consumer import SliceConsumer, install
from fraudstream.delivery.fetching import Fetching, SliceConsumerThread
from fraudstream.delivery.slices import PartitionId, RecordSlice, read_in_slices

TOPIC = "sliced-in-tests"
PARTITION = TP(TOPIC, 0)
IN_THREAD = Fetching(in_thread=True)
made_consumers: list[SliceConsumer] = []


@dataclass
class Message:
    """What Faust hands to ``Consumer.ack``: the parts that are read."""

    value: object
    tp: TP = PARTITION
    offset: int = 0
    acked: bool = False

    @property
    def topic(self) -> str:
        return self.tp.topic

    __hash__ = object.__hash__


def consumer(fetching: Fetching = IN_THREAD) -> SliceConsumer:
    """Return a consumer that reads ``TOPIC`` in slices, as an app makes it."""
    read_in_slices(TOPIC)
    app = faust.App("delivery-tests", broker="kafka://127.0.0.1:1", autodiscover=False)
    transport = install(app, fetching)
    app.topics.acks_enabled_for = lambda topic: True
    made = transport.create_consumer(
        lambda message: None, on_partitions_revoked=None, on_partitions_assigned=None
    )
    assert isinstance(made, SliceConsumer)
    made_consumers.append(made)
    return made


def thread_of(made: SliceConsumer) -> SliceConsumerThread:
    """Return the thread that a consumer made for itself, not started."""
    thread = made._thread
    assert isinstance(thread, SliceConsumerThread)
    return thread


def close_consumers() -> None:
    """Close the event loops that consumers made for their threads."""
    while made_consumers:
        thread = thread_of(made_consumers.pop())
        if thread.thread_loop is not thread.parent_loop:
            thread.thread_loop.close()


def record(
    offset: int, value: bytes | None = b"v", key: bytes | None = b"k", topic: str = TOPIC, partition: int = 0
) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord(topic, partition, offset, 1_000 + offset, 0, key, value, None, 1, 1, ())


def records(first: int, last: int) -> RecordSlice:
    """Return a slice of these offsets, ends included."""
    return RecordSlice(PartitionId(*PARTITION), [record(offset) for offset in range(first, last + 1)])


def message_of(part: RecordSlice) -> Message:
    return Message(part, offset=part.offset)


def committable(made: SliceConsumer) -> int | None:
    """Return the offset Faust would commit now; None for no change."""
    return made._new_offset(PARTITION)
