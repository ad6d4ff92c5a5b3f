"""Commands that talk to a broker, on a real one."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from fraudstream.commands import replay_sending
from fraudstream.core.codec import decode_label
from fraudstream.core.dead_letters import DeadLetter
from fraudstream.core.messages import LabelValue
from fraudstream.settings import Settings
from fraudstream.topics import Topics
from tests.integration.command_line import CommandLine

HEADER = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], kafka_url: str, topic_prefix: str) -> CommandLine:
    return CommandLine(capsys, {"FRAUDSTREAM_KAFKA_URL": kafka_url, "FRAUDSTREAM_TOPIC_PREFIX": topic_prefix})


@pytest.fixture
def topics(command: CommandLine) -> Topics:
    """This test's topics, made by the command under test."""
    assert command("topics", "create").status == 0
    return Topics(Settings.load(command.environ))


@pytest.fixture(params=["confluent-kafka", "aiokafka"])
def either_client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with confluent-kafka installed and once without."""
    if request.param == "aiokafka":
        without_confluent_kafka(monkeypatch)


def without_confluent_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_sending, "find_spec", lambda name: None)


@pytest.fixture
def admin(kafka_bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka_bootstrap})


def read(bootstrap: str, topic: str, partitions: int = 4) -> dict[int, list[Any]]:
    """Every record of a topic by partition, in order."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False})
    found: dict[int, list[Any]] = defaultdict(list)
    try:
        for number in range(partitions):
            place = TopicPartition(topic, number)
            low, end = bounds(consumer, place)
            consumer.assign([TopicPartition(topic, number, low)])
            while len(found[number]) < end - low:
                found[number] += consumer.consume(end - low - len(found[number]), timeout=10)
    finally:
        consumer.close()
    return found


def bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """First and next offset; a topic that was just made may have no leader for a moment."""
    for _ in range(100):
        try:
            low, end = consumer.get_watermark_offsets(place, timeout=10)
        except KafkaException as exc:
            if not exc.args[0].retriable() and exc.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise
            time.sleep(0.1)
        else:
            return int(low), int(end)
    pytest.fail(f"{place} has no leader")


def flat(found: dict[int, list[Any]]) -> list[Any]:
    return [record for records in found.values() for record in records]


def handbook(tmp_path: Path, rows: Iterable[str]) -> str:
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return str(path)


def by_day(days: int, cards: int = 7) -> Iterator[str]:
    """A row an hour; the second of every ten is fraud."""
    for hour in range(24 * days):
        instant = f"2018-04-{1 + hour // 24:02} {hour % 24:02}:00:00"
        yield f"{hour},{instant},{hour % cards},9,1.5,{int(hour % 10 == 1)}"


def test_create_makes_every_topic_as_declared_and_twice_changes_nothing(
    command: CommandLine, topics: Topics, admin: AdminClient
) -> None:
    made = admin.list_topics(timeout=10).topics

    assert {topic.name: len(made[topic.name].partitions) for topic in topics} == topics.partitions()
    assert command("topics", "create").out == f"0 created, {len(list(topics))} already there\n"
    assert command("topics", "check").out == f"{len(list(topics))} topics are as declared\n"


def test_check_names_every_topic_that_is_missing(command: CommandLine, topic_prefix: str) -> None:
    finished = command("topics", "check")

    assert len(finished.errors) == len(list(Topics(Settings.load(command.environ))))
    assert finished.errors[0] == (
        f"fraudstream: error: {topic_prefix}transactions: missing; `fraudstream topics create` makes it"
    )
    assert finished.status == 1


def test_check_names_what_differs(command: CommandLine, admin: AdminClient, topic_prefix: str) -> None:
    wrong = [
        NewTopic(f"{topic_prefix}transactions", 3),
        NewTopic(f"{topic_prefix}entity-risk", 1, config={"cleanup.policy": "delete"}),
        NewTopic(f"{topic_prefix}model-snapshots", 1, config={"cleanup.policy": "compact"}),
    ]
    for future in admin.create_topics(wrong).values():
        future.result()

    finished = command("topics", "create")

    assert sorted(line.removeprefix(f"fraudstream: error: {topic_prefix}") for line in finished.errors) == [
        "entity-risk: cleanup.policy is delete, needs compact",
        "model-snapshots: max.message.bytes is 1048588, needs at least 8388608",
        "transactions: 3 partitions, needs 4",
    ]
    assert finished.status == 1


@pytest.mark.usefixtures("either_client")
def test_replay_sends_each_row_to_its_cards_partition_in_order(
    command: CommandLine, topics: Topics, kafka_bootstrap: str, tmp_path: Path
) -> None:
    finished = command("replay", handbook(tmp_path, by_day(30)), "--format", "handbook")

    found = read(kafka_bootstrap, topics.transactions.name)

    assert finished.out.startswith("sent 720 transactions in ")
    cards = {partition: {record.key() for record in records} for partition, records in found.items()}
    assert sum(map(len, cards.values())) == 7  # no card on two partitions
    for records in found.values():
        numbers = [int(json.loads(record.value())["TRANSACTION_ID"]) for record in records]
        assert numbers == sorted(numbers)
    assert len(flat(found)) == 720


