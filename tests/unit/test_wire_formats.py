"""Every producer's message becomes one transaction or one clear fault."""

import csv
import gzip
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.core.codec import encode_classification
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.core.wire_formats import WireFormats, card_hasher, load_wire_formats
from fraudstream.core.wire_samples import describe_sample
from fraudstream.errors import InvalidMessage, InvalidWireFormat

RECORD_MS = 1_602_700_000_000
RECORD_TIME = datetime(2020, 10, 14, 18, 26, 40, tzinfo=UTC)
SHARED = Path(__file__).parents[3] / "shared" / "data"

NATIVE: dict[str, Any] = {
    "transaction_id": "t-1",
    "event_time": "2026-03-14T21:07:45.25+01:00",
    "amount_minor": 23_990,
    "currency": "GBP",
    "card_id": "tok_5b1e9a",
}
CAPSTONE: dict[str, Any] = {
    "transaction_id": "#3577 209",
    "date": "14-Oct-20",
    "day_of_week": "Wednesday",
    "time": "19",
    "card_type": "Visa",
    "entry_mode": "Tap",
    "amount": "£5",
    "transaction_type": "POS",
    "merchant_group": "Entertainment",
    "transaction_country": "United Kingdom",
    "shipping_address": "United Kingdom",
    "residence_country": "United Kingdom",
    "gender": "M",
    "age": "25.2",
    "bank": "RBS",
    "fraud": "0",
}
HANDBOOK: dict[str, Any] = {
    "TRANSACTION_ID": 7,
    "TX_DATETIME": "2018-04-01 00:00:31",
    "CUSTOMER_ID": 596,
    "TERMINAL_ID": 3156,
    "TX_AMOUNT": 57.16,
    "TX_FRAUD": 1,
}
NESTED = """
name = "shop"
missing = ["", "n/a"]

[when]
has = ["payment.id"]
lacks = ["payment.test"]
equals = { "kind" = "payment", "version" = 2 }

[fields]
transaction_id = { template = "{shop}-{payment.id}" }
event_time = { from = "payment.at", format = "epoch_milliseconds" }
amount_minor = { from = "payment.money.value", unit = "major" }
currency = { from = "payment.money.unit", values = { "826" = "GBP" } }
card_id = "payment.card.token"
gender = { from = "person.sex", values = { "1" = "M", "2" = "F" }, others = "refuse" }
entry_mode = { fixed = "Online" }
label = { from = "payment.chargeback", values = { "true" = "fraud", "false" = "genuine" } }

[attributes]
channel = "channel"
attempt = "payment.attempt"
"""
PAYMENT: dict[str, Any] = {
    "kind": "payment",
    "version": 2,
    "shop": "x1",
    "channel": "app",
    "person": {"sex": 2},
    "payment": {
        "id": 90,
        "at": 1_602_700_000_000,
        "attempt": 3,
        "money": {"value": 12.5, "unit": "826"},
        "card": {"token": "tok"},
        "chargeback": True,
    },
}


