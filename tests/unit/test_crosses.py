"""Keys of circumstances: which fields they need, that they are stable, and what is remembered of them."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.core import crosses
from fraudstream.core.crosses import circumstances, cross_keys, price_class
from fraudstream.core.terms import CROSS_TERMS, TERM_OF, TERMS
from tests.model_building import street_purchase, transaction


def names(keys: tuple[int, ...]) -> set[str]:
    return {TERMS[TERM_OF[key]].name for key in keys}


def test_a_street_purchase_has_one_key_of_every_cross() -> None:
    assert names(cross_keys(street_purchase())) == {term.name for term in CROSS_TERMS}


def test_a_card_transaction_without_circumstances_has_no_cross() -> None:
    assert cross_keys(transaction()) == ()


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        ({"amount_minor": None}, 4),
        ({"merchant_group": ""}, 4),
        ({"merchant_group": None}, 4),
        ({"gender": ""}, 5),
        ({"bank": None}, 2),
        ({"residence_country": None}, 1),
        ({"hour": None}, 0),
    ],
)
def test_a_missing_field_drops_the_crosses_that_hold_it_and_no_other(
    missing: dict[str, object], lost: int
) -> None:
    assert len(cross_keys(street_purchase(**missing))) == len(CROSS_TERMS) - lost


def test_without_hour_and_countries_only_the_purchase_itself_is_left() -> None:
    bare = street_purchase(hour=None, transaction_country=None, shipping_country=None, residence_country=None)
    assert names(cross_keys(bare)) == {"price * entry_mode * merchant_group"}


def test_no_cross_goes_without_all_of_the_fields_that_scoring_looks_at_first() -> None:
    # ``keys_of`` asks for no cross where these four are missing.
    fields = ("entry_mode", "hour", "transaction_country", "residence_country")
    assert cross_keys(street_purchase(**dict.fromkeys(fields))) == ()


@pytest.mark.parametrize(
    ("changes", "marks"),
    [
        ({}, "nnnn"),
        ({"hour": 6}, "ynnn"),
        ({"hour": 7}, "nnnn"),
        ({"hour": None}, "?nnn"),
        ({"transaction_country": "India"}, "nyyn"),
        ({"shipping_country": "India"}, "nyny"),
        ({"residence_country": "India"}, "nnyy"),
        ({"shipping_country": ""}, "n?n?"),
    ],
)
def test_circumstances_mark_night_and_each_mismatch_of_countries(
    changes: dict[str, object], marks: str
) -> None:
    assert circumstances(street_purchase(**changes)) == marks


def test_prices_are_classed_in_major_units_of_their_currency() -> None:
    edges = [price_class(minor, "GBP") for minor in (0, 999, 1_000, 29_999, 30_000)]
    assert edges == [0, 0, 1, 8, 9]
    assert price_class(1_000, "JPY") == 9
    assert price_class(1_000, None) == 1
    assert price_class(None, "GBP") is None


@given(st.text(), st.text(), st.one_of(st.none(), st.text()))
def test_any_text_has_keys_within_the_range_of_its_cross(group: str, bank: str, gender: str | None) -> None:
    keys = cross_keys(street_purchase(merchant_group=group, bank=bank, gender=gender))
    assert all(TERMS[TERM_OF[key]].is_cross for key in keys)
    assert len({TERM_OF[key] for key in keys}) == len(keys)


def test_keys_do_not_depend_on_what_was_seen_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosses, "_MOST_REMEMBERED", 3)
    for cross in crosses._CROSSES:
        cross.key_of.clear()
    before = cross_keys(street_purchase())
    for number in range(50):
        cross_keys(street_purchase(merchant_group=f"invented {number}"))

    assert cross_keys(street_purchase()) == before
    assert all(len(cross.key_of) <= 3 for cross in crosses._CROSSES)


def test_another_process_finds_the_same_keys() -> None:
    program = (
        "from tests.model_building import street_purchase\n"
        "from fraudstream.core.crosses import cross_keys\n"
        "print(*cross_keys(street_purchase()))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": "."},
    ).stdout
    assert tuple(map(int, printed.split())) == cross_keys(street_purchase())
