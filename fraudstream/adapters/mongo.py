"""The archive in MongoDB. The only module that knows its driver."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.uri_parser import parse_uri

from fraudstream.adapters.mongo_documents import Document, from_document, label_document, to_document
from fraudstream.core.label_sources import overrules
from fraudstream.core.messages import Label, LabelPosition, LabelSource, Position
from fraudstream.errors import InvalidSettings, StoreUnavailable
from fraudstream.ports import Archived, Unlabelled

STORE = "mongo"

BATCH = 1_000
"""Documents of one request: half a megabyte of them, so that no request holds up others for long."""

DEFAULTS: Mapping[str, Any] = {
    "appname": "fraudstream",
    "serverSelectionTimeoutMS": 3_000,
    "connectTimeoutMS": 3_000,
    # Above what a batch may take on a busy server, below a person's patience with a silent one.
    "socketTimeoutMS": 30_000,
    # An acknowledged classification survives the loss of a member; its offsets are committed afterwards.
    "w": "majority",
}
"""Options of the connection that an address may override."""

INDEXES = [
    IndexModel([("transaction_id", ASCENDING)], name="by_transaction"),
    IndexModel([("card_id", ASCENDING), ("event_time", ASCENDING)], name="by_card"),
    # The last field makes places of equal event times definite: the scan for unlabelled ones goes on there.
    IndexModel(
        [("label.label", ASCENDING), ("event_time", ASCENDING), ("_id", ASCENDING)], name="by_label_in_order"
    ),
    IndexModel([("decision", ASCENDING), ("event_time", ASCENDING)], name="by_decision"),
]

_STANDS = {
    source: [kind.value for kind in LabelSource if not overrules(source, kind)] for source in LabelSource
}
_REPLACEABLE: Mapping[LabelSource, Document] = {
    source: {"label.source": {"$nin": stronger}} if stronger else {} for source, stronger in _STANDS.items()
}
"""What a document matches whose label, if it has one, a later one of that kind replaces."""

_DUPLICATE = 11000
_REFUSED = frozenset({13, 18})
_PASSING = frozenset(
    {
        6,
        7,
        89,
        9001,  # host unreachable, not found, network timeout, socket closed
        50,
        262,  # time limit exceeded
        91,
        11600,
        11602,  # shutting down, interrupted
        112,  # write conflict
        189,
        10107,
        13435,
        13436,  # not the primary, or not any more
        14031,  # disk full
    }
)
"""Codes of what a cluster recovers from."""


class MongoArchive:
    """Plays the ``Archive`` port on MongoDB.

    Collections: ``classifications``, one document a transaction, ``_id`` its source position;
    ``archive_offsets``, the highest offset of each source partition, so that asking for it needs no scan.

    Parameters
    ----------
    url
        ``mongodb://user:password@host:port/database?options`` or ``mongodb+srv://…``; the database defaults
        to ``fraudstream``.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._database_name, self._options = _read_address(url)
        self._client: AsyncIOMotorClient[Document] | None = None
        # Several insertions at once store no more a second, and labels would wait behind all of them.
        self._inserting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<MongoArchive {urlsplit(self._url).netloc.rpartition('@')[2]}/{self._database_name}>"

    async def open(self) -> None:
        """Connect, and create collections and indexes that are missing. Idempotent."""
        if self._client is None:
            self._client = self._connect()
        with _failures():
            await self._classifications.create_indexes(INDEXES)

    async def close(self) -> None:
        """Let go of every connection. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def ping(self) -> None:
        """Return when the server answers."""
        with _failures():
            await self._database.command("ping")

    async def store(self, classifications: Sequence[bytes]) -> int:
        """Store encoded classifications and return how many were new; the first of a source position wins.

        Not atomic: after a failure any part may be stored, and storing all of it again is right.

        Raises
        ------
        InvalidMessage
            If one is no classification; then none is stored.
        """
        documents = [to_document(value) for value in classifications]
        new = 0
        async with self._inserting:
            for start in range(0, len(documents), BATCH):
                new += await self._insert(documents[start : start + BATCH])
            if documents:
                await self._note_offsets(documents)
        return new

    async def find(self, labels: Sequence[Label]) -> list[list[Archived]]:
        """Return for each label the archived transactions it may mean, in the order of their source."""
        positions = {str(label.position) for label in labels if label.position is not None}
        ids = {label.transaction_id for label in labels if label.position is None and label.transaction_id}
        by_position = await self._find_by("_id", sorted(positions))
        by_id = await self._find_by("transaction_id", sorted(ids))
        return [
            by_position.get(str(label.position), [])
            if label.position is not None
            else by_id.get(label.transaction_id or "", [])
            for label in labels
        ]

    async def record_labels(self, states: Mapping[Position, tuple[Label, LabelPosition]]) -> None:
        """Note on each archived transaction the label that was accepted for it.

        A later call wins, unless the label noted is of a source whose word stands against this one's.
        """
        updates = [
            UpdateOne(
                {"_id": str(source), **_REPLACEABLE[label.source]},
                {"$set": {"label": label_document(label, position)}},
            )
            for source, (label, position) in states.items()
        ]
        with _failures():
            for start in range(0, len(updates), BATCH):
                await self._classifications.bulk_write(updates[start : start + BATCH], ordered=False)

    async def unlabelled(self, until: datetime, after: Unlabelled | None, limit: int) -> list[Unlabelled]:
        """Return transactions without a label up to an event time, oldest first, from behind ``after``."""
        query: Document = {"label.label": None, "event_time": {"$lte": until}}
        if after is not None:
            query["event_time"]["$gte"] = after.event_time
            query["$or"] = [
                {"event_time": {"$gt": after.event_time}},
                {"event_time": after.event_time, "_id": {"$gt": str(after.source)}},
            ]
        with _failures():
            cursor = self._classifications.find(query, {"source": 1, "event_time": 1})
            found = (
                await cursor.sort([("event_time", ASCENDING), ("_id", ASCENDING)]).limit(limit).to_list(None)
            )
        return [
            Unlabelled(
                one["event_time"],
                Position(*(int(one["source"][name]) for name in Position.__struct_fields__)),
            )
            for one in found
        ]

    async def highest_offsets(self, epoch: int) -> dict[int, int]:
        """Return the highest source offset stored for each partition of that epoch."""
        with _failures():
            found = await self._database["archive_offsets"].find({"epoch": epoch}).to_list(None)
        return {int(entry["partition"]): int(entry["offset"]) for entry in found}

    def _connect(self) -> "AsyncIOMotorClient[Document]":
        try:
            return AsyncIOMotorClient(self._url, **self._options)
        except ConfigurationError as exc:
            if self._url.startswith("mongodb+srv://"):
                raise StoreUnavailable(STORE, _reason(exc)) from exc  # the DNS has no answer, for now
            msg = f"cannot use the address of MongoDB: {_reason(exc)}"
            raise InvalidSettings(msg) from exc

    async def _insert(self, documents: list[Document]) -> int:
        try:
            with _failures():
                await self._classifications.insert_many(documents, ordered=False)
        except BulkWriteError as exc:
            # The driver's own count of what was inserted is not used: a server was seen to count duplicates
            # too.
            errors = exc.details.get("writeErrors", [])
            if any(error["code"] != _DUPLICATE for error in errors):
                raise
            return len(documents) - len(errors)
        return len(documents)

    async def _note_offsets(self, documents: list[Document]) -> None:
        """Raise the highest offsets, after the documents are stored: they never promise what is not there."""
        highest: dict[tuple[int, int], int] = {}
        for document in documents:
            source = document["source"]
            key = (source["epoch"], source["partition"])
            highest[key] = max(highest.get(key, -1), source["offset"])
        updates = [
            UpdateOne(
                {"_id": f"{epoch}-{partition}"},
                {"$max": {"offset": offset}, "$setOnInsert": {"epoch": epoch, "partition": partition}},
                upsert=True,
            )
            for (epoch, partition), offset in highest.items()
        ]
        with _failures():
            await self._database["archive_offsets"].bulk_write(updates, ordered=False)

    async def _find_by(self, field: str, values: list[str]) -> dict[str, list[Archived]]:
        found: dict[str, list[Archived]] = {}
        for start in range(0, len(values), BATCH):
            with _failures():
                query = {field: {"$in": values[start : start + BATCH]}}
                documents = await self._classifications.find(query).to_list(None)
            for document in documents:
                found.setdefault(document[field], []).append(from_document(document))
        for several in found.values():
            several.sort(key=lambda archived: archived.source)
        return found

    @property
    def _database(self) -> Any:
        if self._client is None:
            msg = f"{self!r} is not open"
            raise RuntimeError(msg)
        return self._client.get_database(self._database_name, CodecOptions(tz_aware=True))

    @property
    def _classifications(self) -> Any:
        return self._database["classifications"]


def _read_address(url: str) -> tuple[str, dict[str, Any]]:
    """Return the database an address names, and the defaults it does not override."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "mongodb":
            parse_uri(url)  # the other scheme asks the DNS, which can wait until the connection is made
    except (ValueError, InvalidURI, ConfigurationError, InvalidName):
        msg = (
            "expected mongodb://user:password@host:port/database?options "
            "(percent-encode / : @ in user and password; options as the driver knows them)"
        )
        raise InvalidSettings(msg) from None
    stated = {name.lower() for name, _ in parse_qsl(parts.query)}
    options = {name: value for name, value in DEFAULTS.items() if name.lower() not in stated}
    return parts.path.strip("/") or "fraudstream", options


@contextmanager
def _failures() -> Iterator[None]:
    """Tell the world's failures from ours."""
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WriteConcernError) as exc:
        raise StoreUnavailable(STORE, _reason(exc)) from exc
    except BulkWriteError as exc:
        codes = {error["code"] for error in exc.details.get("writeErrors", [])}
        if exc.details.get("writeConcernErrors") or codes & _PASSING:
            raise StoreUnavailable(STORE, _reason(exc)) from exc
        raise
    except OperationFailure as exc:
        if exc.code in _PASSING or exc.has_error_label("RetryableWriteError"):
            raise StoreUnavailable(STORE, _reason(exc)) from exc
        if exc.code in _REFUSED:
            msg = f"MongoDB refuses: {_reason(exc)}"
            raise InvalidSettings(msg) from exc
        raise


def _reason(exc: PyMongoError) -> str:
    """Return what the server said, without the driver's long description of the cluster."""
    return str(exc).split(", Timeout:")[0].split(", full error:")[0][:300]