def encoded(message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()


def loaded(folder: Path, *texts: str, shipped: bool = False, key: bytes | None = None) -> WireFormats:
    files = []
    for number, text in enumerate(texts):
        file = folder / f"format{number}.toml"
        file.write_text(text, "utf-8")
        files.append(file)
    return load_wire_formats(files, shipped=shipped, card_hash_key=key)


def declared(event_time: str = '"at"', more: str = "", when: str = "") -> str:
    return f'name = "one"\n{when}\n[fields]\ntransaction_id = "id"\nevent_time = {event_time}\n{more}\n'


@pytest.fixture
def shipped() -> WireFormats:
    return load_wire_formats([])


@pytest.fixture
def nested(tmp_path: Path) -> WireFormats:
    return loaded(tmp_path, NESTED, shipped=True)


def decoded(formats: WireFormats, message: object) -> Transaction:
    return formats.decode(encoded(message), RECORD_MS)


def fault_of(formats: WireFormats, message: object) -> InvalidMessage:
    value = message if isinstance(message, bytes) or message is None else encoded(message)
    with pytest.raises(InvalidMessage) as caught:
        formats.decode(value, RECORD_MS)
    return caught.value


# The shipped formats


def test_native_messages_are_taken_as_they_are(shipped: WireFormats) -> None:
    assert decoded(shipped, NATIVE) == Transaction(
        transaction_id="t-1",
        event_time=datetime(2026, 3, 14, 20, 7, 45, 250_000, UTC),
        amount_minor=23_990,
        currency="GBP",
        card_id="tok_5b1e9a",
    )


def test_what_we_write_ourselves_is_a_native_message(shipped: WireFormats) -> None:
    transaction = decoded(
        shipped, {**NATIVE, "label": "fraud", "attributes": {"channel": "app"}, "age": 40, "hour": 24}
    )
    assert shipped.decode(encode_classification(transaction), 0) == transaction  # type: ignore[arg-type]


def test_capstone_messages_are_taken_as_their_producer_sends_them(shipped: WireFormats) -> None:
    assert decoded(shipped, CAPSTONE) == Transaction(
        transaction_id="#3577 209",
        event_time=RECORD_TIME,
        amount_minor=500,
        currency="GBP",
        merchant_group="Entertainment",
        transaction_type="POS",
        entry_mode="Tap",
        card_type="Visa",
        transaction_country="United Kingdom",
        shipping_country="United Kingdom",
        residence_country="United Kingdom",
        bank="RBS",
        age=25.2,
        gender="M",
        hour=19,
        label=LabelValue.GENUINE,
        attributes={"date": "14-Oct-20", "day_of_week": "Wednesday", "time": "19"},
    )


@pytest.mark.parametrize("amount", ["£5", "Â£5", "5", "£ 5", "£5.00"])
def test_a_pound_sign_may_be_whole_broken_or_absent(shipped: WireFormats, amount: str) -> None:
    transaction = decoded(shipped, {**CAPSTONE, "amount": amount})
    assert (transaction.amount_minor, transaction.currency) == (500, "GBP")


def test_a_pound_sign_may_be_an_escape(shipped: WireFormats) -> None:
    assert shipped.decode(json.dumps(CAPSTONE).encode(), RECORD_MS) == decoded(shipped, CAPSTONE)


def test_empty_texts_are_missing_values(shipped: WireFormats) -> None:
    empty = dict.fromkeys(
        ("amount", "merchant_group", "shipping_address", "gender", "age", "bank", "fraud"), ""
    )
    transaction = decoded(shipped, {**CAPSTONE, **empty})
    missing = (transaction.amount_minor, transaction.currency, transaction.merchant_group)
    assert missing == (None, None, None)
    assert (transaction.gender, transaction.age, transaction.label) == (None, None, None)


def test_hour_twenty_four_is_the_hour_after_midnight(shipped: WireFormats) -> None:
    assert decoded(shipped, {**CAPSTONE, "time": "24"}).hour == 0


def test_a_misspelt_bank_is_put_right(shipped: WireFormats) -> None:
    assert decoded(shipped, {**CAPSTONE, "bank": "Barlcays"}).bank == "Barclays"


def test_handbook_messages_and_rows_mean_the_same(shipped: WireFormats) -> None:
    expected = Transaction(
        transaction_id="7",
        event_time=datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC),
        amount_minor=5_716,
        currency="USD",
        card_id="596",
        customer_id="596",
        terminal_id="3156",
        label=LabelValue.FRAUD,
    )
    assert decoded(shipped, HANDBOOK) == expected
    assert shipped.decode_row({name: str(value) for name, value in HANDBOOK.items()}, 0) == expected


def test_a_row_of_the_capstone_file_means_what_its_message_means(shipped: WireFormats) -> None:
    headings = (
        *("\ufeffTransaction ID", "Date", "Day of Week", "Time", "Type of Card", "Entry Mode", "Amount"),
        *("Type of Transaction", "Merchant Group", "Country of Transaction", "Shipping Address"),
        *("Country of Residence", "Gender", "Age", "Bank", "Fraud"),
    )
    row = dict(zip(headings, CAPSTONE.values(), strict=True))
    assert json.loads(shipped.encode_row(row)) == CAPSTONE
    assert shipped.decode_row(row, RECORD_MS) == decoded(shipped, CAPSTONE)


def test_a_row_with_surplus_cells_is_refused(shipped: WireFormats) -> None:
    row: Any = {"TRANSACTION_ID": "1", None: ["surplus"]}
    with pytest.raises(InvalidMessage, match="more cells"):
        shipped.decode_row(row, RECORD_MS)


def test_a_row_that_is_not_unicode_is_refused(shipped: WireFormats) -> None:
    with pytest.raises(InvalidMessage, match="not Unicode"):
        shipped.decode_row({"TRANSACTION_ID": "\ud800"}, RECORD_MS)


def test_a_token_may_have_sixty_four_characters(shipped: WireFormats) -> None:
    token = "tok_" + "z" * 60
    assert decoded(shipped, {**NATIVE, "card_id": token}).card_id == token


def test_the_format_of_the_last_message_is_known(shipped: WireFormats) -> None:
    names = []
    for message in (HANDBOOK, NATIVE, NATIVE, CAPSTONE):
        decoded(shipped, message)
        names.append(shipped.last_name)
    assert names == ["handbook", "native", "native", "capstone"]


# Formats that users declare


