"""Setting messages aside, and the brake."""

import pytest
from prometheus_client import CollectorRegistry

from fraudstream.core.dead_letters import DeadLetter
from fraudstream.delivery.dead_letters import DeadLetters, TooManyDeadLetters
from fraudstream.delivery.records import Record
from fraudstream.delivery.slices import PartitionId, RecordSlice
from fraudstream.delivery.work import Work
from fraudstream.errors import InvalidMessage
from fraudstream.metrics import Metrics
from tests.delivery.faust_consumer import TOPIC, record


def dead_letters(limit: float = 0.5, least: int = 100) -> DeadLetters:
    return DeadLetters(Metrics(CollectorRegistry()), "dead-letters", limit, least)


def set_aside(work: Work, one: Record, fault: InvalidMessage) -> None:
    dead_letters().add(work, RecordSlice(PartitionId(TOPIC, 0), [one]), one, fault)


def test_a_message_is_set_aside_with_its_bytes_its_origin_and_its_fault() -> None:
    work = Work()
    set_aside(work, record(7, b"not JSON", b"card-1"), InvalidMessage("expected JSON", "amount"))
    (letter,) = work.notices["dead-letters"]
    assert (letter.value, letter.key, letter.source_offset) == (b"not JSON", b"card-1", 7)
    headers = {name.removeprefix("fraudstream-dead-letter-"): value for name, value in letter.headers}
    assert (headers["topic"], headers["partition"], headers["offset"]) == (TOPIC.encode(), b"0", b"7")
    assert (headers["field"], headers["fault"]) == (b"amount", b"expected JSON")
    assert DeadLetter is not None


def test_card_numbers_are_masked_in_value_and_key_and_the_letter_says_so() -> None:
    work = Work()
    set_aside(
        work, record(7, b'{"bank": "4111111111111111"}', b"4111111111111111"), InvalidMessage("refused")
    )
    (letter,) = work.notices["dead-letters"]
    assert b"4111" not in (letter.value or b"") + (letter.key or b"")
    assert (b"1") in dict(letter.headers).values()


def test_a_message_without_a_value_leaves_a_letter_that_compaction_cannot_take_for_a_deletion() -> None:
    work = Work()
    set_aside(work, record(7, None), InvalidMessage("empty"))
    assert work.notices["dead-letters"][0].value == b""


def test_the_brake_is_off_until_enough_messages_came() -> None:
    brake = dead_letters(limit=0.5, least=100)
    brake.brake(99, 99)


def test_the_brake_stops_above_its_share() -> None:
    brake = dead_letters(limit=0.5, least=100)
    brake.brake(100, 50)
    with pytest.raises(TooManyDeadLetters, match="51 of the latest 100"):
        dead_letters(limit=0.5, least=100).brake(100, 51)


def test_the_brake_looks_at_the_latest_messages_only() -> None:
    brake = dead_letters(limit=0.5, least=100)
    for _ in range(50):
        brake.brake(100, 0)
    with pytest.raises(TooManyDeadLetters):
        brake.brake(100, 100)


def test_what_is_long_past_does_not_stop_a_worker() -> None:
    brake = dead_letters(limit=0.5, least=100)
    brake.brake(60, 50)  # too few to judge
    brake.brake(100, 0)
    brake.brake(100, 50)
