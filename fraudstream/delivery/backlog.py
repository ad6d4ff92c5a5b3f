"""What an agent has in hand: judged, and not yet durable."""

import time
from collections import defaultdict
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
        self._pieces: dict[int, int] = defaultdict(int)
        self._records: dict[int, int] = defaultdict(int)
        self._held: set[int] = set()
        self._working_since: dict[int, float] = {}

    def add(self, partition: int, records: int) -> None:
        """Note work of so many records; 0 for a timer's, which is never held back."""
        self._pieces[partition] += 1
        self._records[partition] += records
        self._tell()
        if records and self._records[partition] >= HIGH and partition not in self._held:
            self._held.add(partition)
            self._hold(partition)

    def begin(self, partition: int, queued_at: float) -> None:
        """Note that the oldest work of a partition is being done, which was queued then (monotonic)."""
        self._working_since[partition] = queued_at

    def end(self, partition: int, records: int, pieces: int = 1) -> None:
        """Note that the oldest pieces of work of a partition are durable, or were given up."""
        self._working_since.pop(partition, None)
        self._pieces[partition] -= pieces
        self._records[partition] -= records
        self._tell()
        if partition in self._held and self._records[partition] <= LOW:
            self._held.discard(partition)
            self._release(partition)

    def clear(self) -> None:
        """Forget everything: nothing is in hand any more, and nothing held."""
        self._pieces.clear()
        self._records.clear()
        self._held.clear()
        self._working_since.clear()
        self._tell()

    def without_work(self, partitions: Iterable[int]) -> set[int]:
        """Return those partitions of which nothing is in hand."""
        return {partition for partition in partitions if not self._pieces[partition]}

    def pieces(self) -> int:
        """Return how many pieces of work, slices and timers' ones, are in hand."""
        return sum(self._pieces.values())

    def records(self) -> int:
        """Return how many records are in hand."""
        return sum(self._records.values())

    def oldest_seconds(self) -> float:
        """Return how long the oldest work has waited to be durable; 0 with none in hand."""
        if not self._working_since:
            return 0.0
        return time.monotonic() - min(self._working_since.values())

    def _tell(self) -> None:
        self._slices_gauge.set(self.pieces())
        self._records_gauge.set(self.records())