def test_a_declared_format_reads_nested_fields(nested: WireFormats) -> None:
    assert decoded(nested, PAYMENT) == Transaction(
        transaction_id="x1-90",
        event_time=RECORD_TIME,
        amount_minor=1_250,
        currency="GBP",
        card_id="tok",
        entry_mode="Online",
        gender="F",
        label=LabelValue.FRAUD,
        attributes={"channel": "app", "attempt": "3"},
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"person": {"sex": "unknown"}}, "person.sex"),
        ({"person": {"sex": []}}, "person.sex"),
        ({"shop": "n/a"}, "shop"),
        ({"payment": {**PAYMENT["payment"], "money": {"value": 1, "unit": "pound"}}}, "payment.money.unit"),
        ({"payment": {**PAYMENT["payment"], "money": {"value": 1}}}, "payment.money.unit"),
        (
            {"payment": {**PAYMENT["payment"], "money": {"value": "1e9", "unit": "GBP"}}},
            "payment.money.value",
        ),
        ({"payment": {**PAYMENT["payment"], "money": 5}}, "payment.money"),
        ({"payment": {**PAYMENT["payment"], "at": "n/a"}}, "payment.at"),
        ({"payment": {"id": 90}}, "payment.at"),
    ],
    ids=str,
)
def test_a_fault_names_the_producers_own_field(
    nested: WireFormats, change: dict[str, Any], field: str
) -> None:
    assert fault_of(nested, {**PAYMENT, **change}).field == field


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "refund"},
        {"version": 2.0},
        {"version": True},
        {"payment": {**PAYMENT["payment"], "test": 0}},
        {"payment": [1]},
        {"payment": {}},
    ],
)
def test_a_message_that_fails_one_test_is_not_of_the_format(
    nested: WireFormats, change: dict[str, Any]
) -> None:
    fault = fault_of(nested, {**PAYMENT, **change}).fault
    assert "no wire format matches" in fault
    assert "shop needs payment.id, kind = 'payment', version = 2, no payment.test" in fault
    assert "handbook needs TRANSACTION_ID, TX_DATETIME" in fault


def test_a_tested_value_beyond_any_number_is_not_equal(nested: WireFormats) -> None:
    value = encoded(PAYMENT).replace(b'"version": 2', b'"version": 1e999')
    assert "no wire format matches" in fault_of(nested, value).fault


def test_formats_share_a_topic_in_any_order_of_messages(nested: WireFormats) -> None:
    messages = [PAYMENT, NATIVE, CAPSTONE, HANDBOOK]
    expected = [decoded(load_like(nested), message) for message in messages]
    for order in itertools.permutations(range(4)):
        assert [decoded(nested, messages[index]) for index in order] == [expected[index] for index in order]


def load_like(formats: WireFormats) -> WireFormats:
    return WireFormats([format_.declaration for format_ in formats._formats])


def test_the_first_format_whose_tests_hold_takes_the_message(tmp_path: Path) -> None:
    first = declared('"at"', when='[when]\nhas = ["at"]', more='bank = { fixed = "first" }')
    second = first.replace("one", "two").replace("first", "second")
    message = {"id": "1", "at": "2026-01-01T00:00:00Z"}
    assert decoded(loaded(tmp_path, first, second), message).bank == "first"
    assert decoded(loaded(tmp_path, second, first), message).bank == "second"


def test_a_users_format_comes_before_the_shipped_ones(tmp_path: Path) -> None:
    own = declared('"event_time"', 'bank = { fixed = "Own" }', '[when]\nhas = ["event_time"]')
    own = own.replace('"one"', '"own"').replace('"id"', '"transaction_id"')
    formats = loaded(tmp_path, own, shipped=True)
    assert formats.names == ("own", "native", "capstone", "handbook")
    assert decoded(formats, NATIVE).bank == "Own"


def test_formats_of_contradicting_shapes_share_a_topic(tmp_path: Path) -> None:
    inside = declared('"a.at"', when='[when]\nhas = ["a.at"]')
    plain = declared('"at"', when='[when]\nhas = ["a"]', more='bank = "a"').replace("one", "two")
    formats = loaded(tmp_path, inside, plain)
    for _ in range(2):
        assert decoded(formats, {"id": "1", "at": "2026-01-01T00:00:00Z", "a": "b"}).bank == "b"
        assert decoded(formats, {"id": "1", "a": {"at": "2026-01-01T00:00:00Z"}}).bank is None


@pytest.mark.parametrize(
    ("how", "at"),
    [
        ('{ from = "at", format = "iso8601" }', "2020-10-14T18:26:40Z"),
        ('{ from = "at", format = "iso8601" }', "2020-10-14 20:26:40.000+02:00"),
        ('{ from = "at", format = "iso8601", timezone = "Europe/London" }', "2020-10-14T19:26:40"),
        ('{ from = "at", format = "epoch_seconds" }', 1_602_700_000),
        ('{ from = "at", format = "epoch_seconds" }', "1602700000.0"),
        ('{ from = "at", format = "epoch_milliseconds" }', 1_602_700_000_000),
        ('{ from = "at", format = "epoch_milliseconds" }', "1602700000000"),
        ('{ from = "at", format = "epoch_microseconds" }', 1_602_700_000_000_000),
        ('{ from = "at", format = "%d-%b-%y %I:%M:%S %p", timezone = "UTC" }', "14-Oct-20 06:26:40 PM"),
        ('{ from = "at", format = "%Y%m%d%H%M%S", timezone = "UTC" }', 20_201_014_182_640),
        ('{ from = "at", format = "%Y-%m-%d %H:%M:%S", timezone = "+02:00" }', "2020-10-14 20:26:40"),
        ('{ from = "at", format = "%d.%m.%Y %H:%M:%S.%f %z" }', "14.10.2020 20:26:40.000 +0200"),
        ('{ from = "at", format = "%B %d, %Y at %H:%M:%S%z" }', "October 14, 2020 at 18:26:40Z"),
        ('{ from = "at", format = "%Y-%m-%d %H:%M:%S%z" }', "2020-10-14 13:26:40-05:00"),
        ('{ format = "record" }', None),
    ],
)
def test_times_are_read_in_every_declared_form(tmp_path: Path, how: str, at: object) -> None:
    assert decoded(loaded(tmp_path, declared(how)), {"id": "1", "at": at}).event_time == RECORD_TIME


