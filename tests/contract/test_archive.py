"""What every archive promises."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraudstream.adapters import connect_archive
from fraudstream.adapters.mongo_documents import from_document, to_document
from fraudstream.core.messages import (
    Classification,
    Decision,
    Features,
    Label,
    LabelPosition,
    LabelSource,
    LabelValue,
    Position,
    Reason,
    Transaction,
)
from fraudstream.errors import InvalidMessage
from fraudstream.ports import Archive, LabelState

AT = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)


def classification(offset: int, *, partition: int = 0, epoch: int = 1, **fields: object) -> Classification:
    said = {"transaction_id": f"t{offset}", "event_time": AT, "card_id": "card 1"} | fields
    return Classification(
        source=Position(epoch, partition, offset),
        transaction=Transaction(**said),
        event_time=said["event_time"],
        keys=(3, 2**31, 2**53 - 1),
        features=Features(ratio=0.1 + 0.2, relative_amount=1e-300, spike=5.0),
        score=0.12345678901234567,
        decision=Decision.REVIEW,
        reasons=(Reason(name="amount", text="4.2 times the card's mean", contribution=1 / 3),),
        rules=("night",),
        model_version=7,
        scored_at=AT + timedelta(microseconds=999_999),
        flags=("degraded",),
    )


def encoded(*classifications: Classification) -> list[bytes]:
    return [msgspec.json.encode(each) for each in classifications]


def label(
    *,
    transaction_id: str | None = None,
    position: Position | None = None,
    value: LabelValue = LabelValue.FRAUD,
    **fields: object,
) -> Label:
    return Label(
        label=value,
        source=LabelSource.ANALYST,
        labelled_at=AT,
        transaction_id=transaction_id,
        position=position,
        **fields,
    )


def decoded(value: bytes) -> Classification:
    return msgspec.json.decode(value, type=Classification)


async def test_what_is_found_is_what_was_scored(archive: Archive) -> None:
    scored = classification(5, amount_minor=2**53 - 1, currency="GBP", age=25.2, label=LabelValue.FRAUD)
    await archive.store(encoded(scored))
    [[found]] = await archive.find([label(transaction_id="t5")])
    assert found.source == Position(1, 0, 5)
    assert found.label is None
    assert decoded(found.classification) == scored


async def test_ids_that_end_alike_are_told_apart_whatever_characters_they_have(archive: Archive) -> None:
    ids = (
        "a-00000001",
        "b-00000001",
        "00000001",
        "1",
        "nul\x00byte",
        "nul\x00other",
        "é🂡-longer-than-eight-é🂡",
    )
    await archive.store(
        encoded(*(classification(number, transaction_id=one) for number, one in enumerate(ids)))
    )
    found = await archive.find([label(transaction_id=one) for one in ids])
    assert [[one.source.offset for one in some] for some in found] == [[n] for n in range(len(ids))]


async def test_free_field_names_come_back_as_they_were(archive: Archive) -> None:
    names = ("$where", "a.b", "", ".", "nul\x00byte", "£ £", "_id")
    scored = classification(1, attributes={name: f"value of {name}" for name in names})
    await archive.store(encoded(scored))
    [[found]] = await archive.find([label(transaction_id="t1")])
    assert decoded(found.classification) == scored


async def test_a_field_of_a_newer_producer_is_kept(archive: Archive) -> None:
    newer = msgspec.json.decode(encoded(classification(1))[0]) | {"shadow_score": 0.75}
    await archive.store([msgspec.json.encode(newer)])
    [[found]] = await archive.find([label(transaction_id="t1")])
    assert msgspec.json.decode(found.classification)["shadow_score"] == 0.75


async def test_storing_again_stores_nothing_and_keeps_the_first_decision(archive: Archive) -> None:
    first = encoded(*(classification(offset) for offset in range(5)))
    assert await archive.store(first) == 5
    changed = [msgspec.structs.replace(classification(offset), score=0.9) for offset in range(3, 8)]
    assert await archive.store(encoded(*changed)) == 3
    found = await archive.find([label(transaction_id=f"t{offset}") for offset in range(8)])
    assert [decoded(each.classification).score for [each] in found] == [0.12345678901234567] * 5 + [0.9] * 3


async def test_a_batch_that_holds_one_twice_stores_it_once(archive: Archive) -> None:
    assert await archive.store(encoded(classification(1), classification(2), classification(1))) == 2


async def test_nothing_is_stored_of_nothing(archive: Archive) -> None:
    assert await archive.store([]) == 0
    assert await archive.find([]) == []
    await archive.record_labels({})


async def test_the_same_offset_in_another_partition_or_epoch_is_another_transaction(archive: Archive) -> None:
    three = [classification(1), classification(1, partition=1), classification(1, epoch=2)]
    assert await archive.store(encoded(*three)) == 3
    [found] = await archive.find([label(transaction_id="t1")])
    assert [each.source for each in found] == [Position(1, 0, 1), Position(1, 1, 1), Position(2, 0, 1)]


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"[]", b"{}", b'{"source": {"epoch": 1}}', b"null", b"\xff", b"7"]
)
async def test_what_is_no_classification_is_the_message_s_fault(archive: Archive, broken: bytes) -> None:
    with pytest.raises(InvalidMessage):
        await archive.store([*encoded(classification(1)), broken])
    assert await archive.find([label(transaction_id="t1")]) == [[]]


async def test_labels_find_by_position_before_id_and_nothing_when_unknown(archive: Archive) -> None:
    await archive.store(encoded(classification(1), classification(2)))
    found = await archive.find(
        [
            label(position=Position(1, 0, 2)),
            label(transaction_id="t1", position=Position(1, 0, 2)),
            label(transaction_id="t1"),
            label(transaction_id="never seen"),
            label(position=Position(1, 0, 99)),
            label(transaction_id="t1"),
        ]
    )
    assert [[each.source.offset for each in several] for several in found] == [[2], [2], [1], [], [], [1]]


async def test_an_id_that_producers_repeat_finds_every_bearer_in_the_order_of_the_log(
    archive: Archive,
) -> None:
    offsets = list(range(12))
    random.Random(3).shuffle(offsets)
    await archive.store(encoded(*(classification(n, transaction_id="same") for n in offsets)))
    [found] = await archive.find([label(transaction_id="same")])
    assert [each.source.offset for each in found] == list(range(12))


@pytest.mark.parametrize("odd", ["A", "a ", "£", "x' OR '1'='1", "$ne", "a\x00b", "\U0001d509", "'; --"])
async def test_ids_are_compared_byte_for_byte(archive: Archive, odd: str) -> None:
    await archive.store(encoded(classification(1, transaction_id=odd), classification(2, transaction_id="a")))
    [found, plain] = await archive.find([label(transaction_id=odd), label(transaction_id="a")])
    assert [each.source.offset for each in found] == [1]
    assert [each.source.offset for each in plain] == [2]


async def test_a_large_batch_of_labels_is_answered_in_order(archive: Archive) -> None:
    await archive.store(encoded(*(classification(offset) for offset in range(0, 2400, 2))))
    asked = [label(transaction_id=f"t{n}") for n in range(1200)]
    asked += [label(position=Position(1, 0, n)) for n in range(1200, 2400)]
    found = await archive.find(asked)
    assert [[each.source.offset for each in several] for several in found] == [
        [n] if n % 2 == 0 else [] for n in range(2400)
    ]


async def test_the_label_that_was_recorded_last_is_found(archive: Archive) -> None:
    await archive.store(encoded(classification(1), classification(2)))
    source = Position(1, 0, 1)
    await archive.record_labels({source: (label(value=LabelValue.GENUINE), LabelPosition(0, 4))})
    await archive.record_labels(
        {
            source: (label(value=LabelValue.FRAUD, labelled_by="Ada"), LabelPosition(0, 9)),
            Position(1, 0, 99): (label(), LabelPosition(0, 10)),
        }
    )
    [[first], [second], unknown] = await archive.find(
        [label(position=Position(1, 0, offset)) for offset in (1, 2, 99)]
    )
    assert first.label == LabelState(
        label=LabelValue.FRAUD,
        label_source=LabelSource.ANALYST,
        position=LabelPosition(0, 9),
        labelled_by="Ada",
    )
    assert second.label is None
    assert unknown == [], "a label makes no transaction"


async def test_a_replay_after_the_label_keeps_the_label(archive: Archive) -> None:
    await archive.store(encoded(classification(1)))
    await archive.record_labels({Position(1, 0, 1): (label(), LabelPosition(-2, 7))})
    await archive.store(encoded(classification(1)))
    [[found]] = await archive.find([label(transaction_id="t1")])
    assert found.label is not None
    assert found.label.position == LabelPosition(-2, 7)


async def test_a_labelled_transaction_still_holds_exactly_what_was_scored(archive: Archive) -> None:
    scored = classification(1, label=LabelValue.GENUINE)
    await archive.store(encoded(scored))
    await archive.record_labels({Position(1, 0, 1): (label(), LabelPosition(0, 1))})
    [[found]] = await archive.find([label(transaction_id="t1")])
    assert decoded(found.classification) == scored


async def test_highest_offsets_are_those_of_one_epoch(archive: Archive) -> None:
    assert await archive.highest_offsets(1) == {}
    await archive.store(encoded(classification(7), classification(9, partition=12), classification(3)))
    await archive.store(encoded(classification(5), classification(100, epoch=2)))
    assert await archive.highest_offsets(1) == {0: 7, 12: 9}
    assert await archive.highest_offsets(2) == {0: 100}
    assert await archive.highest_offsets(3) == {}


async def test_everything_is_there_after_closing_and_opening_again(
    archive: Archive, archive_url: str
) -> None:
    await archive.store(encoded(classification(1)))
    await archive.close()
    await archive.close()
    await archive.open()
    await archive.open()
    await archive.ping()
    again = connect_archive(archive_url)
    await again.open()
    [[found]] = await again.find([label(transaction_id="t1")])
    await again.close()
    assert decoded(found.classification) == classification(1)


async def test_workers_that_store_the_same_at_once_store_it_once(archive: Archive, archive_url: str) -> None:
    others = [connect_archive(archive_url) for _ in range(3)]
    await asyncio.gather(*(other.open() for other in others))
    batches = [encoded(*(classification(n) for n in range(start, start + 50))) for start in range(0, 200, 50)]
    new = await asyncio.gather(*(store.store(batch) for store in (archive, *others) for batch in batches))
    await asyncio.gather(*(other.close() for other in others))
    assert sum(new) == 200
    assert await archive.highest_offsets(1) == {0: 199}


async def test_calls_on_an_archive_that_is_not_open_are_our_own_mistake(archive_url: str) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await connect_archive(archive_url).ping()


moments = st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    moments,
    moments,
    st.floats(0, 1),
    st.lists(st.integers(0, 2**63 - 1), max_size=5),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_a_document_and_back_is_the_identity(
    event: datetime, scored: datetime, score: float, keys: list[int], attributes: dict[str, str]
) -> None:
    before = msgspec.structs.replace(
        classification(1, event_time=event, attributes=attributes or None),
        score=score,
        keys=tuple(keys),
        scored_at=scored,
    )
    document = to_document(msgspec.json.encode(before))
    assert document["event_time"].microsecond % 1000 == 0
    assert decoded(from_document(document).classification) == before
