"""Challengers' scores that wait for their label: bounded, and kept in pieces that are stored one by one."""

import math
from array import array
from collections.abc import Iterator, Mapping

import msgspec

from fraudstream.core.messages import Position
from fraudstream.errors import InvalidMessage

PIECE = 1024
"""Positions of a partition kept together: a piece is 8 KB for each challenger, which costs little to store
again when some of its scores have come."""

_NAN = float("nan")


class _Piece(msgspec.Struct, array_like=True):
    scores: dict[str, bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Piece).decode

Place = tuple[int, int, int]
"""Epoch, partition, and number of the piece."""


class AwaitedScores:
    """What each challenger scored at each source position; the oldest pieces are forgotten.

    Parameters
    ----------
    most
        Positions remembered, about.
    """

    def __init__(self, most: int) -> None:
        self._most = max(1, most // PIECE)
        self._pieces: dict[Place, dict[str, array[float]]] = {}
        self._changed: dict[Place, None] = {}

    def put(self, position: Position, scores: Mapping[str, float]) -> None:
        """Remember the scores of a position."""
        place, at = _place(position)
        piece = self._pieces.get(place)
        if piece is None:
            piece = self._pieces[place] = {}
            while len(self._pieces) > self._most:
                oldest = next(iter(self._pieces))
                del self._pieces[oldest]
                self._changed[oldest] = None
        for name, score in scores.items():
            column = piece.get(name)
            if column is None:
                column = piece[name] = array("d", [_NAN]) * PIECE
            column[at] = score
        self._changed[place] = None

    def of(self, position: Position) -> dict[str, float]:
        """Return the scores of a position, empty where none are remembered. They stay until forgotten."""
        place, at = _place(position)
        piece = self._pieces.get(place, {})
        return {name: column[at] for name, column in piece.items() if not math.isnan(column[at])}

    def forget(self, name: str) -> None:
        """Forget everything of one challenger."""
        for place, piece in self._pieces.items():
            if piece.pop(name, None) is not None:
                self._changed[place] = None

    def changed(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield each piece changed since the last call, by its key; None for those forgotten."""
        changed, self._changed = self._changed, {}
        for place in changed:
            piece = self._pieces.get(place)
            key = "-".join(map(str, place))
            if piece is None:
                yield key, None
            else:
                yield key, _encode(_Piece({name: column.tobytes() for name, column in piece.items()}))

    def restore(self, key: str, data: bytes) -> None:
        """Take over a stored piece; give them in the order they were stored.

        Raises
        ------
        InvalidMessage
            It is none.
        """
        try:
            epoch, partition, number = map(int, key.split("-"))
            found = _decode(data)
            piece = {}
            for name, packed in found.scores.items():
                piece[name] = array("d")
                piece[name].frombytes(packed)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            fault = f"expected scores that wait for labels: {error}"
            raise InvalidMessage(fault) from error
        if any(len(column) != PIECE for column in piece.values()):
            fault = f"expected {PIECE} scores of each challenger, got others"
            raise InvalidMessage(fault)
        self._pieces[epoch, partition, number] = piece


def _place(position: Position) -> tuple[Place, int]:
    number, at = divmod(position.offset, PIECE)
    return (position.epoch, position.partition, number), at