@pytest.mark.parametrize(
    ("how", "at"),
    [
        ('"at"', "2020-10-14T18:26:40"),
        ('"at"', "2020-10-14"),
        ('"at"', "9999-12-31T23:59:59Z"),
        ('"at"', "0001-01-01T00:00:00+14:00"),
        ('"at"', "1989-12-31T23:59:59Z"),
        ('"at"', "2099-12-31T23:30:00-01:00"),
        ('"at"', "soon"),
        ('"at"', None),
        ('{ from = "at", format = "epoch_seconds" }', 1_602_700_000_000),
        ('{ from = "at", format = "epoch_seconds" }', True),
        ('{ from = "at", format = "epoch_seconds" }', "nan"),
        ('{ from = "at", format = "epoch_seconds" }', 9e307),
        ('{ from = "at", format = "epoch_milliseconds" }', -1),
        ('{ from = "at", format = "%d/%m/%Y %H:%M", timezone = "UTC" }', "30/02/2020 10:00"),
        ('{ from = "at", format = "%Y-%m-%d %H:%M:%S", timezone = "UTC" }', "2020-10-14T18:26:40"),
        ('{ from = "at", format = "%Y-%m-%d %H:%M:%S", timezone = "UTC" }', "2020-13-14 18:26:40"),
        ('{ from = "at", format = "%Y-%m-%d %H:%M:%S", timezone = "UTC" }', 5),
        ('{ from = "at", format = "%y%m%d %I%p", timezone = "UTC" }', "201014 13pm"),
    ],
)
def test_what_is_no_instant_is_refused(tmp_path: Path, how: str, at: object) -> None:
    assert fault_of(loaded(tmp_path, declared(how)), {"id": "1", "at": at}).field == "at"


def test_a_record_without_a_timestamp_has_no_time(shipped: WireFormats) -> None:
    with pytest.raises(InvalidMessage, match="record timestamp"):
        shipped.decode(encoded(CAPSTONE), -1)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.34", "GBP", 1_234),
        (12.34, "GBP", 1_234),
        (0.29, "GBP", 29),
        ("57.160000000000004", "GBP", 5_716),
        (1.1 + 2.2, "GBP", 330),
        (500, "JPY", 500),
        ("500.0", "JPY", 500),
        ("1.234", "KWD", 1_234),
        (1.234, "KWD", 1_234),
        ("7", "XYZ", 700),
        ("12.3", "GBP", 1_230),
        (0, "GBP", 0),
    ],
)
def test_amounts_are_counted_in_the_minor_unit_of_their_currency(
    tmp_path: Path, amount: object, currency: str, minor: int
) -> None:
    more = 'amount_minor = { from = "sum", unit = "major" }\ncurrency = "currency"'
    formats = loaded(tmp_path, declared('{ format = "record" }', more))
    assert decoded(formats, {"id": "1", "sum": amount, "currency": currency}).amount_minor == minor


@settings(deadline=None)
@given(st.integers(0, 2**40))
def test_an_amount_survives_being_written_as_a_decimal_number(minor: int) -> None:
    text = f"{minor // 100}.{minor % 100:02}"
    formats = load_wire_formats([])
    for amount in (text, float(text)):
        assert decoded(formats, {**HANDBOOK, "TX_AMOUNT": amount}).amount_minor == minor


@pytest.mark.parametrize(
    "amount",
    [
        *(-1, "-1", -0.01, 12.345, "12.345", "1,234", "NaN", "1e3", "", " ", "٣"),
        *(2**53, 1e300, 10**400, True, [], {}, "1" * 300),
    ],
    ids=lambda it: str(it)[:20],
)
def test_what_is_no_amount_is_refused(tmp_path: Path, amount: object) -> None:
    more = 'amount_minor = { from = "sum", unit = "major" }\ncurrency = { fixed = "GBP" }'
    formats = loaded(tmp_path, declared('{ format = "record" }', more))
    assert fault_of(formats, {"id": "1", "sum": amount}).field == "sum"


@pytest.mark.parametrize(
    ("amount", "minor"), [("12.345", 1_234), (12.355, 1_236), ("0.015", 2), ("0.025", 2)]
)
def test_surplus_decimals_are_rounded_where_the_format_says_so(
    tmp_path: Path, amount: object, minor: int
) -> None:
    more = 'amount_minor = { from = "sum", unit = "major", round = true }\ncurrency = { fixed = "GBP" }'
    formats = loaded(tmp_path, declared('{ format = "record" }', more))
    assert decoded(formats, {"id": "1", "sum": amount}).amount_minor == minor


