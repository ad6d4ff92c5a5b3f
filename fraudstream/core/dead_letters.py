"""Dead letters: messages that cannot be used, kept byte for byte with the reason.

The value stays the original bytes (card numbers and verification codes masked); everything else travels in
headers, so that a letter can be sent back to where it came from.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

import msgspec

from fraudstream.core.masking import mask_card_numbers
from fraudstream.errors import InvalidMessage

_PREFIX = "fraudstream-dead-letter-"

Headers = Sequence[tuple[str, bytes]]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message came from and why it cannot be used.

    ``topic``, ``partition`` and ``offset`` are its identity: a letter may be written twice after a crash.
    ``field`` and ``fault`` are those of the :class:`InvalidMessage`, ``headers`` those the message came with,
    card numbers masked. ``masked`` says that key, value or headers are not what was sent.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    field: str
    fault: str
    failed_at: datetime
    masked: bool = False
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def reason(self) -> str:
        """The field and its fault, as one line."""
        return f"{self.field}: {self.fault}" if self.field else self.fault

    def to_headers(self) -> tuple[tuple[str, bytes], ...]:
        """Return the headers of the letter: our own, then those the message came with.

        Of the latter, card numbers are masked, and those are left out that only a dead letter may have.
        """
        kept = tuple(
            (name, mask_card_numbers(value or b""))
            for name, value in self.headers
            if not name.startswith(_PREFIX)
        )
        masked = self.masked or any(header not in self.headers for header in kept if header[1])
        own = {
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
            "timestamp-ms": str(self.timestamp_ms),
            "field": self.field,
            "fault": self.fault,
            "failed-at": self.failed_at.isoformat(),
            "masked": str(int(masked)),
        }
        return (*((_PREFIX + name, value.encode("utf-8", "replace")) for name, value in own.items()), *kept)

    @classmethod
    def from_headers(cls, headers: Headers) -> Self:
        """Read what :meth:`to_headers` wrote.

        Raises
        ------
        InvalidMessage
            The headers are not those of a dead letter.
        """
        try:
            own = {
                name.removeprefix(_PREFIX): value.decode()
                for name, value in headers
                if name.startswith(_PREFIX)
            }
            return cls(
                topic=own["topic"],
                partition=int(own["partition"]),
                offset=int(own["offset"]),
                timestamp_ms=int(own["timestamp-ms"]),
                field=own["field"],
                fault=own["fault"],
                failed_at=datetime.fromisoformat(own["failed-at"]).astimezone(UTC),
                masked=own["masked"] == "1",
                headers=tuple((name, value) for name, value in headers if not name.startswith(_PREFIX)),
            )
        except KeyError as error:
            fault = f"is no dead letter: has no header {_PREFIX}{error.args[0]}"
            raise InvalidMessage(fault) from None
        except (ValueError, OverflowError) as error:
            fault = f"is no dead letter: {error}"
            raise InvalidMessage(fault) from error
