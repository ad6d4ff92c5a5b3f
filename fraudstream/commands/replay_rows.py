"""Rows of a file as the messages their original producer would have sent."""

import csv
import gzip
import io
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from json.encoder import encode_basestring as _quote
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, cast

from fraudstream.core.messages import LabelValue
from fraudstream.core.wire_formats import WireFormats
from fraudstream.errors import InvalidInput, InvalidMessage


class Format(StrEnum):
    """What a file holds."""

    CAPSTONE = "capstone"
    HANDBOOK = "handbook"
    JSONL = "jsonl"


CAPSTONE_FIELDS = {
    "Transaction ID": "transaction_id",
    "Date": "date",
    "Day of Week": "day_of_week",
    "Time": "time",
    "Type of Card": "card_type",
    "Entry Mode": "entry_mode",
    "Amount": "amount",
    "Type of Transaction": "transaction_type",
    "Merchant Group": "merchant_group",
    "Country of Transaction": "transaction_country",
    "Shipping Address": "shipping_address",
    "Country of Residence": "residence_country",
    "Gender": "gender",
    "Age": "age",
    "Bank": "bank",
    "Fraud": "fraud",
}
"""Columns of the file, and the field each becomes, in the order the producer writes them."""

HANDBOOK_COLUMNS = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD")

LABELLED_COLUMN = "LABELLED"
"""A further column of handbook files: 0 where the truth never becomes known. It does not travel."""

_TRUTH = {"0": LabelValue.GENUINE, "1": LabelValue.FRAUD}


class Row:
    """One row ready to be sent; ``partition`` and ``offset`` are -1 until the broker has taken it."""

    __slots__ = ("event_time", "key", "label", "offset", "partition", "transaction_id", "value")

    def __init__(
        self,
        value: bytes,
        key: bytes | None,
        transaction_id: str | None = None,
        label: LabelValue | None = None,
        event_time: datetime | None = None,
    ) -> None:
        self.value = value
        self.key = key
        self.transaction_id = transaction_id
        self.label = label
        self.event_time = event_time
        self.partition = -1
        self.offset = -1


