"""Histories of cards, running means of currencies and the review budget, a source partition."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from fraudstream.app import AgentApp
from fraudstream.core.history import CardHistory, CurrencyMeans
from fraudstream.core.review_budget import ReviewBudget
from fraudstream.core.scoring import PartitionState
from fraudstream.delivery.table import SliceTable
from fraudstream.errors import InvalidMessage

_CARD, _CURRENCY, _REVIEW = b"c", b"m", b"r"

S = TypeVar("S", CardHistory, CurrencyMeans, ReviewBudget)

#: Entries are (epoch, state): offsets of another epoch say nothing about this one.
_decode: Callable[[bytes], tuple[int, list[Any]]] = msgspec.msgpack.Decoder(tuple[int, list[Any]]).decode
#: Rows of earlier versions end sooner: with how many fields each began, and what stands for those added.
_ADDED: dict[type, tuple[int, tuple[Any, ...]]] = {
    CardHistory: (7, CardHistory().to_row()),
    CurrencyMeans: (4, CurrencyMeans.starting_with(1.0).to_row()),
}
_encode = msgspec.msgpack.Encoder().encode


def card_history(app: AgentApp) -> SliceTable[PartitionState]:
    """Declare the table ``card-history`` of an app."""
    settings = app.context.settings

    def restore(state: PartitionState, key: bytes, value: bytes | None) -> None:
        restore_entry(state, key, value, settings.epoch)

    return app.table(
        "card-history", new=lambda _: PartitionState(settings.partitions), restore=restore, view=_view
    )


def changes(state: PartitionState, epoch: int) -> list[tuple[bytes, bytes | None]]:
    """Return the entries of everything touched since the last call."""
    cards, means = state.take_touched()
    entries: list[tuple[bytes, bytes | None]] = [
        (_CARD + card_id.encode(), _encode((epoch, history.to_row()))) for card_id, history in cards.items()
    ]
    entries += [
        (_CURRENCY + currency.encode(), _encode((epoch, mean.to_row()))) for currency, mean in means.items()
    ]
    review = state.take_review()
    if review is not None:
        entries.append((_REVIEW, _encode((epoch, review.to_row()))))
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
    if kind == _REVIEW:
        state.review = None if value is None else _restored(ReviewBudget, value, epoch)
        return
    table: dict[str, CardHistory] | dict[str, CurrencyMeans] = state.cards if kind == _CARD else state.means
    if value is None:
        table.pop(name, None)
        return
    if kind == _CARD:
        state.cards[name] = _restored(CardHistory, value, epoch)
    else:
        state.means[name] = _restored(CurrencyMeans, value, epoch)


def _restored(kind: type[S], value: bytes, epoch: int) -> S:
    try:
        written_in, row = _decode(value)
        state = kind.from_row(_completed(kind, row))
    except (msgspec.MsgspecError, InvalidMessage) as exc:
        fault = f"expected an entry of card-history: {exc}"
        raise InvalidMessage(fault) from exc
    if written_in != epoch:
        state.applied = -1
    return state


def _completed(kind: type, row: list[Any]) -> list[Any]:
    began_with, whole = _ADDED.get(kind, (0, ()))
    return [*row, *whole[len(row) :]] if len(row) >= began_with else row


def _view(state: PartitionState) -> Mapping[str, CardHistory]:
    return state.cards
