"""What an agent has in hand: judged, and not yet durable."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable

from fraudstream.metrics import Metrics

#: Records in hand of one partition from which on its fetching is held, and down to which. 4,096 of 600 bytes
#: are 2.4 MB; what one fetch (1 MB) already brought comes on top. Not counted in slices: many small ones may
#: wait for one publication.
HIGH, LOW = 4096, 1536


class Backlog:
    """Counts work in hand by partition, and holds back a partition of which there is too much.

    Parameters
    ----------
    agent
        Whose work it is, in metrics.
    hold, release
        Stop and resume fetching a partition.
    """

    def __init__(
        self, agent: str, metrics: Metrics, hold: Callable[[int], None], release: Callable[[int], None]
    ) -> None:
        self._slices_gauge = metrics.pending_slices.labels(agent=agent)
        self._records_gauge = metrics.pending_records.labels(agent=agent)
        self._hold = hold
        self._release = release
        #: When each piece of work in hand was queued, by partition, oldest first.
        self._queued: dict[int, deque[float]] = defaultdict(deque)
        self._records: dict[int, int] = defaultdict(int)
        self._held: set[int] = set()

    def add(self, partition: int, records: int) -> None:
        """Note work of so many records; 0 for a timer's, which is never held back."""
        self._queued[partition].append(time.monotonic())
        self._records[partition] += records
        self._tell()
        if records and self._records[partition] >= HIGH and partition not in self._held:
            self._held.add(partition)
            self._hold(partition)

    def end(self, partition: int, records: int, pieces: int = 1) -> None:
        """Note that the oldest pieces of work of a partition are durable, or were given up."""
        for _ in range(pieces):
            self._queued[partition].popleft()
        self._records[partition] -= records
        self._tell()
        if partition in self._held and self._records[partition] <= LOW:
            self._held.discard(partition)
            self._release(partition)

    def clear(self) -> None:
        """Forget everything: nothing is in hand any more, and nothing held."""
        self._queued.clear()
        self._records.clear()
        self._held.clear()
        self._tell()

    def without_work(self, partitions: Iterable[int]) -> set[int]:
        """Return those partitions of which nothing is in hand."""
        return {partition for partition in partitions if not self._queued[partition]}

    def pieces(self) -> int:
        """Return how many pieces of work, slices and timers' ones, are in hand."""
        return sum(map(len, self._queued.values()))

    def records(self) -> int:
        """Return how many records are in hand."""
        return sum(self._records.values())

    def oldest_seconds(self) -> float:
        """Return how long the oldest work has waited to be durable; 0 with none in hand."""
        oldest = [queued[0] for queued in self._queued.values() if queued]
        return time.monotonic() - min(oldest) if oldest else 0.0

    def _tell(self) -> None:
        self._slices_gauge.set(self.pieces())
        self._records_gauge.set(self.records())
