"""Setting aside what cannot be used, with a brake.

A message at fault becomes a dead letter and its neighbours go on. When most messages are at fault,
something else is: a wrong mapping, a producer gone astray, the wrong topic. Then the worker stops instead
of setting everything aside.
"""

from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple

from fraudstream.core.dead_letters import DeadLetter
from fraudstream.core.masking import mask_card_numbers
from fraudstream.delivery.records import Headers, OutRecord, Record
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.work import Work
from fraudstream.errors import InvalidMessage, OperatorError
from fraudstream.metrics import Metrics


class TooManyDeadLetters(OperatorError):
    """The share of unusable messages is above the brake."""


class Letter(NamedTuple):
    """A message to set aside, as it came."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class DeadLetters:
    """One agent's dead letters.

    Parameters
    ----------
    metrics
        Where they are counted.
    topic
        Where they go.
    limit
        Share of unusable messages above which the worker stops.
    least
        Latest messages over which that share is taken; the brake is off until so many came.
    """

    def __init__(self, metrics: Metrics, topic: str, limit: float, least: int) -> None:
        self._metrics = metrics
        self._topic = topic
        self._limit = limit
        self._least = least
        #: (records, refused) of the latest slices, covering at least ``_least`` records.
        self._latest: deque[tuple[int, int]] = deque()
        self._records = self._refused = 0

    def add(self, work: Work, part: RecordSlice, record: Record, fault: InvalidMessage) -> None:
        """Have a record of a slice set aside together with the rest of the work."""
        letter = Letter(
            part.topic,
            part.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(record.headers),
        )
        self.add_letter(work, letter, fault)

    def add_letter(self, work: Work, letter: Letter, fault: InvalidMessage) -> None:
        """Have a message set aside together with the rest of the work; card data in it is masked."""
        value = None if letter.value is None else mask_card_numbers(letter.value)
        key = None if letter.key is None else mask_card_numbers(letter.key)
        about = DeadLetter(
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            timestamp_ms=letter.timestamp_ms,
            field=fault.field,
            fault=fault.fault,
            failed_at=datetime.now(UTC),
            masked=value != letter.value or key != letter.key,
            headers=letter.headers,
        )
        # A record needs a key or a value; an empty value says the same as none.
        record = OutRecord(
            letter.offset, key, b"" if value is None else value, letter.timestamp_ms, about.to_headers()
        )
        work.notices.setdefault(self._topic, []).append(record)
        self._metrics.dead_letters.labels(topic=letter.topic, reason=fault.field or "message").inc()

    def brake(self, records: int, refused: int) -> None:
        """Note how many of the next records were refused.

        Raises
        ------
        TooManyDeadLetters
            More than the allowed share of the latest records was.
        """
        self._latest.append((records, refused))
        self._records += records
        self._refused += refused
        while self._latest and self._records - self._latest[0][0] >= self._least:
            gone = self._latest.popleft()
            self._records -= gone[0]
            self._refused -= gone[1]
        if self._records >= self._least and self._refused > self._limit * self._records:
            msg = (
                f"{self._refused} of the latest {self._records} messages cannot be used: look at the newest"
                " dead letters (fraudstream dead-letters list), then mend the wire format or the producer;"
                f" FRAUDSTREAM_DEAD_LETTER_BRAKE is {self._limit}"
            )
            raise TooManyDeadLetters(msg)
