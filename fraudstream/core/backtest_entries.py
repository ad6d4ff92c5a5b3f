"""What goes into a backtest row by row, and the mistakes that come out."""

from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from fraudstream.core.label_delay import KnownLabel
from fraudstream.core.messages import Decision, Reason, Transaction


class Entry(NamedTuple):
    """One row: the transaction with the label that will come, if any, its partition, the truth if known.

    ``known``: labels with times of their own, in place of the transaction's; ``None`` without such.
    """

    transaction: Transaction
    partition: int
    fraud: bool | None
    known: tuple[KnownLabel, ...] | None = None


class Rival(Protocol):
    """Another estimator, tried on the same keys and the same labels at the same times."""

    @property
    def name(self) -> str:
        """What its table is headed."""
        ...

    def score(self, keys: tuple[int, ...]) -> float:
        """Return its estimate that a transaction with these keys is fraud."""
        ...

    def learn(self, keys: tuple[int, ...], fraud: bool) -> None:
        """Learn one label."""
        ...


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """A fraud that was approved, or a genuine transaction that was not."""

    row: int
    transaction_id: str
    event_time: datetime
    card_id: str | None
    terminal_id: str | None
    amount_minor: int | None
    currency: str | None
    fraud: bool
    decision: Decision
    score: float
    reasons: tuple[Reason, ...]