def test_symbols_choose_the_currency_and_the_longest_wins(tmp_path: Path) -> None:
    more = 'amount_minor = { from = "sum", unit = "major", symbols = { "$" = "USD", "$U" = "UYU" } }'
    formats = loaded(tmp_path, declared('{ format = "record" }', more))
    currencies = [decoded(formats, {"id": "1", "sum": text}).currency for text in ("$5", "$U5")]
    assert currencies == ["USD", "UYU"]
    assert "expected one of the symbols" in fault_of(formats, {"id": "1", "sum": "5"}).fault


def test_symbols_may_stand_before_minor_units_and_beside_a_default(tmp_path: Path) -> None:
    more = 'amount_minor = { from = "sum", unit = "minor", symbols = { "$" = "USD" } }\ncurrency = "in"'
    formats = loaded(tmp_path, declared('{ format = "record" }', more))
    for message, expected in (
        ({"sum": "$5"}, (5, "USD")),
        ({"sum": 7, "in": "EUR"}, (7, "EUR")),
        ({"in": "EUR"}, (None, "EUR")),
    ):
        transaction = decoded(formats, {"id": "1", **message})
        assert (transaction.amount_minor, transaction.currency) == expected
    for message in ({"sum": 7}, {"sum": "$0.5"}, {"sum": "$"}, {"sum": 7.5, "in": "EUR"}):
        assert fault_of(formats, {"id": "1", **message}).field == "sum"


def test_a_currency_may_come_without_an_amount(tmp_path: Path) -> None:
    formats = loaded(tmp_path, declared('{ format = "record" }', 'currency = "in"'))
    assert decoded(formats, {"id": "1", "in": "EUR"}).currency == "EUR"


def test_one_value_may_fill_fields_of_different_kinds(tmp_path: Path) -> None:
    more = (
        'amount_minor = { from = "x", unit = "major" }\ncurrency = { fixed = "GBP" }\nage = "x"\nhour = "x"\n'
        'bank = "x"\nlabel = { from = "x", values = { "7" = "fraud", "true" = "fraud" } }'
    )
    formats = loaded(tmp_path, declared('{ format = "record" }', more))
    transaction = decoded(formats, {"id": "1", "x": 7})
    assert (transaction.amount_minor, transaction.age, transaction.hour, transaction.bank) == (
        700,
        7.0,
        7,
        "7",
    )
    for value in (True, 7.5, "7.x", [7], 10**30):
        assert fault_of(formats, {"id": "1", "x": value}).field == "x"


def test_yes_and_no_may_be_words(tmp_path: Path) -> None:
    formats = loaded(tmp_path, declared('{ format = "record" }', '[attributes]\nfirst = "f"\nshare = "s"'))
    attributes = decoded(formats, {"id": "1", "f": True, "s": 0.5}).attributes
    assert attributes == {"first": "true", "share": "0.5"}
    assert decoded(formats, {"id": "1"}).attributes is None


