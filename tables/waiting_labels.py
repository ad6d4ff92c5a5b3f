"""Labels that wait for their transaction to be archived, or for their time, by partition of their topic."""

from collections.abc import Mapping

import msgspec

from fraudstream.app import AgentApp
from fraudstream.delivery.table import SliceTable

#: Pause before a waiting label is looked up again: doubled from the first to the last.
FIRST_TRY_SECONDS, LAST_TRY_SECONDS = 0.2, 30.0


class WaitingLabel(msgspec.Struct, array_like=True):
    """One label as it came, and when it is looked at again (not kept: after a restart, at once)."""

    value: bytes
    key: bytes | None
    timestamp_ms: int
    received_at: float
    pause_seconds: float = FIRST_TRY_SECONDS
    next_try: float = 0.0

    def put_off(self, now: float) -> None:
        """Look again after a pause, twice as long as the last one."""
        self.next_try = now + self.pause_seconds
        self.pause_seconds = min(self.pause_seconds * 2, LAST_TRY_SECONDS)


class WaitingLabels:
    """Waiting labels of one partition, by offset."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.labels: dict[int, WaitingLabel] = {}

    def due(self, now: float) -> dict[int, WaitingLabel]:
        """Return the labels to look at again now, in the order they came."""
        return {
            offset: self.labels[offset]
            for offset in sorted(self.labels)
            if self.labels[offset].next_try <= now
        }

    def entry(self, offset: int) -> tuple[bytes, bytes | None]:
        """Return the changelog entry of an offset: its label, or None when it waits no more."""
        label = self.labels.get(offset)
        key = b"%d/%d" % (self.partition, offset)
        if label is None:
            return key, None
        return key, msgspec.msgpack.encode((label.value, label.key, label.timestamp_ms, label.received_at))

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog entry."""
        offset = int(key.rpartition(b"/")[2])
        if value is None:
            self.labels.pop(offset, None)
        else:
            self.labels[offset] = msgspec.msgpack.decode(value, type=WaitingLabel)

    def view(self) -> Mapping[str, float]:
        """Return since when each label waits."""
        return {f"{self.partition}/{offset}": label.received_at for offset, label in self.labels.items()}


def waiting_labels(app: AgentApp) -> SliceTable[WaitingLabels]:
    """Declare the table ``waiting-labels`` of an app."""
    return app.table(
        "waiting-labels", new=WaitingLabels, restore=WaitingLabels.restore, view=WaitingLabels.view
    )
