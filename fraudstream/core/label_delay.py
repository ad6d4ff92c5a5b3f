"""When labels come, and who follows them: what a pass over history is told."""

from typing import NamedTuple, Protocol

import msgspec

from fraudstream.core.messages import Reason, Transaction
from fraudstream.errors import InvalidInput


class LabelDelay(msgspec.Struct, frozen=True, kw_only=True):
    """When the label of a transaction is known, counted from the transaction.

    ``seconds`` of the stream's time, or, where the time of a file says nothing, before that many
    ``transactions`` later (0 is as 1). With ``batch_seconds`` labels come together, at each multiple of it;
    0 delivers each exactly when due.
    """

    seconds: float = 7 * 86400.0
    transactions: int | None = None
    batch_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse delays below zero."""
        if self.seconds < 0.0 or self.batch_seconds < 0.0 or (self.transactions or 0) < 0:
            fault = f"expected a label delay of at least 0, got {self}"
            raise InvalidInput(fault)


class Watcher(Protocol):
    """Somebody who follows a pass: is told every score and every label, in the order they come."""

    def scored(self, transaction: Transaction, at: float, keys: tuple[int, ...], score: float) -> bool:
        """Take note of a score; return whether its reasons are wanted.

        ``at``: event time in seconds since 1970.
        """
        ...

    def explained(self, transaction: Transaction, told: tuple[Reason, ...]) -> None:
        """Take the reasons of the transaction that was scored last."""
        ...

    def learned(self, keys: tuple[int, ...], fraud: bool) -> None:
        """Take note of a label that the learner has just learned."""
        ...


class KnownLabel(NamedTuple):
    """What somebody said of a transaction, and when: seconds since 1970."""

    at: float
    fraud: bool