# Anything at all


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "is empty"),
        (b"", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (b'{"transaction_id": "1", "event_time": "2026-01-01T00:00:00Z", "x": "\xa3"}', "is not UTF-8"),
        (b"hello", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"[]", "expected an object"),
        (b"null", "expected an object"),
        (b'{"transaction_id": "\\ud800", "event_time": 1}', "is not JSON"),
        (b'{"a": NaN}', "is not JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"{}", "no wire format matches"),
    ],
    ids=lambda it: str(it)[:30],
)
def test_what_is_no_message_is_refused_with_its_reason(
    shipped: WireFormats, value: bytes | None, fault: str
) -> None:
    error = fault_of(shipped, value)
    assert fault in error.fault
    assert error.field == ""


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"transaction_id": ""}, "transaction_id"),
        ({"transaction_id": None}, "transaction_id"),
        ({"transaction_id": {}}, "transaction_id"),
        ({"transaction_id": 1.5}, "transaction_id"),
        ({"transaction_id": "x" * 257}, "transaction_id"),
        ({"amount_minor": 1.5}, "amount_minor"),
        ({"amount_minor": -1}, "amount_minor"),
        ({"currency": "gbp"}, "currency"),
        ({"currency": None}, "currency"),
        ({"age": 151}, "age"),
        ({"age": "1_0"}, "age"),
        ({"age": "old"}, "age"),
        ({"age": "inf"}, "age"),
        ({"hour": 25}, "hour"),
        ({"hour": "7am"}, "hour"),
        ({"label": "maybe"}, "label"),
        ({"bank": True}, "bank"),
        ({"attributes": {"a": 1}}, "attributes[...]"),
        ({"card_id": "x" * 65}, "card_id"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_and_its_field_named(
    shipped: WireFormats, change: dict[str, object], field: str
) -> None:
    assert fault_of(shipped, {**NATIVE, **change}).field == field


def test_a_fault_shows_the_value_shortened(shipped: WireFormats) -> None:
    fault = fault_of(shipped, {**NATIVE, "label": "maybe" * 40}).fault
    assert "maybe" in fault
    assert len(fault) < 120


def test_unknown_and_doubled_fields_are_no_fault(shipped: WireFormats) -> None:
    value = encoded({**NATIVE, "new": {"field": [1]}})[:-1] + b', "card_id": "second"}'
    assert shipped.decode(value, 0).card_id == "second"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({*NATIVE, *CAPSTONE, *HANDBOOK, *PAYMENT, "age", "hour", "label", "attributes"})


def attempt(formats: WireFormats, value: bytes, timestamp_ms: int = RECORD_MS) -> Transaction | str:
    try:
        transaction = formats.decode(value, timestamp_ms)
    except InvalidMessage as error:
        return str(error)
    assert transaction.transaction_id
    assert transaction.event_time.tzinfo is UTC
    assert transaction.amount_minor is None or (transaction.amount_minor >= 0 and transaction.currency)
    return transaction


@pytest.fixture(scope="module")
def all_formats(tmp_path_factory: pytest.TempPathFactory) -> WireFormats:
    return loaded(tmp_path_factory.mktemp("formats"), NESTED, shipped=True)


@settings(deadline=None)
@given(value=st.binary(), timestamp_ms=st.integers(-(2**63), 2**63 - 1))
def test_any_bytes_give_a_transaction_or_a_fault(
    all_formats: WireFormats, value: bytes, timestamp_ms: int
) -> None:
    attempt(all_formats, value, timestamp_ms)


@settings(deadline=None)
@given(message=st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_any_json_gives_a_transaction_or_a_fault(
    all_formats: WireFormats, message: dict[str, object]
) -> None:
    attempt(all_formats, json.dumps(message).encode())


@settings(deadline=None)
@given(
    base=st.sampled_from([NATIVE, CAPSTONE, HANDBOOK, PAYMENT]),
    field=st.integers(0, 30),
    value=json_values,
    warm=st.sampled_from([NATIVE, CAPSTONE, HANDBOOK, PAYMENT]),
)
def test_one_changed_field_gives_the_same_answer_whatever_came_before(
    all_formats: WireFormats, base: dict[str, Any], field: int, value: object, warm: dict[str, Any]
) -> None:
    message = json.dumps({**base, list(base)[field % len(base)]: value}).encode()
    attempt(all_formats, encoded(warm))
    after_another = attempt(all_formats, message)
    assert attempt(all_formats, message) == after_another
    assert attempt(load_like(all_formats), message) == after_another


@settings(deadline=None)
@given(
    base=st.sampled_from([NATIVE, CAPSTONE, HANDBOOK, PAYMENT]),
    at=st.integers(0, 400),
    cut=st.integers(0, 3),
    put=st.binary(max_size=3),
)
def test_flipped_bytes_give_a_transaction_or_a_fault(
    all_formats: WireFormats, base: dict[str, Any], at: int, cut: int, put: bytes
) -> None:
    value = encoded(base)
    attempt(all_formats, value[:at] + put + value[at + cut :])


# Card data


@pytest.mark.parametrize("field", ["transaction_id", "card_id", "unknown", "bank", "merchant_group"])
@pytest.mark.parametrize("number", ["4111111111111111", "4111 1111 1111 1111", 4111111111111111])
def test_a_card_number_in_any_field_is_refused_masked(
    shipped: WireFormats, field: str, number: object
) -> None:
    for message in ({**NATIVE, field: number}, {**NATIVE, "outer": {field: [number]}}):
        error = fault_of(shipped, message)
        assert field in error.field
        assert "1111 1111" not in str(error).replace("**** 1111", "")
        assert "41111111" not in str(error)


def test_a_verification_value_is_refused(shipped: WireFormats) -> None:
    assert fault_of(shipped, {**NATIVE, "card": {"CVV2": "123"}}).field == "card.CVV2"


def test_a_declared_time_in_quotes_is_not_taken_for_a_card_number(tmp_path: Path) -> None:
    how = '{ from = "sent.at", format = "epoch_milliseconds" }'
    formats = loaded(tmp_path, declared(how))
    luhn = "1522540831007"
    assert decoded(formats, {"id": "1", "sent": {"at": luhn}}).event_time.year == 2018
    assert fault_of(formats, {"id": "1", "sent": {"at": luhn}, "other": luhn}).field == "other"


def test_an_id_that_may_look_like_a_card_number_can_be_let_through(tmp_path: Path) -> None:
    text = declared('{ format = "record" }').replace('"id"', '{ from = "id", screen = false }')
    assert decoded(loaded(tmp_path, text), {"id": "4111111111111111"}).transaction_id == "4111111111111111"
    assert fault_of(loaded(tmp_path, text), {"id": "1", "no": "4111111111111111"}).field == "no"


def test_card_ids_are_hashed_where_a_key_is_set() -> None:
    key = b"a key of sixteen bytes"
    formats = load_wire_formats([], card_hash_key=key)
    token = card_hasher(key)("4111111111111111")
    assert token.startswith("h:")
    assert len(token) == 34
    for number in ("4111111111111111", "4111-1111-1111-1111", 4111111111111111):
        assert decoded(formats, {**NATIVE, "card_id": number}).card_id == token
    assert decoded(formats, {**NATIVE, "card_id": "x" * 65}).card_id == card_hasher(key)("x" * 65)
    assert decoded(formats, NATIVE).card_id == "tok_5b1e9a"
    assert card_hasher(b"another key of sixteen")("4111111111111111") != token


def test_a_customer_id_from_the_cards_field_is_hashed_with_it() -> None:
    formats = load_wire_formats([], card_hash_key=b"a key of sixteen bytes")
    transaction = decoded(formats, {**HANDBOOK, "CUSTOMER_ID": "4111111111111111"})
    assert transaction.customer_id == transaction.card_id
    assert transaction.card_id is not None
    assert transaction.card_id.startswith("h:")


def test_a_short_hash_key_is_refused() -> None:
    with pytest.raises(InvalidWireFormat, match="16 bytes"):
        load_wire_formats([], card_hash_key=b"short")


# Wrong files


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('name = "x"\nnope = 1', 2, "unknown key 'nope'"),
        ('name = "x"\n[fields', 2, "is not TOML"),
        ('name = "Shop!"', 1, "needs a name"),
        (declared('"at"', 'colour = "c"'), 6, "unknown field 'colour'; known are age, amount_minor"),
        (declared('{ from = "at", form = "x" }'), 5, "unknown option 'form' of event_time; known are"),
        (declared('{ from = "at", format = "epoch" }'), 5, "unknown time format 'epoch'"),
        (declared('{ from = "at", format = "%d %H", timezone = "UTC" }'), 5, "has no year (%Y or %y)"),
        (declared('{ from = "at", format = "%Y-%m-%d %H:%M" }'), 5, "say which timezone"),
        (declared('{ from = "at", format = "%Y-%m-%d %H:%Q", timezone = "UTC" }'), 5, "%Q is not understood"),
        (declared('{ from = "at", format = "%Y-%m-%d %I", timezone = "UTC" }'), 5, "%I and %p go together"),
        (declared('{ from = "at", format = "%Y-%m-%d %H %H", timezone = "UTC" }'), 5, "stands there twice"),
        (declared('{ from = "at", timezone = "Mars/Olympus" }'), 5, "unknown timezone 'Mars/Olympus'"),
        (declared('{ from = "at", format = "epoch_seconds", timezone = "UTC" }'), 5, "takes no timezone"),
        (declared('{ from = "at", format = "record" }'), 5, "takes no other option"),
        (declared("{ }"), 5, "event_time needs from"),
        (declared('"a..b"'), 5, "expected a path"),
        (declared("5"), 5, "needs a path in quotes or a table"),
        (declared('"at"', 'amount_minor = { from = "a" }'), 6, "needs unit = 'major'"),
        (declared('"at"', 'amount_minor = { from = "a", unit = "cents" }'), 6, "bad unit 'cents'"),
        (declared('"at"', 'amount_minor = { from = "a", unit = "minor" }'), 6, "needs a currency"),
        (declared('"at"', 'currency = { fixed = "pounds" }'), 6, "'pounds' is no currency code"),
        (declared('"at"', 'amount_minor = { from = "a", symbols = { "£" = 1 } }'), 6, "symbols"),
        (declared('"at"', 'label = { from = "l", values = { "1" = "bad" } }'), 6, "'fraud' or 'genuine'"),
        (declared('"at"', 'bank = { from = "b", values = { "1" = 2 } }'), 6, "must stand for a text"),
        (declared('"at"', 'bank = { from = "b", missing = "" }'), 6, "missing of bank must be a list"),
        (declared('"at"', 'bank = { from = "b", fixed = "c" }'), 6, "bank needs from or fixed (one of them)"),
        (declared('"at"', '[fields.bank]\nfrom = "b"\nothers = "drop"'), 8, "bad others 'drop'"),
        (declared('"at"', 'bank = "at.zone"'), 6, "'at' is used as a value and as an object"),
        (declared('"at"', 'card_id = "c"\nbank = "c"'), 7, "the card id may be read into no other field"),
        (declared('"at"', '[attributes]\nx = 1'), 7, "expected a path"),
        (declared('"at"', when='[when]\nequals = ["a"]'), 3, "equals must be a table"),
        (declared('"at"', when='[when]\nhas = [""]'), 3, "expected a path"),
        (declared('"at"', 'currency = { from = "c", values = { "1" = "quid" } }'), 6, "'quid' is no"),
        (declared('"at"', 'attributes = "x"\nbank = "x"'), 7, "an object of attributes"),
        (declared('"at"', when="missing = [1]"), 2, "missing must be a list of texts"),
        (declared('"at"', when='[when]\nmaybe = ["a"]'), 3, "unknown test 'maybe'"),
        (declared('"at"', when='[when]\nhas = "a"'), 3, "has must be a list"),
        (declared('"at"', when='[when]\nequals = { "a" = 1.5 }'), 3, "must equal a text"),
        ('name = "x"\n[fields]\ntransaction_id = "id"', 2, "missing field event_time"),
        ('name = "x"\n[fields]\ntransaction_id = { template = "{a" }', 3, "template needs paths"),
        ('fields = 3\nname = "x"', 1, "fields must be a table"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_line_and_reason(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    with pytest.raises(InvalidWireFormat) as caught:
        loaded(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'format0.toml'}:{line}: ")
    assert reason in message
    assert "\n" not in message


def test_two_formats_may_not_have_one_name(tmp_path: Path) -> None:
    text = declared(when='[when]\nhas = ["at"]').replace("one", "native")
    with pytest.raises(InvalidWireFormat, match=r"the name 'native' is taken by .*format0\.toml"):
        loaded(tmp_path, text, shipped=True)


def test_a_format_that_takes_everything_may_not_stand_before_others(tmp_path: Path) -> None:
    with pytest.raises(InvalidWireFormat, match="'native' would never be used"):
        loaded(tmp_path, declared(), shipped=True)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidWireFormat, match=r"absent\.toml:1: cannot be read: No such file"):
        load_wire_formats([tmp_path / "absent.toml"])
    (tmp_path / "bad.toml").write_bytes(b"name = '\xa3'")
    with pytest.raises(InvalidWireFormat, match="is not UTF-8"):
        load_wire_formats([tmp_path / "bad.toml"])


def test_no_format_at_all_is_refused() -> None:
    with pytest.raises(InvalidWireFormat, match="no wire format"):
        load_wire_formats([], shipped=False)


# Samples


def test_a_sample_tells_what_became_of_each_message(shipped: WireFormats) -> None:
    lines = [encoded(NATIVE) + b"\n", b"\n", encoded({**CAPSTONE, "amount": "?"}), b"{}"]
    first, second, third = describe_sample(shipped, lines, RECORD_MS)
    assert (first.number, first.wire_format, first.fault) == (1, "native", "")
    assert first.transaction is not None
    assert first.transaction["event_time"] == "2026-03-14T20:07:45.250000Z"
    assert "bank" in first.missing
    assert "card_id" not in first.missing
    assert (second.number, second.wire_format, second.field) == (2, "capstone", "amount")
    assert (third.wire_format, third.transaction) == (None, None)
    assert "no wire format matches" in third.fault


# The developers' data


def shared(name: str) -> Path:
    if not (SHARED / name).exists():
        pytest.skip(f"{name} is not in this checkout: its licence is unstated")
    return SHARED / name


def capstone_rows(name: str, encoding: str) -> Iterator[dict[str, str]]:
    with shared(name).open(encoding=encoding, newline="") as file:
        yield from csv.DictReader(file)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "encoding", "rows"),
    [
        ("CreditCardData-13-Oct-20.csv", "utf-8-sig", 49_814),
        ("CreditCardData-latin1-2429.csv", "latin-1", 2_429),
    ],
)
@pytest.mark.parametrize("write", [json.dumps, encoded], ids=["escaped", "utf-8"])
def test_every_capstone_row_decodes(
    shipped: WireFormats, name: str, encoding: str, rows: int, write: Callable[[object], str | bytes]
) -> None:
    counts: Counter[str] = Counter()
    for row in capstone_rows(name, encoding):
        message = json.loads(shipped.encode_row(row))
        value = write(message)
        try:
            transaction = shipped.decode(value.encode() if isinstance(value, str) else value, RECORD_MS)
        except InvalidMessage as error:
            counts[str(error)] += 1
            continue
        counts["decoded"] += 1
        assert transaction.transaction_id == message["transaction_id"]
        assert (transaction.amount_minor is None) == (message["amount"] == "")
        assert transaction.label == (LabelValue.FRAUD if message["fraud"] == "1" else LabelValue.GENUINE)
        assert 0 <= (transaction.hour or 0) <= 23
    assert counts == {"decoded": rows}


@pytest.mark.shared_data
@pytest.mark.slow
def test_every_handbook_row_decodes(shipped: WireFormats) -> None:
    decoded_rows = frauds = total_minor = 0
    with gzip.open(shared("handbook-2018-04-to-06.csv.gz"), "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            transaction = shipped.decode_row(row, 0)
            decoded_rows += 1
            frauds += transaction.label is LabelValue.FRAUD
            total_minor += transaction.amount_minor or 0
            assert transaction.card_id == row["CUSTOMER_ID"]
            assert transaction.event_time.replace(tzinfo=None).isoformat(" ") == row["TX_DATETIME"]
            assert transaction.amount_minor == int(
                msgspec.convert(row["TX_AMOUNT"], float, strict=False) * 100 + 0.5
            )
    assert decoded_rows == 872_795
    assert 0 < frauds < decoded_rows * 0.02
    assert total_minor > 0
