"""Replay: rows as their producer would send them, labels when they are due."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from fraudstream.commands.replay_labels import Delay, Due, LateLabels, label_message, parse_delay
from fraudstream.commands.replay_rows import CAPSTONE_FIELDS, Format, ReplayFile, Row
from fraudstream.core.messages import LabelValue
from fraudstream.core.wire_formats import load_wire_formats
from fraudstream.errors import InvalidInput

SHARED = Path(__file__).parents[3] / "shared" / "data"
FORMATS = load_wire_formats(())
NOON = datetime(2020, 10, 14, 12, tzinfo=UTC)
HEADER = ",".join(CAPSTONE_FIELDS)
LINE = (
    "#3577 209,14-Oct-20,Wednesday,19,Visa,Tap,£5,POS,Entertainment,United Kingdom,United Kingdom,"
    "United Kingdom,M,25.2,RBS,0"
)
HANDBOOK = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n"


def rows(path: Path, kind: Format, *, with_labels: bool = True) -> list[Row]:
    return list(ReplayFile(path, kind, FORMATS, with_labels=with_labels).rows())


def capstone(tmp_path: Path, *lines: str, encoding: str = "utf-8-sig") -> Path:
    path = tmp_path / "capstone.csv"
    path.write_bytes("\r\n".join([HEADER, *lines, ""]).encode(encoding))
    return path


def handbook(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "handbook.csv"
    path.write_text(text)
    return path


def labelled(hour: float, label: LabelValue | None = LabelValue.FRAUD) -> Row:
    return Row(b"{}", None, f"t{hour}", label, NOON + timedelta(hours=hour))


def test_a_capstone_row_is_the_message_its_producer_sends(tmp_path: Path) -> None:
    (row,) = rows(capstone(tmp_path, LINE), Format.CAPSTONE)

    assert row.value.decode() == (
        '{"transaction_id": "#3577 209", "date": "14-Oct-20", "day_of_week": "Wednesday", "time": "19", '
        '"card_type": "Visa", "entry_mode": "Tap", "amount": "£5", "transaction_type": "POS", '
        '"merchant_group": "Entertainment", "transaction_country": "United Kingdom", '
        '"shipping_address": "United Kingdom", "residence_country": "United Kingdom", "gender": "M", '
        '"age": "25.2", "bank": "RBS", "fraud": "0"}'
    )
    assert (row.key, row.label, row.event_time) == (b"#3577 209", LabelValue.GENUINE, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_pounds_survive_every_encoding_of_the_file(tmp_path: Path, encoding: str) -> None:
    (row,) = rows(capstone(tmp_path, LINE, encoding=encoding), Format.CAPSTONE)

    assert json.loads(row.value)["amount"] == "£5"


def test_pounds_that_were_once_misread_are_put_right(tmp_path: Path) -> None:
    (row,) = rows(capstone(tmp_path, LINE.replace("£", "Â£")), Format.CAPSTONE)

    assert json.loads(row.value)["amount"] == "£5"


def test_missing_values_are_sent_as_empty_text(tmp_path: Path) -> None:
    (row,) = rows(capstone(tmp_path, LINE.replace("£5", "").replace("Entertainment", "")), Format.CAPSTONE)

    message = json.loads(row.value)
    assert (message["amount"], message["merchant_group"]) == ("", "")


def test_text_that_needs_quoting_stays_json(tmp_path: Path) -> None:
    line = LINE.replace("Entertainment", '"a ""b"" \\ %s, c"')

    (row,) = rows(capstone(tmp_path, line), Format.CAPSTONE)

    assert json.loads(row.value)["merchant_group"] == 'a "b" \\ %s, c'


def test_a_row_whose_values_make_no_transaction_is_sent_all_the_same(tmp_path: Path) -> None:
    (row,) = rows(capstone(tmp_path, LINE.replace("£5", "five").replace(",0", ",maybe")), Format.CAPSTONE)

    assert json.loads(row.value)["amount"] == "five"
    assert row.label is None


def test_a_handbook_row_is_json_with_the_columns_of_its_file(tmp_path: Path) -> None:
    path = handbook(tmp_path, HANDBOOK + "7,2018-04-01 00:00:31,596,3156,57.16,1\n")

    (row,) = rows(path, Format.HANDBOOK)

    assert json.loads(row.value) == {
        "TRANSACTION_ID": "7",
        "TX_DATETIME": "2018-04-01 00:00:31",
        "CUSTOMER_ID": "596",
        "TERMINAL_ID": "3156",
        "TX_AMOUNT": "57.16",
        "TX_FRAUD": "1",
    }
    assert (row.key, row.label) == (b"596", LabelValue.FRAUD)
    assert row.event_time == datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)
    assert FORMATS.decode(row.value, 0).card_id == "596"


def test_a_label_that_never_comes_is_never_sent_and_its_column_stays_behind(tmp_path: Path) -> None:
    header = HANDBOOK.strip() + ",LABELLED\n"
    path = handbook(
        tmp_path, header + "7,2018-04-01 00:00:31,596,3156,57.16,1,0\n8,2018-04-01 00:00:32,1,2,3,1,1\n"
    )

    first, second = rows(path, Format.HANDBOOK)

    assert (first.label, second.label) == (None, LabelValue.FRAUD)
    assert "LABELLED" not in json.loads(first.value)


def test_a_gzip_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "handbook.csv.gz"
    path.write_bytes(gzip.compress((HANDBOOK + "7,2018-04-01 00:00:31,596,3156,57.16,1\n").encode()))

    assert len(rows(path, Format.HANDBOOK)) == 1


def test_json_lines_are_sent_as_they_are_with_the_card_as_key(tmp_path: Path) -> None:
    line = b'{"transaction_id":"a","event_time":"2024-01-01T00:00:00Z","card_id":"c1",  "label":"fraud"}'
    path = tmp_path / "lines.jsonl"
    path.write_bytes(line + b"\n\nnot json\n")

    good, bad = rows(path, Format.JSONL)

    assert (good.value, good.key, good.label) == (line, b"c1", LabelValue.FRAUD)
    assert good.event_time == datetime(2024, 1, 1, tzinfo=UTC)
    assert (bad.value, bad.key, bad.label) == (b"not json", None, None)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,b\n1,2\n", "line 1: no column TRANSACTION_ID, .* not a handbook file"),
        ("", "line 1: no column"),
        (HANDBOOK + "1,2,3,4,5,0\n1,2,3,4,5,6,7\n", "line 3: 7 fields where the header has 6"),
        (HANDBOOK + "1,2,3\n", "line 2: 3 fields where the header has 6"),
        (HANDBOOK + '"1,2,3\n', "line [23]: unexpected end of data"),
    ],
)
def test_a_file_of_another_kind_is_refused_at_its_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(InvalidInput, match=f"handbook.csv: {fault}"):
        rows(handbook(tmp_path, text), Format.HANDBOOK)


def test_a_cut_off_gzip_file_is_the_operators_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress((HANDBOOK * 1000).encode())[:50])

    with pytest.raises(InvalidInput, match="cannot be read"):
        rows(path, Format.HANDBOOK)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["CreditCardData-13-Oct-20.csv", "CreditCardData-latin1-2429.csv"])
def test_every_row_of_the_real_files_makes_a_transaction(name: str) -> None:
    if not (SHARED / name).exists():
        pytest.skip("the developers' data is not here")

    amounts = [FORMATS.decode(row.value, 1_600_000_000_000) for row in rows(SHARED / name, Format.CAPSTONE)]

    assert len(amounts) == {"CreditCardData-13-Oct-20.csv": 49_814}.get(name, 2_429)
    assert {amount.currency for amount in amounts if amount.amount_minor is not None} == {"GBP"}


def test_a_label_is_due_once_event_time_has_moved_on_far_enough() -> None:
    # rows at      0h   1h   25h   26h
    # due                    0h's  1h's
    late = LateLabels(parse_delay("25h"))
    given = [labelled(0), labelled(1), labelled(25), labelled(26)]

    due = [
        [label.row.transaction_id for label in late.before(row, number, NOON)]
        for number, row in enumerate(given)
    ]

    assert due == [[], [], ["t0"], ["t1"]]
    assert len(late) == 2


def test_a_label_is_known_from_the_moment_it_was_due() -> None:
    late = LateLabels(parse_delay("1d"))
    late.before(labelled(0), 1, NOON)

    (due,) = late.before(labelled(72), 2, NOON)

    assert due.labelled_at == NOON + timedelta(days=1)


def test_event_time_never_goes_back() -> None:
    late = LateLabels(parse_delay("1h"))
    late.before(labelled(10), 1, NOON)

    assert [due.row.transaction_id for due in late.before(labelled(0), 2, NOON)] == []
    assert [due.row.transaction_id for due in late.before(labelled(2), 3, NOON)] == ["t0"]


def test_labels_may_be_late_by_rows() -> None:
    late = LateLabels(parse_delay("2rows"))
    given = [Row(b"{}", None, str(number), LabelValue.GENUINE) for number in range(4)]

    due = [
        [label.row.transaction_id for label in late.before(row, number, NOON)]
        for number, row in enumerate(given)
    ]

    assert due == [[], [], ["0"], ["1"]]


def test_a_row_without_an_event_time_has_the_moment_it_was_sent() -> None:
    late = LateLabels(parse_delay("10s"))
    late.before(Row(b"{}", None, "a", LabelValue.FRAUD), 1, NOON)

    assert late.before(Row(b"{}", None, "b"), 2, NOON + timedelta(seconds=9)) == []
    assert len(late.before(Row(b"{}", None, "c"), 3, NOON + timedelta(seconds=10))) == 1


def test_batches_come_out_when_a_whole_step_has_passed() -> None:
    # labels of rows at 13:00, 14:00 and 02:00 are due half a day later and come out at the second midnight
    late = LateLabels(parse_delay("12h"), parse_delay("1d"))
    hours = (1, 2, 14, 35, 36)

    due = [len(late.before(labelled(hour), number, NOON)) for number, hour in enumerate(hours)]

    assert due == [0, 0, 0, 0, 3]


def test_a_row_without_label_has_none_to_wait_for() -> None:
    late = LateLabels(parse_delay("1h"))

    late.before(labelled(0, None), 1, NOON)

    assert len(late) == 0


def test_a_delay_in_time_and_a_step_in_rows_contradict_each_other() -> None:
    with pytest.raises(InvalidInput, match="both have to be times or both rows"):
        LateLabels(parse_delay("7d"), parse_delay("100rows"))


@pytest.mark.parametrize(("text", "delay"), [("5000rows", Delay(None, 5000)), ("1 row", Delay(None, 1))])
def test_a_delay_may_count_rows(text: str, delay: Delay) -> None:
    assert parse_delay(text) == delay


def test_a_delay_without_unit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="or a number of rows such as 5000rows"):
        parse_delay("5000")


def test_a_label_names_its_transaction_by_position() -> None:
    row = labelled(0)
    row.partition, row.offset = 3, 42

    message = label_message(Due(row, NOON), 2, NOON)

    assert msgspec.json.decode(message.value)["position"] == {"epoch": 2, "partition": 3, "offset": 42}
    assert msgspec.json.decode(message.value)["label"] == "fraud"


def test_a_row_the_broker_has_not_taken_cannot_be_labelled() -> None:
    with pytest.raises(ValueError, match="without label or position"):
        label_message(Due(labelled(0), NOON), 1, NOON)
