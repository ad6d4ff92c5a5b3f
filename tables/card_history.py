"""Histories of cards and running means of currencies, a source partition."""

from collections.abc import Mapping

import msgspec

from fraudstream.app import AgentApp
from fraudstream.core.history import CardHistory, CurrencyMeans
from fraudstream.core.scoring import PartitionState
from fraudstream.delivery.table import SliceTable
from fraudstream.errors import InvalidMessage

_CARD, _CURRENCY = b"c", b"m"

#: Entries are (epoch, state): offsets of another epoch say nothing about this one.
_card = msgspec.msgpack.Decoder(tuple[int, CardHistory])
_currency = msgspec.msgpack.Decoder(tuple[int, CurrencyMeans])
_encode = msgspec.msgpack.Encoder().encode


def card_history(app: AgentApp) -> SliceTable[PartitionState]:
    """Declare the table ``card-history`` of an app."""
    settings = app.context.settings

    def restore(state: PartitionState, key: bytes, value: bytes | None) -> None:
        restore_entry(state, key, value, settings.epoch)

    return app.table("card-history", new=lambda _: PartitionState(settings.partitions), restore=restore, view=_view)


def changes(state: PartitionState, epoch: int) -> list[tuple[bytes, bytes | None]]:
    """Return the entries of everything touched since the last call."""
    cards, means = state.take_touched()
    entries: list[tuple[bytes, bytes | None]] = [
        (_CARD + card_id.encode(), _encode((epoch, history))) for card_id, history in cards.items()
    ]
    entries += [(_CURRENCY + currency.encode(), _encode((epoch, mean))) for currency, mean in means.items()]
    return entries


def restore_entry(state: PartitionState, key: bytes, value: bytes | None, epoch: int) -> None:
    """Apply one entry of the changelog to the state it came from.

    What was learned of a card in an earlier epoch stays; its offsets do not count any more.

    Raises
    ------
    InvalidMessage
        If it is no such entry.
    """
    kind, name = key[:1], key[1:].decode()
    table: dict[str, CardHistory] | dict[str, CurrencyMeans] = state.cards if kind == _CARD else state.means
    if value is None:
        table.pop(name, None)
        return
    try:
        if kind == _CARD:
            written_in, history = _card.decode(value)
            state.cards[name] = history
        else:
            written_in, history = _currency.decode(value)  # type: ignore[assignment]
            state.means[name] = history  # type: ignore[assignment]
    except msgspec.MsgspecError as exc:
        fault = f"expected an entry of card-history: {exc}"
        raise InvalidMessage(fault) from exc
    if written_in != epoch:
        history.applied = -1


def _view(state: PartitionState) -> Mapping[str, CardHistory]:
    return state.cards
