"""Card numbers and verification values are found wherever they hide, and little else is taken for them."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.core.card_numbers import (
    contains_card_number,
    is_code_field,
    is_suspect,
    passes_luhn,
    refuse_card_data,
)
from fraudstream.core.masking import mask_card_numbers
from fraudstream.errors import InvalidMessage

VISA, AMEX, LONG = "4111111111111111", "378282246310005", "6304000000000000000"


def luhn_by_the_book(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


@st.composite
def card_numbers(draw: st.DrawFn, least: int = 13) -> str:
    body = draw(st.text("0123456789", min_size=least - 1, max_size=18))
    return next(body + check for check in "0123456789" if luhn_by_the_book(body + check))


def grouped(number: str, separator: str) -> str:
    return separator.join(number[start : start + 4] for start in range(0, len(number), 4))


def refused(message: object) -> InvalidMessage | None:
    value = message if isinstance(message, bytes) else json.dumps(message).encode()
    try:
        if is_suspect(value):
            refuse_card_data(value)
    except InvalidMessage as error:
        return error
    return None


@settings(deadline=None)
@given(st.text("0123456789", min_size=1, max_size=30))
def test_luhn_agrees_with_the_sum_done_by_hand(digits: str) -> None:
    assert passes_luhn(digits.encode()) == luhn_by_the_book(digits)


@settings(deadline=None)
@given(
    card_numbers(),
    st.sampled_from(["", " ", "-", " - "]),
    st.sampled_from(["", "card ", "PAN:", "(", "£", "n°"]),
)
def test_a_card_number_is_found_in_any_text_and_grouping(number: str, separator: str, before: str) -> None:
    error = refused({"outer": [{"note": before + grouped(number, separator)}]})
    assert error is not None
    assert error.field == "outer[0].note"
    assert number not in str(error)


@settings(deadline=None)
@given(card_numbers(least=14))
def test_a_card_number_is_found_as_a_bare_json_number(number: str) -> None:
    if not number.startswith("0"):
        assert refused(f'{{"n": {number}}}'.encode()) is not None


@pytest.mark.parametrize(
    "text", ["3782 822463 10005", "3056 930902 5904", "630400 0000000000000", "4222 222 222 222"]
)
def test_the_groupings_printed_on_cards_are_found(text: str) -> None:
    assert contains_card_number(text)


def test_a_field_named_like_a_card_number_is_refused() -> None:
    assert refused({"by_card": {VISA: 1}}) is not None


def test_a_card_number_written_in_unicode_escapes_is_found() -> None:
    escaped = "".join(f"\\u{ord(digit):04x}" for digit in VISA)
    assert refused(f'{{"note": "{escaped}"}}'.encode()) is not None


def test_a_card_number_hidden_behind_a_second_field_of_the_same_name_is_found() -> None:
    assert refused(f'{{"note": "{VISA}", "note": "nothing"}}'.encode()) is not None


@pytest.mark.parametrize(
    "message",
    [
        {"id": "4111111111111112"},
        {"id": "41111111111111110000000"},
        {"id": "9c8e4111111111111111ab0f7d2e5c61"},
        {"id": "550e8400-e29b-41d4-a716-446655440000"},
        {"amount": 57.160000000000004, "share": "0.4111111111111111"},
        {"at": 1522540831007},
        {"at": 1522540831007, "sent": 1522540831007},
        {"at": 1522540831007, "note": "\u00a3"},
        {"at": "2018-04-01T00:00:31.123456+00:00"},
        {"phone": "+44 20 7946 0958"},
        {"entry_mode": "CVC"},
    ],
    ids=str,
)
def test_what_only_looks_like_a_card_number_is_let_through(message: object) -> None:
    assert refused(message) is None


@pytest.mark.parametrize(
    "note", [", 1522540831007,", '": 1522540831007,', '\\": 1522540831007,', "[1522540831007]"]
)
def test_digits_in_a_text_are_no_bare_time(note: str) -> None:
    assert refused({"note": note}) is not None
    assert b"1522540831007" not in mask_card_numbers(json.dumps({"note": note}).encode())


def test_a_time_in_quotes_that_passes_luhn_is_refused_unless_it_is_declared() -> None:
    value = b'{"sent": {"at": "1522540831007"}}'
    assert luhn_by_the_book("1522540831007")
    with pytest.raises(InvalidMessage, match=r"sent\.at"):
        refuse_card_data(value)
    refuse_card_data(value, frozenset({"sent.at"}))


@pytest.mark.parametrize(
    "name",
    [
        *("cvv", "CVV2", "cvc", "Cvc2", "card_cvv", "cardCvc", "CVV Code", "csc", "security_code"),
        *("card_verification_value", "card-verification-code", "cardVerificationNumber", "cvn"),
    ],
)
def test_a_verification_value_is_refused_under_any_spelling(name: str) -> None:
    error = refused({"card": {name: "123"}})
    assert error is not None
    assert error.field == f"card.{name}"
    assert "123" not in str(error)


def test_a_verification_value_under_an_escaped_name_is_refused() -> None:
    assert refused(rb'{"\u0063vv": "123"}') is not None


@pytest.mark.parametrize(
    "name", ["cvv_result", "cvc_match", "card_verification_result", "zip_code", "service_code"]
)
def test_the_outcome_of_a_check_is_no_verification_value(name: str) -> None:
    assert not is_code_field(name)
    assert refused({name: "M"}) is None


@pytest.mark.parametrize("value", [None, "", True, False])
def test_an_empty_verification_field_is_let_through(value: object) -> None:
    assert refused({"cvv": value}) is None


def test_what_is_not_json_is_a_fault_of_the_message() -> None:
    with pytest.raises(InvalidMessage, match="is not JSON"):
        refuse_card_data(b"4111111111111111 {")


def test_a_number_that_an_escape_makes_longer_is_masked_as_a_whole() -> None:
    # Thirteen digits pass Luhn, and so do the seventeen that the raw text shows.
    assert mask_card_numbers(rb"\u00004222222222222") == b"\\u" + b"*" * 13 + b"2222"


def test_a_document_nested_too_deeply_is_a_fault_of_the_message() -> None:
    with pytest.raises(InvalidMessage, match="nested too deeply"):
        refuse_card_data(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@pytest.mark.parametrize(
    ("given_", "masked"),
    [
        (b'{"a": "4111 1111 1111 1111"}', b'{"a": "**** **** **** 1111"}'),
        (b'{"a": 378282246310005}', b'{"a": ***********0005}'),
        (b'\xff\xfe not json 4111111111111111', b'\xff\xfe not json ************1111'),
        (b'{"payment": {"cvv": "123", "x": 1}}', b'{"payment": {"cvv": "***", "x": 1}}'),
        (b'{"CVC2" : 123}', b'{"CVC2" : ***}'),
        (b'{"cvv": ["123", 45]}', b'{"cvv": ["***", **]}'),
        (b'{"cvv": "123', b'{"cvv": "***'),
        (b"pan=4111111111111111&cvv=123", b"pan=************1111&cvv=***"),
        (rb'{"a": "\u0034111111111111111"}', b'{"a": "************1111"}'),
        (rb'{"a": "\u00a34111111111111111"}', rb'{"a": "\u00a3************1111"}'),
    ],
)  # fmt: skip
def test_masking_hides_numbers_and_values(given_: bytes, masked: bytes) -> None:
    assert mask_card_numbers(given_) == masked


@settings(deadline=None)
@given(st.binary())
def test_masking_never_fails_and_is_done_once(value: bytes) -> None:
    once = mask_card_numbers(value)
    assert mask_card_numbers(once) == once


@settings(deadline=None)
@given(st.binary())
def test_masking_leaves_no_card_number(value: bytes) -> None:
    assert not contains_card_number(mask_card_numbers(value + b" " + VISA.encode()))


@pytest.mark.parametrize(
    "value", [b'{"at": 1522540831007, "cvv_result": "M"}', b"", b'{"a": "\xff"}', b'{"a": "\\u00a35"}']
)
def test_what_holds_no_card_data_comes_back_byte_for_byte(value: bytes) -> None:
    assert mask_card_numbers(value) == value


@settings(deadline=None)
@given(card_numbers(least=14), st.sampled_from([json.dumps, lambda it: json.dumps(it, indent=1)]))
def test_what_is_refused_is_let_through_once_it_is_masked(
    number: str, write: Callable[[object], str]
) -> None:
    value = write({"a": {"note": grouped(number, "-")}, "cvc": "123"}).encode()
    masked = mask_card_numbers(value).replace(b'"cvc"', b'"c"')
    assert refused(value) is not None
    assert refused(masked) is None