class ReplayFile:
    """A file of transactions, plain or gzip, read once from its beginning.

    ``size_bytes`` and ``position_bytes`` count bytes as they lie on disk, for a progress bar.
    """

    def __init__(self, path: Path, kind: Format, formats: WireFormats, *, with_labels: bool) -> None:
        self.path = path
        self._kind = kind
        self._formats = formats
        self._with_labels = with_labels
        self._raw: BinaryIO | None = None
        try:
            self.size_bytes = path.stat().st_size
            self._encoding = "utf-8" if kind is Format.JSONL else encoding_of(path)
        except (OSError, EOFError) as exc:
            raise self._unreadable(exc) from exc

    @property
    def position_bytes(self) -> int:
        """How far the file has been read."""
        if self._raw is None:
            return 0
        return self.size_bytes if self._raw.closed else self._raw.tell()

    def rows(self) -> Iterator[Row]:
        """Yield every row in the order of the file.

        Values are taken as they stand: whether a row makes a transaction is for the stream to judge.

        Raises
        ------
        InvalidInput
            When the file is not what its format says, naming the line.
        """
        try:
            with self.path.open("rb") as raw:
                self._raw = raw
                with unpacked(raw) as stream:
                    yield from self._json_lines(stream) if self._kind is Format.JSONL else self._csv(stream)
        except (OSError, EOFError) as exc:
            raise self._unreadable(exc) from exc

    def _csv(self, stream: BinaryIO) -> Iterator[Row]:
        text = io.TextIOWrapper(stream, self._encoding, newline="")
        reader = csv.reader(text, strict=True)
        try:
            header = next(reader, [])
            convert = self._converter(header)
            for fields in reader:
                if len(fields) == len(header):
                    yield convert(fields)
                elif fields:
                    msg = f"{len(fields)} fields where the header has {len(header)}"
                    raise self._wrong(reader.line_num, msg)
        except csv.Error as exc:
            raise self._wrong(reader.line_num, str(exc)) from exc
        finally:
            text.detach()  # the stream is its opener's to close

    def _converter(self, header: list[str]) -> Callable[[list[str]], Row]:
        needed: Sequence[str] = HANDBOOK_COLUMNS
        if self._kind is Format.CAPSTONE:
            needed = tuple(CAPSTONE_FIELDS)
        if missing := [name for name in needed if name not in header]:
            msg = f"no column {', '.join(missing)}: not a {self._kind} file"
            raise self._wrong(1, msg)
        if self._kind is Format.CAPSTONE:
            return self._capstone(header)
        return self._handbook(header)

    def _capstone(self, header: list[str]) -> Callable[[list[str]], Row]:
        with_labels = self._with_labels
        in_order = itemgetter(*(header.index(name) for name in CAPSTONE_FIELDS))
        identity, amount, truth = (header.index(name) for name in ("Transaction ID", "Amount", "Fraud"))
        template = _template(tuple(CAPSTONE_FIELDS.values()))

        def convert(fields: list[str]) -> Row:
            if fields[amount].startswith("Â£"):  # UTF-8 that was once read as latin-1
                fields[amount] = fields[amount][1:]
            value = template % tuple(map(_quote, in_order(fields)))
            row = Row(value.encode(), fields[identity].encode(), fields[identity])
            if with_labels:
                row.label = _TRUTH.get(fields[truth])
            return row

        return convert

    def _handbook(self, header: list[str]) -> Callable[[list[str]], Row]:
        with_labels = self._with_labels
        identity, instant, card, truth = (
            header.index(name) for name in ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TX_FRAUD")
        )
        sent = [name for name in header if name != LABELLED_COLUMN]
        in_order = itemgetter(*(header.index(name) for name in sent))
        labelled = header.index(LABELLED_COLUMN) if LABELLED_COLUMN in header else -1
        template = _template(sent)

        def convert(fields: list[str]) -> Row:
            value = template % tuple(map(_quote, in_order(fields)))
            row = Row(value.encode(), fields[card].encode() or None, fields[identity])
            if with_labels:
                row.event_time = _instant(fields[instant])
                if labelled < 0 or fields[labelled] != "0":
                    row.label = _TRUTH.get(fields[truth])
            return row

        return convert

    def _json_lines(self, stream: BinaryIO) -> Iterator[Row]:
        for line in stream:
            value = line.rstrip(b"\r\n")
            if not value:
                continue
            try:
                transaction = self._formats.decode(value, int(datetime.now(UTC).timestamp() * 1000))
            except InvalidMessage:
                yield Row(value, None)  # the stream will say what is wrong with it
                continue
            key = transaction.card_id.encode() if transaction.card_id else None
            label = transaction.label if self._with_labels else None
            yield Row(value, key, transaction.transaction_id, label, transaction.event_time)

    def _wrong(self, line: int, fault: str) -> InvalidInput:
        return InvalidInput(f"{self.path}: line {line}: {fault}")

    def _unreadable(self, error: OSError | EOFError) -> InvalidInput:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return InvalidInput(f"{self.path}: cannot be read: {reason}")


def _template(names: Sequence[str]) -> str:
    """Return a JSON object with these names and a place for each value: half the cost of an encoder."""
    members = (_quote(name).replace("%", "%%") + ": %s" for name in names)
    return "{" + ", ".join(members) + "}"


def unpacked(raw: BinaryIO) -> BinaryIO:
    """Return a binary file from its beginning, through gzip if it is compressed."""
    magic = raw.read(2)
    raw.seek(0)
    return cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if magic == b"\x1f\x8b" else raw


def encoding_of(path: Path) -> str:
    """Return ``utf-8-sig`` when the whole file is UTF-8, else ``latin-1``, in which any bytes are text."""
    decoder = getincrementaldecoder("utf-8")()
    with path.open("rb") as raw:
        stream = unpacked(raw)
        try:
            while block := stream.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
        finally:
            stream.close()
    return "utf-8-sig"


def _instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