def test_both_clients_choose_the_partition_kafkas_own_producers_choose(
    command: CommandLine,
    topics: Topics,
    kafka_bootstrap: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = handbook(tmp_path, by_day(3, cards=40))
    command("replay", file, "--format", "handbook")
    without_confluent_kafka(monkeypatch)
    command("replay", file, "--format", "handbook")

    places = defaultdict(set)
    for record in flat(read(kafka_bootstrap, topics.transactions.name)):
        places[record.key()].add(record.partition())

    assert len(places) == 40
    assert all(len(partitions) == 1 for partitions in places.values())


@pytest.mark.usefixtures("either_client")
def test_labels_follow_by_event_time_and_name_the_position_of_their_row(
    command: CommandLine, topics: Topics, kafka_bootstrap: str, tmp_path: Path
) -> None:
    finished = command(
        "replay", handbook(tmp_path, by_day(10)), "--format", "handbook", "--labels-after", "7d"
    )

    sent = {
        (record.partition(), record.offset()): json.loads(record.value())
        for record in flat(read(kafka_bootstrap, topics.transactions.name))
    }
    labels = [decode_label(record.value()) for record in flat(read(kafka_bootstrap, topics.labels.name))]
    assert "72 labels; 168 labels were not due yet" in finished.out
    assert len(labels) == 72
    for label in labels:
        assert label.position is not None
        row = sent[label.position.partition, label.position.offset]
        assert row["TRANSACTION_ID"] == label.transaction_id
        assert (row["TX_FRAUD"] == "1") == (label.label is LabelValue.FRAUD)


def test_labels_left_over_can_be_sent_at_the_end(
    command: CommandLine, topics: Topics, kafka_bootstrap: str, tmp_path: Path
) -> None:
    file = handbook(tmp_path, by_day(1))

    finished = command("replay", file, "--format", "handbook", "--labels-after", "5rows", "--labels-at-end")

    assert "24 labels; 0 labels were not due yet" in finished.out
    assert len(flat(read(kafka_bootstrap, topics.labels.name))) == 24


def test_a_part_of_a_file_can_be_replayed(
    command: CommandLine, topics: Topics, kafka_bootstrap: str, tmp_path: Path
) -> None:
    command(
        "replay", handbook(tmp_path, by_day(2)), "--format", "handbook", "--from-row", "11", "--limit", "5"
    )

    sent = flat(read(kafka_bootstrap, topics.transactions.name))
    assert sorted(int(json.loads(record.value())["TRANSACTION_ID"]) for record in sent) == [
        10,
        11,
        12,
        13,
        14,
    ]


def test_a_rate_is_kept(command: CommandLine, topics: Topics, tmp_path: Path) -> None:
    started = time.monotonic()
    finished = command("replay", handbook(tmp_path, by_day(5)), "--format", "handbook", "--rate", "100")

    # 120 rows, a hundredth of a second apart: the last is due after 1.19 s, whatever the machine does
    assert time.monotonic() - started >= 1.19
    assert finished.out.startswith("sent 120 transactions")


def test_a_broken_line_ends_a_replay_with_its_number_and_what_was_sent(
    command: CommandLine, topics: Topics, kafka_bootstrap: str, tmp_path: Path
) -> None:
    file = handbook(tmp_path, [*by_day(1), "1,2,3"])

    finished = command("replay", file, "--format", "handbook")

    sent = len(flat(read(kafka_bootstrap, topics.transactions.name)))
    fault = f"{file}: line 26: 3 fields where the header has 6 ({sent} rows before it were sent)"
    assert finished.errors == [f"fraudstream: error: {fault}"]
    assert finished.status == 1


@pytest.mark.usefixtures("either_client")
def test_a_row_larger_than_a_message_may_be_is_the_operators_error(
    command: CommandLine, topics: Topics, tmp_path: Path
) -> None:
    file = tmp_path / "large.jsonl"
    file.write_text("x" * 2_000_000)

    finished = command("replay", str(file), "--format", "jsonl")

    (line,) = finished.errors
    assert "2000000 bytes are too many for one message" in line
    assert finished.status == 1


def test_replay_into_a_missing_topic_is_refused(command: CommandLine, tmp_path: Path) -> None:
    finished = command("replay", handbook(tmp_path, by_day(1)), "--format", "handbook")

    assert [line.split(": ")[3] for line in finished.errors] == [
        "missing; `fraudstream topics create` makes it"
    ] * 2
    assert finished.out.startswith("sent 0 transactions")


def set_aside(bootstrap: str, topics: Topics, value: bytes, *, offset: int = 5, masked: bool = False) -> None:
    letter = DeadLetter(
        topic=topics.transactions.name,
        partition=2,
        offset=offset,
        timestamp_ms=1_500_000_000_000,
        field="amount",
        fault="expected a number, got 'five'",
        failed_at=datetime(2024, 5, 1, 12, offset, tzinfo=UTC),
        masked=masked,
        headers=(("trace", b"\xff1"), ("fraudstream-resent-from", b"9-9")),
    )
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topics.dead_letters.name, value, b"card-1", 1, headers=list(letter.to_headers()))
    producer.flush()


