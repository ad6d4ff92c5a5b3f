"""When the label of each row becomes known, and the message that says so."""

import heapq
import re
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

from fraudstream.commands.replay_rows import Row
from fraudstream.core.codec import encode_label
from fraudstream.core.messages import Label, LabelSource, Position
from fraudstream.durations import parse_duration
from fraudstream.errors import InvalidInput


class Delay(NamedTuple):
    """How late labels come: after a length of event time, or after a number of rows."""

    time: timedelta | None
    rows: int

    def __str__(self) -> str:
        """Return it as it is typed."""
        return f"{self.rows}rows" if self.time is None else str(self.time)


AT_ONCE = Delay(None, 0)


def parse_delay(text: str) -> Delay:
    """Read a delay: ``7d`` and the like are event time, ``5000rows`` counts rows.

    Raises
    ------
    InvalidInput
        When it is neither.

    Examples
    --------
    >>> parse_delay("5000rows")
    Delay(time=None, rows=5000)
    """
    if counted := re.fullmatch(r"\s*(\d+)\s*rows?\s*", text, re.IGNORECASE):
        return Delay(None, int(counted[1]))
    try:
        return Delay(parse_duration(text), 0)
    except InvalidInput as exc:
        msg = f"{exc}, or a number of rows such as 5000rows"
        raise InvalidInput(msg) from exc


class Due(NamedTuple):
    """The label of a row, now that it is known; without a time of its own it is known as of now."""

    row: Row
    labelled_at: datetime | None


class LateLabels:
    """Holds the label of each row that was sent until it is due.

    Time is event time, and it only advances: the newest one seen. Rows without one of their own (capstone's
    hours are no instants) have the moment they were sent, as the stream has it.

    Parameters
    ----------
    delay
        How long after its row a label is due.
    step
        Labels come out in batches, whenever a ``step`` has passed; a step of nothing lets each out when it
        is due.

    Raises
    ------
    InvalidInput
        When one is a length of time and the other a number of rows.
    """

    def __init__(self, delay: Delay, step: Delay = AT_ONCE) -> None:
        if step != AT_ONCE and (delay.time is None) != (step.time is None):
            msg = f"labels after {delay} cannot come in batches of {step}: both have to be times or both rows"
            raise InvalidInput(msg)
        self._by_rows = delay.time is None
        self._delay = float(delay.rows) if delay.time is None else delay.time.total_seconds()
        self._step = float(step.rows) if step.time is None else step.time.total_seconds()
        self._waiting: list[tuple[float, int, Row]] = []
        self._sequence = count()
        self._clock = float("-inf")

    def __len__(self) -> int:
        """Return how many labels are not due yet."""
        return len(self._waiting)

    def before(self, row: Row, number: int, sent_at: datetime) -> list[Due]:
        """Take note of the ``number``-th row; return the labels that are due before it, first due first."""
        moment = float(number) if self._by_rows else (row.event_time or sent_at).timestamp()
        self._clock = max(self._clock, moment)
        limit = self._clock - self._clock % self._step if self._step else self._clock
        due = self._take(limit) if self._waiting and self._waiting[0][0] <= limit else []
        if row.label is not None:
            heapq.heappush(self._waiting, (moment + self._delay, next(self._sequence), row))
        return due

    def rest(self) -> list[Due]:
        """Take out every label that is left, due or not."""
        return self._take(float("inf"))

    def _take(self, limit: float) -> list[Due]:
        taken = []
        while self._waiting and self._waiting[0][0] <= limit:
            due, _, row = heapq.heappop(self._waiting)
            taken.append(Due(row, None if self._by_rows else datetime.fromtimestamp(due, UTC)))
        return taken


def label_message(due: Due, epoch: int, now: datetime) -> Row:
    """Return the message that reports a label. It names its transaction by position, since ids may repeat."""
    row = due.row
    label = row.label
    if label is None or row.offset < 0:
        msg = "a row without label or position has no label to report"
        raise ValueError(msg)
    position = Position(epoch, row.partition, row.offset)
    message = Label(
        label=label,
        source=LabelSource.ANALYST,
        labelled_at=due.labelled_at or now,
        transaction_id=row.transaction_id,
        position=position,
        labelled_by="replay",
    )
    return Row(encode_label(message), (row.transaction_id or str(position)).encode())
