"""What a world's events look like on the topics: a key, and the bytes of the native wire format."""

import msgspec
import numpy as np

from fraudstream.simulation.events import SimulatedLabel, SimulatedTransaction

_encode = msgspec.json.Encoder().encode


def transaction_message(event: SimulatedTransaction) -> tuple[bytes, bytes]:
    """Return key and value of a transaction; its key is the card, which keeps a history in one place."""
    return (event.transaction.card_id or "").encode(), _encode(event.transaction)


def label_message(event: SimulatedLabel) -> tuple[bytes, bytes]:
    """Return key and value of a label; the key is the transaction it names."""
    return (event.label.transaction_id or "").encode(), _encode(event.label)


class Spoiler:
    """Makes messages no decoder accepts from transactions that were sound.

    Each differs from a sound message in one thing, and all of them must become dead letters: cut off, not
    JSON, a field missing, a field of the wrong type, a time in the far future, a full card number, a security
    code.
    """

    CARD_NUMBER = b"4111 1111 1111 1111"
    """A number that passes its check digit and that card schemes set aside for tests: nobody's card."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def spoil(self, event: SimulatedTransaction) -> tuple[bytes, bytes]:
        """Return key and value of a broken message under another id, so that no label ever names it."""
        number = int(self._random.integers(1 << 40))
        twin = msgspec.structs.replace(event.transaction, transaction_id=f"x{number:012x}")
        value = _encode(twin)
        key = (twin.card_id or "").encode()
        choice = int(self._random.integers(7))
        if choice == 0:
            return key, value[: len(value) // 2]
        if choice == 1:
            return key, b"PAYMENT;" + key + b";%d" % (twin.amount_minor or 0)
        fields = msgspec.json.decode(value, type=dict[str, object])
        if choice == 2:
            del fields["event_time"]
        elif choice == 3:
            fields["amount_minor"] = "a lot"
        elif choice == 4:
            fields["event_time"] = "9999-12-31T23:59:59Z"
        elif choice == 5:
            fields["card_id"] = self.CARD_NUMBER.decode()
        else:
            fields["cvv"] = "123"
        return key, _encode(fields)
