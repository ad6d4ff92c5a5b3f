"""Transactions as producers send them, in any of several declared formats, decoded into our one form.

A *wire format* is a small TOML file (``docs/wire-formats.md``) that says where our fields are in a producer's
message and what tells its messages apart. Several may share a topic: a message belongs to the first format
whose tests hold.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files as packaged_files
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from fraudstream.core.card_numbers import is_suspect, refuse_card_data
from fraudstream.core.faults import invalid_json
from fraudstream.core.messages import Transaction
from fraudstream.core.wire_compile import CompiledFormat, compile_format
from fraudstream.core.wire_declaration import parse_declaration
from fraudstream.core.wire_matching import UNDECODABLE, belongs_to, parse_members
from fraudstream.core.wire_rules import Declaration
from fraudstream.errors import InvalidMessage, InvalidWireFormat

SHIPPED: Final = ("native", "capstone", "handbook")
"""The formats that come with this package, in the order they are tried."""

_MIN_KEY_BYTES: Final = 16


def load_wire_formats(
    files: Sequence[Path], shipped: bool = True, card_hash_key: bytes | None = None
) -> "WireFormats":
    """Read and compile wire formats: the given files in their order, then the shipped ones.

    Parameters
    ----------
    files
        TOML files of the user's own formats.
    shipped
        Whether ``native``, ``capstone`` and ``handbook`` are tried too.
    card_hash_key
        Secret of 16 bytes or more. With it, card ids that look like card numbers, or are longer than 64
        characters, are replaced by a keyed hash; without it their messages are refused.

    Raises
    ------
    InvalidWireFormat
        A file cannot be read or is wrong, with file, line and reason.
    """
    declarations = []
    for file in files:
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
            fault = f"{file}:1: cannot be read: {reason}"
            raise InvalidWireFormat(fault) from error
        declarations.append(parse_declaration(text, str(file)))
    if shipped:
        folder = packaged_files("fraudstream.core") / "formats"
        for name in SHIPPED:
            text = (folder / f"{name}.toml").read_text("utf-8")
            declarations.append(parse_declaration(text, f"fraudstream/core/formats/{name}.toml"))
    return WireFormats(declarations, card_hash_key)


def card_hasher(key: bytes) -> Callable[[str], str]:
    """Return the function that stands in for card numbers: HMAC-SHA256, cut to 128 bits, after ``h:``.

    The same number gives the same token under the same key, and no token can be undone or guessed without the
    key.

    >>> card_hasher(b"sixteen bytes ok")("4111111111111111")
    'h:dbd984b54ae8c99c4be0a7a469d8c68a'
    """

    def hash_token(number: str) -> str:
        return "h:" + hmac.new(key, number.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]

    return hash_token


class WireFormats:
    """All formats of one topic.

    Decoding depends on the message and its timestamp alone; that the format of the last message is tried
    first only makes it faster. Not for sharing between threads.
    """

    def __init__(self, declarations: Sequence[Declaration], card_hash_key: bytes | None = None) -> None:
        _check_order(declarations)
        if card_hash_key is not None and len(card_hash_key) < _MIN_KEY_BYTES:
            fault = f"the card hash key needs {_MIN_KEY_BYTES} bytes or more, got {len(card_hash_key)}"
            raise InvalidWireFormat(fault)
        hash_token = card_hasher(card_hash_key) if card_hash_key is not None else None
        self._formats = [
            compile_format(declaration, declarations[:index], hash_token)
            for index, declaration in enumerate(declarations)
        ]
        self._expect(self._formats[0])

    def _expect(self, format_: CompiledFormat) -> None:
        self._last = format_
        self._parse = format_.parse_with_tests or _matches_nothing
        self._convert_if_first = format_.convert_if_first

    @property
    def names(self) -> tuple[str, ...]:
        """The formats in the order they are tried."""
        return tuple(format_.name for format_ in self._formats)

    @property
    def last_name(self) -> str:
        """The format of the last message that was decoded: what producer it came from, in a word."""
        return self._last.name

    def decode(self, value: bytes | None, timestamp_ms: int) -> Transaction:
        """Return the transaction a record holds.

        Parameters
        ----------
        value
            The record's value; None for a record without one.
        timestamp_ms
            The record's timestamp, milliseconds since 1970, for formats that take the event time from it.

        Raises
        ------
        InvalidMessage
            For anything that is not a valid transaction, with field and fault. Nothing else is ever raised,
            whatever the bytes.
        """
        if not value:
            fault = "is empty"
            raise InvalidMessage(fault)
        try:
            if not value.isascii():
                value.decode()
            found = self._parse(value)
        except UNDECODABLE:
            return self._decode_slowly(value, timestamp_ms)
        transaction = None if is_suspect(value) else self._convert_if_first(found, timestamp_ms)
        return transaction or self._decode_slowly(value, timestamp_ms)

    def _decode_slowly(self, value: bytes, timestamp_ms: int) -> Transaction:
        format_ = self.match(value)
        try:
            found = format_.parse(value)
        except UNDECODABLE as error:
            raise invalid_json(error) from None
        self._expect(format_)
        if is_suspect(value):
            refuse_card_data(value, format_.exempt)
        return format_.convert(found, timestamp_ms)

    def match(self, value: bytes) -> CompiledFormat:
        """Return the first format whose tests hold for a message.

        Raises
        ------
        InvalidMessage
            It is no JSON object, or no format's; then the fault says what was looked for.
        """
        try:
            value.decode()
            members = parse_members(value)
        except UNDECODABLE as error:
            raise invalid_json(error) from None
        for format_ in self._formats:
            if belongs_to(members, format_.declaration):
                return format_
        wanted = "; ".join(f"{it.name} needs {it.declaration.looked_for()}" for it in self._formats)
        fault = f"no wire format matches: {wanted}"
        raise InvalidMessage(fault)

    def encode_row(self, row: Mapping[str, str | None]) -> bytes:
        """Return one row of a CSV file as the message its producer would send.

        Headings that a format's ``[columns]`` knows are renamed, others stay; every value stays a text.

        Raises
        ------
        InvalidMessage
            The row has more cells than the file has headings.
        """
        cells = {}
        for heading, cell in row.items():
            # csv.DictReader gathers surplus cells in a list under None, whatever its type says.
            if not isinstance(heading, str) or not (cell is None or isinstance(cell, str)):
                fault = "the row has more cells than there are headings"
                raise InvalidMessage(fault)
            cells[heading.removeprefix("\ufeff")] = cell
        for format_ in self._formats:
            columns = format_.declaration.columns
            if columns and columns.keys() <= cells.keys():
                cells = {columns.get(heading, heading): cell for heading, cell in cells.items()}
                break
        try:
            return msgspec.json.encode(cells)
        except UnicodeEncodeError:
            fault = "the row holds text that is not Unicode"
            raise InvalidMessage(fault) from None

    def decode_row(self, row: Mapping[str, str | None], timestamp_ms: int) -> Transaction:
        """Return the transaction a row of a CSV file holds; raises as :meth:`decode` does."""
        return self.decode(self.encode_row(row), timestamp_ms)


def _matches_nothing(value: bytes) -> NoReturn:
    # For a format whose tests are told from the parsed members only.
    raise msgspec.DecodeError


def _check_order(declarations: Sequence[Declaration]) -> None:
    if not declarations:
        fault = "no wire format: name a file, or use the shipped ones"
        raise InvalidWireFormat(fault)
    files: dict[str, str] = {}
    for index, declaration in enumerate(declarations):
        if declaration.name in files:
            taken_by = files[declaration.name]
            fault = f"{declaration.file}:1: the name {declaration.name!r} is taken by {taken_by}"
            raise InvalidWireFormat(fault)
        files[declaration.name] = declaration.file
        if declaration.takes_everything and index + 1 < len(declarations):
            after = declarations[index + 1].name
            fault = f"{declaration.file}:1: has no tests under [when], so {after!r} would never be used"
            raise InvalidWireFormat(fault)
