"""Labels from anybody, and our own messages, to and from JSON."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.core import codec
from fraudstream.core.dead_letters import DeadLetter
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
    TrainingExample,
    Transaction,
)
from fraudstream.errors import InvalidMessage

TIME = datetime(2026, 3, 14, 21, 7, 45, 250_000, UTC)
LABEL: dict[str, Any] = {
    "transaction_id": "t-1",
    "label": "fraud",
    "source": "analyst",
    "labelled_at": "2026-03-14T21:07:45.250000Z",
}
times = st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
counts = st.integers(0, 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs", "Nd"]), min_size=1, max_size=256)
floats = st.floats(allow_nan=False, allow_infinity=False)
positions = st.builds(Position, counts, counts, counts)
labels = st.builds(
    Label,
    label=st.sampled_from(LabelValue),
    source=st.sampled_from(LabelSource),
    labelled_at=times,
    transaction_id=texts,
    position=st.none() | positions,
    card_id=st.none() | texts,
    event_time=st.none() | times,
    labelled_by=st.none() | texts,
    not_before=st.none() | times,
)
classifications = st.builds(
    Classification,
    source=positions,
    transaction=st.builds(
        Transaction, texts, times, st.none() | counts, bank=st.none() | texts, age=st.none() | floats
    ),
    event_time=times,
    keys=st.lists(counts).map(tuple),
    features=st.none() | st.builds(Features, ratio=floats, relative_amount=floats, spike=floats),
    score=st.floats(0, 1),
    decision=st.sampled_from(Decision),
    reasons=st.lists(st.builds(Reason, name=texts, text=texts, contribution=floats), max_size=3).map(tuple),
    model_version=counts,
    scored_at=times,
    flags=st.lists(texts, max_size=2).map(tuple),
)
examples = st.builds(
    TrainingExample,
    source=positions,
    label_position=st.builds(LabelPosition, st.integers(-5, 5), counts),
    label=st.sampled_from(LabelValue),
    label_source=st.sampled_from(LabelSource),
    labelled_at=times,
    event_time=times,
    terminal_id=st.none() | texts,
    keys=st.lists(counts).map(tuple),
    features=st.none(),
    score=st.floats(0, 1),
    model_version=counts,
    replaces=st.none() | st.sampled_from(LabelValue),
)


def sent(**changes: object) -> bytes:
    return json.dumps({**LABEL, **changes}).encode()


@settings(deadline=None)
@given(labels)
def test_a_label_survives_the_wire(label: Label) -> None:
    assert codec.decode_label(codec.encode_label(label)) == label


@settings(deadline=None)
@given(classifications)
def test_a_classification_survives_the_wire(classification: Classification) -> None:
    assert codec.decode_classification(codec.encode_classification(classification)) == classification


@settings(deadline=None)
@given(examples)
def test_a_training_example_survives_the_wire(example: TrainingExample) -> None:
    assert codec.decode_training_example(codec.encode_training_example(example)) == example


@pytest.mark.parametrize(
    "labelled_at",
    [
        "2026-03-14T21:07:45.25Z",
        "2026-03-14T22:07:45.250+01:00",
        "2026-03-14 21:07:45.250000+00:00",
        TIME.timestamp(),
    ],
)
def test_the_time_of_a_label_may_be_iso_or_seconds(labelled_at: object) -> None:
    assert codec.decode_label(sent(labelled_at=labelled_at)).labelled_at == TIME


def test_a_label_may_name_its_transaction_by_position_alone() -> None:
    label = codec.decode_label(sent(transaction_id=None, position={"epoch": 1, "partition": 0, "offset": 42}))
    assert (label.transaction_id, label.position) == (None, Position(1, 0, 42))


def test_an_id_sent_as_a_number_is_the_same_id() -> None:
    assert codec.decode_label(sent(transaction_id=90)).transaction_id == "90"


def test_fields_a_label_does_not_know_are_ignored() -> None:
    assert codec.decode_label(sent(comment="called the holder")) == codec.decode_label(sent())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transaction_id": None}, "transaction_id"),
        ({"transaction_id": ""}, "transaction_id"),
        ({"transaction_id": 1.5}, "transaction_id"),
        ({"transaction_id": "x" * 257}, "transaction_id"),
        ({"label": "maybe"}, "label"),
        ({"label": 1}, "label"),
        ({"source": "rumour"}, "source"),
        ({"labelled_at": "2026-03-14T21:07:45"}, "labelled_at"),
        ({"labelled_at": "2026-03-14"}, "labelled_at"),
        ({"labelled_at": "9999-01-01T00:00:00Z"}, "labelled_at"),
        ({"labelled_at": 1_602_700_000_000}, "labelled_at"),
        ({"labelled_at": None}, "labelled_at"),
        ({"labelled_at": True}, "labelled_at"),
        ({"event_time": "yesterday"}, "event_time"),
        ({"not_before": 1e300}, "not_before"),
        ({"position": {"epoch": 1, "partition": 0}}, "position.offset"),
        ({"position": {"epoch": 1, "partition": -1, "offset": 0}}, "position.partition"),
        ({"position": "1-0-42"}, "position"),
        ({"labelled_by": ["ann"]}, "labelled_by"),
        ({"comment": "card 4111 1111 1111 1111"}, "comment"),
        ({"details": {"cvv": "123"}}, "details.cvv"),
    ],
    ids=str,
)
def test_a_wrong_label_is_refused_and_its_field_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        codec.decode_label(sent(**changes))
    assert caught.value.field == field
    assert "4111 1111" not in str(caught.value)


@pytest.mark.parametrize("missing", ["label", "source", "labelled_at"])
def test_a_label_without_what_it_needs_says_so(missing: str) -> None:
    with pytest.raises(InvalidMessage, match=f"^{missing}: is missing$"):
        codec.decode_label(
            json.dumps({key: value for key, value in LABEL.items() if key != missing}).encode()
        )


def test_a_card_number_in_a_wrong_word_is_masked_in_the_fault() -> None:
    with pytest.raises(InvalidMessage) as caught:
        codec.decode_label(sent(label="4111111111111111"))
    assert "4111111111111111" not in str(caught.value)


@pytest.mark.parametrize(
    "decode", [codec.decode_label, codec.decode_classification, codec.decode_training_example]
)
@settings(deadline=None)
@given(
    value=st.none()
    | st.binary()
    | st.recursive(st.none() | st.text() | floats, st.lists).map(msgspec.json.encode)
)
def test_any_bytes_give_a_value_or_a_fault(decode: Any, value: bytes | None) -> None:
    with pytest.raises(InvalidMessage):
        decode(value)


@pytest.mark.parametrize(
    ("field", "value"), [("event_time", "2026-03-14T21:07:45"), ("scored_at", "2026-03-14T21:07:45")]
)
def test_a_classification_with_a_time_of_no_zone_is_refused(field: str, value: str) -> None:
    message = msgspec.to_builtins(CLASSIFICATION) | {field: value}
    with pytest.raises(InvalidMessage, match=field):
        codec.decode_classification(json.dumps(message).encode())


@pytest.mark.parametrize("score", [-0.1, 1.1])
def test_a_training_example_needs_a_probability(score: float) -> None:
    with pytest.raises(InvalidMessage, match="score"):
        codec.decode_training_example(
            codec.encode_training_example(msgspec.structs.replace(EXAMPLE, score=score))
        )


CLASSIFICATION = Classification(
    source=Position(1, 0, 42),
    transaction=Transaction("t-1", TIME),
    event_time=TIME,
    keys=(1,),
    features=None,
    score=0.5,
    decision=Decision.APPROVE,
    reasons=(),
    model_version=1,
    scored_at=TIME,
)
EXAMPLE = TrainingExample(
    source=Position(1, 0, 42),
    label_position=LabelPosition(0, 1),
    label=LabelValue.FRAUD,
    label_source=LabelSource.ANALYST,
    labelled_at=TIME,
    event_time=TIME,
    terminal_id=None,
    keys=(1,),
    features=None,
    score=0.5,
    model_version=1,
)


# Dead letters

LETTER = DeadLetter(
    topic="transactions",
    partition=3,
    offset=17,
    timestamp_ms=1_602_700_000_000,
    field="amount",
    fault="expected a number, got '£?'",
    failed_at=TIME,
    headers=(("trace", b"\x00\xff"), ("trace", b"again")),
)


def test_a_dead_letter_survives_its_headers() -> None:
    assert DeadLetter.from_headers(LETTER.to_headers()) == LETTER


def test_a_letter_that_is_refused_again_keeps_only_its_latest_reason() -> None:
    again = msgspec.structs.replace(LETTER, fault="still wrong", headers=LETTER.to_headers())
    read = DeadLetter.from_headers(again.to_headers())
    assert (read.fault, read.headers) == ("still wrong", LETTER.headers)


def test_a_card_number_in_a_header_is_masked_and_the_letter_says_so() -> None:
    letter = msgspec.structs.replace(LETTER, headers=(("card", b"4111111111111111"),))
    read = DeadLetter.from_headers(letter.to_headers())
    assert read.headers == (("card", b"************1111"),)
    assert read.masked
    assert not LETTER.masked


@pytest.mark.parametrize("spoilt", [b"\xff", b"x", b""])
def test_a_record_that_is_no_dead_letter_is_a_fault(spoilt: bytes) -> None:
    headers = [(name, spoilt if name.endswith("offset") else value) for name, value in LETTER.to_headers()]
    for wrong in (headers, headers[1:], []):
        with pytest.raises(InvalidMessage, match="is no dead letter"):
            DeadLetter.from_headers(wrong)


def test_the_reason_of_a_letter_is_field_and_fault() -> None:
    assert LETTER.reason == "amount: expected a number, got '£?'"
    assert msgspec.structs.replace(LETTER, field="").reason == LETTER.fault
