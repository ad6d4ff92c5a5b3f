"""The MongoDB server of the tests finds by index what a scan would find, and as fast as tests need it."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import DeleteOne, InsertOne, MongoClient, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from tests.services import MongoServer

Document = dict[str, Any]
Documents = Collection[Document]


@pytest.fixture
def documents(own_mongo: Callable[..., MongoServer]) -> Iterator[Documents]:
    """An empty collection with an index on ``card_id`` and ``event_time`` and one on ``label.label``."""
    with MongoClient[Document](own_mongo(durable=False).url) as client:
        collection = client.get_default_database()["documents"]
        collection.create_index(["card_id", "event_time"], name="by_card")
        collection.create_index("label.label", name="by_label")
        yield collection


def _ids(documents: Documents, query: Document) -> list[Any]:
    """Return the ids that the index finds, having made sure that a scan finds and a count counts the same."""
    found = sorted((document["_id"] for document in documents.find(query)), key=str)
    scanned = sorted((document["_id"] for document in documents.find({"$and": [query]})), key=str)
    assert (found, documents.count_documents(query)) == (scanned, len(scanned))
    return found


def test_index_finds_documents_by_one_value_by_several_and_by_further_conditions(
    documents: Documents,
) -> None:
    documents.insert_many([{"_id": number, "card_id": f"c{number % 3}", "n": number} for number in range(9)])

    assert _ids(documents, {"card_id": "c1"}) == [1, 4, 7]
    assert _ids(documents, {"card_id": {"$in": ["c2", "c0", "c2", "unknown"]}}) == [0, 2, 3, 5, 6, 8]
    assert _ids(documents, {"card_id": "c1", "n": {"$gt": 3}}) == [4, 7]
    assert _ids(documents, {"card_id": {"$in": ["c1", "c2"], "$ne": "c2"}}) == [1, 4, 7]
    assert _ids(documents, {"card_id": {"$in": []}}) == []


def test_index_follows_updates_replacements_upserts_and_deletes(documents: Documents) -> None:
    documents.insert_many([{"_id": number, "card_id": "old"} for number in range(6)])

    documents.update_one({"_id": 0}, {"$set": {"card_id": "new"}})
    documents.update_one({"_id": 1}, {"$unset": {"card_id": ""}})
    documents.replace_one({"_id": 2}, {"card_id": "new"})
    documents.update_one({"_id": 9}, {"$set": {"card_id": "new"}}, upsert=True)
    documents.find_one_and_update({"card_id": "old"}, {"$set": {"card_id": "newest"}})
    documents.delete_one({"_id": 4})
    documents.delete_many({"card_id": "new", "_id": 0})

    assert _ids(documents, {"card_id": "old"}) == [5]
    assert _ids(documents, {"card_id": "new"}) == [2, 9]
    assert _ids(documents, {"card_id": "newest"}) == [3]
    assert _ids(documents, {"card_id": None}) == [1]
    documents.delete_many({"card_id": "newest"})
    documents.insert_one({"_id": 3, "card_id": "old"})
    assert _ids(documents, {"card_id": {"$in": ["old", "newest"]}}) == [3, 5]


def test_index_reaches_into_inner_documents_and_arrays(documents: Documents) -> None:
    documents.insert_many([{"_id": number, "label": None} for number in range(4)])
    documents.bulk_write(
        [UpdateOne({"_id": number}, {"$set": {"label": {"label": "fraud"}}}) for number in (1, 2)]
    )
    documents.update_one({"_id": 2}, {"$set": {"label.label": "genuine"}})
    documents.insert_one({"_id": 5, "label": [{"label": "fraud"}, {"label": "genuine"}]})

    assert _ids(documents, {"label.label": "fraud"}) == [1, 5]
    assert _ids(documents, {"label.label": {"$in": ["genuine", "fraud"]}}) == [1, 2, 5]
    assert _ids(documents, {"label.label": None}) == [0, 3]


def test_index_takes_equal_numbers_for_one_value_and_different_types_for_two(documents: Documents) -> None:
    moment, unique = datetime(2024, 1, 1, tzinfo=UTC), ObjectId()
    values = [1, 1.0, "1", True, moment, unique, None, [1, "one"], {"inner": 1}]
    documents.insert_many([{"_id": number, "card_id": value} for number, value in enumerate(values)])

    assert _ids(documents, {"card_id": 1}) == [0, 1, 7]
    assert _ids(documents, {"card_id": "1"}) == [2]
    assert _ids(documents, {"card_id": True}) == [3]
    assert _ids(documents, {"card_id": {"$in": [moment, unique]}}) == [4, 5]
    assert _ids(documents, {"card_id": {"$in": [None, "one"]}}) == [6, 7]
    assert _ids(documents, {"card_id": {"inner": 1}}) == [8]
    assert _ids(documents, {"card_id": [1, "one"]}) == [7]
    assert _ids(documents, {"card_id": {"$regex": "^one"}}) == [7]


def test_ids_are_unique_whatever_type_of_number_they_are(documents: Documents) -> None:
    documents.insert_many([{"_id": 1}, {"_id": "1"}, {"_id": {"partition": 1, "offset": 2}}])

    with pytest.raises(DuplicateKeyError):
        documents.insert_one({"_id": 1.0})
    with pytest.raises(BulkWriteError) as caught:
        documents.bulk_write(
            [InsertOne({"_id": "1"}), InsertOne({"_id": "2"}), DeleteOne({"_id": 1})], ordered=False
        )

    assert [error["code"] for error in caught.value.details["writeErrors"]] == [11000]
    assert documents.distinct("_id", {"_id": {"$in": ["1", "2", 1]}}) == ["1", "2"]
    assert documents.find_one({"_id": {"partition": 1, "offset": 2}}) is not None


def test_index_made_late_made_again_dropped_or_emptied_with_its_collection_stays_right(
    documents: Documents,
) -> None:
    documents.insert_many([{"_id": number, "terminal_id": f"t{number % 2}"} for number in range(4)])

    documents.create_index("terminal_id", name="by_terminal")
    documents.create_index("terminal_id", name="by_terminal")
    documents.delete_one({"_id": 0})
    assert _ids(documents, {"terminal_id": "t0"}) == [2]
    documents.drop_index("by_terminal")
    assert _ids(documents, {"terminal_id": "t0"}) == [2]
    documents.drop()
    documents.create_index("terminal_id", name="by_terminal")
    documents.insert_one({"_id": 7, "terminal_id": "t0"})
    assert _ids(documents, {"terminal_id": "t0"}) == [7]


def test_index_is_right_after_a_restart(own_mongo: Callable[..., MongoServer]) -> None:
    server = own_mongo()
    with MongoClient[Document](server.url) as client:
        documents = client.get_default_database()["documents"]
        documents.create_index("card_id", name="by_card")
        documents.insert_many([{"_id": f"0-{number}", "card_id": f"c{number % 3}"} for number in range(300)])
        documents.update_many({"card_id": "c1"}, {"$set": {"card_id": "c2"}})
        documents.delete_many({"_id": {"$in": ["0-2", "0-4"]}})
        before = _ids(documents, {"card_id": "c2"})

        server.stop()
        server.start()

        assert _ids(documents, {"card_id": "c2"}) == before
        assert len(before) == 198
        documents.update_one({"_id": "0-5"}, {"$set": {"card_id": "c0"}})
        documents.delete_one({"_id": "0-7"})
        assert _ids(documents, {"card_id": "c2"}) == sorted(set(before) - {"0-5", "0-7"})
        with pytest.raises(DuplicateKeyError):
            documents.insert_one({"_id": "0-5"})


def test_indexed_field_is_looked_up_ten_times_faster_than_one_that_is_scanned(documents: Documents) -> None:
    count = 30_000
    for start in range(0, count, 2_000):
        numbers = range(start, start + 2_000)
        documents.insert_many(
            [{"_id": n, "card_id": f"c{n}", "terminal_id": f"c{n}"} for n in numbers], ordered=False
        )

    def best_seconds(field: str) -> float:
        taken = []
        for attempt in range(3):
            wanted = [f"c{n}" for n in range(attempt, count, count // 20)]
            start = time.perf_counter()
            found = documents.find({field: {"$in": wanted}}).to_list()
            taken.append(time.perf_counter() - start)
            assert len(found) == len(wanted)
        return min(taken)

    assert best_seconds("card_id") * 10 < best_seconds("terminal_id")