def test_dead_letters_are_listed_oldest_first_and_once(
    command: CommandLine, topics: Topics, kafka_bootstrap: str
) -> None:
    for offset in (7, 5, 5):
        set_aside(kafka_bootstrap, topics, b"{}", offset=offset)

    lines = command("dead-letters", "list").out.splitlines()

    origin = topics.transactions.name
    assert lines == [
        f"     1-1  2024-05-01T12:05:00Z  {origin}[2]@5  amount: expected a number, got 'five'",
        f"     1-0  2024-05-01T12:07:00Z  {origin}[2]@7  amount: expected a number, got 'five'",
        "2 dead letters",
    ]


def test_the_list_can_be_narrowed_and_read_by_programs(
    command: CommandLine, topics: Topics, kafka_bootstrap: str
) -> None:
    set_aside(kafka_bootstrap, topics, b"\xfe", offset=7)
    set_aside(kafka_bootstrap, topics, b"{}", offset=8)

    (line,) = command("dead-letters", "list", "--json", "--limit", "1").out.splitlines()

    assert json.loads(line)["offset"] == 8
    assert command("dead-letters", "list", "--topic", "labels").out == "0 dead letters\n"


def test_a_dead_letter_is_shown_with_its_bytes(
    command: CommandLine, topics: Topics, kafka_bootstrap: str
) -> None:
    set_aside(kafka_bootstrap, topics, b'{"amount": "five"}')

    out = command("dead-letters", "show", "1-0").out

    assert 'value:         {"amount": "five"}' in out
    assert "fault:         expected a number, got 'five'" in out


def test_a_dead_letter_goes_back_byte_for_byte_where_it_came_from(
    command: CommandLine, topics: Topics, kafka_bootstrap: str
) -> None:
    set_aside(kafka_bootstrap, topics, b"\xff\x00 not json")

    finished = command("dead-letters", "resend", "1-0")

    (record,) = flat(read(kafka_bootstrap, topics.transactions.name))
    assert finished.out == f"1-0 sent back as {topics.transactions.name}[2]@0\n"
    assert (record.partition(), record.key(), record.value()) == (2, b"card-1", b"\xff\x00 not json")
    assert record.timestamp()[1] == 1_500_000_000_000
    assert record.headers() == [("trace", b"\xff1"), ("fraudstream-resent-from", b"1-0")]


def test_a_repaired_value_takes_the_place_of_the_original(
    command: CommandLine, topics: Topics, kafka_bootstrap: str, tmp_path: Path
) -> None:
    set_aside(kafka_bootstrap, topics, b"{}", masked=True)
    repaired = tmp_path / "repaired.json"
    repaired.write_bytes(b'{"amount": 5}\n')

    refused = command("dead-letters", "resend", "1-0")
    finished = command("dead-letters", "resend", "1-0", "--value", str(repaired))

    (record,) = flat(read(kafka_bootstrap, topics.transactions.name))
    assert "card numbers were masked in it" in refused.errors[0]
    assert finished.status == 0
    assert record.value() == b'{"amount": 5}'


def test_nothing_is_sent_back_when_one_position_is_wrong(
    command: CommandLine, topics: Topics, kafka_bootstrap: str
) -> None:
    set_aside(kafka_bootstrap, topics, b"{}")

    finished = command("dead-letters", "resend", "1-0", "3-99")

    assert finished.errors[0].startswith("fraudstream: error: 3-99: no dead letter there")
    assert flat(read(kafka_bootstrap, topics.transactions.name)) == []


def test_check_finds_nothing_wrong_where_nothing_is(
    command: CommandLine, topics: Topics, tmp_path: Path
) -> None:
    stores = {"MONGO_URL": f"sqlite:///{tmp_path}/archive", "MARIADB_URL": f"sqlite:///{tmp_path}/counts"}
    sample = handbook(tmp_path, by_day(1))

    finished = command("check", "--sample", sample, "--rows", "2", **stores)

    assert (finished.status, finished.errors) == (0, [])
    for part in ("settings", "wire formats", "kafka", "topics", "archive", "store of counts"):
        assert f"ok  {part}" in finished.out
    assert "message 2: handbook" in finished.out
