"""Labels that come with a time of their own: when a transaction's truth really became known."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from fraudstream.commands.replay_rows import unpacked
from fraudstream.core.codec import decode_label
from fraudstream.core.label_delay import KnownLabel
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.errors import InvalidInput, InvalidMessage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Said(NamedTuple):
    at: float
    fraud: bool
    card_id: str | None
    event_time: datetime | None


class LabelFile:
    """Labels of a file of JSON lines, as the ``labels`` topic takes them, found by their transaction.

    All are held in memory. A label that names a position only is of no use here: files have none.

    Raises
    ------
    InvalidInput
        The file cannot be read, or a line is no label, naming it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._said: dict[str, list[_Said]] = defaultdict(list)
        try:
            with path.open("rb") as raw, unpacked(raw) as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        self._add(number, line.strip())
        except (OSError, EOFError) as error:
            fault = f"{path}: cannot be read: {error}"
            raise InvalidInput(fault) from error
        for said in self._said.values():
            said.sort(key=lambda one: one.at)

    def _add(self, number: int, line: bytes) -> None:
        try:
            label = decode_label(line)
        except InvalidMessage as error:
            fault = f"{self.path}: line {number}: {error}"
            raise InvalidInput(fault) from error
        if label.transaction_id is None:
            fault = f"{self.path}: line {number}: names a position, which files have none of: expected an id"
            raise InvalidInput(fault)
        known = max(label.labelled_at, label.not_before or label.labelled_at)
        at = (known - _EPOCH).total_seconds()
        fraud = label.label is LabelValue.FRAUD
        self._said[label.transaction_id].append(_Said(at, fraud, label.card_id, label.event_time))

    def of(self, transaction: Transaction) -> tuple[KnownLabel, ...]:
        """Return what became known of a transaction and when, the earliest first, repeats left out."""
        known: list[KnownLabel] = []
        for said in self._said.get(transaction.transaction_id, ()):
            if said.card_id is not None and said.card_id != transaction.card_id:
                continue
            if said.event_time is not None and said.event_time != transaction.event_time:
                continue
            if not known or known[-1].fraud is not said.fraud:
                known.append(KnownLabel(said.at, said.fraud))
        return tuple(known)
