"""Who may overrule whom, and how sources are named."""

import pytest

from fraudstream.core.label_sources import STANDINGS, check_source_text, matches, overruled_by, source_name
from fraudstream.core.labels import KnownLabel, LabelOutcome, judge_label, presumed_label
from fraudstream.core.messages import Label, LabelPosition, LabelSource, LabelValue, Position
from fraudstream.errors import InvalidInput
from tests.model_building import NOON, example

ANALYST, CHARGEBACK, CUSTOMER, PRESUMED = LabelSource


def label(source: LabelSource, value: str = "fraud", by: str | None = None) -> Label:
    return Label(label=LabelValue(value), source=source, labelled_at=NOON, transaction_id="t", labelled_by=by)


def known(source: LabelSource, value: str = "genuine", by: str | None = None) -> KnownLabel:
    return KnownLabel(LabelValue(value), LabelPosition(0, 5), source, by)


def test_every_kind_of_source_has_a_standing() -> None:
    assert set(STANDINGS) == set(LabelSource)


@pytest.mark.parametrize("later", LabelSource)
@pytest.mark.parametrize("earlier", LabelSource)
def test_a_contradiction_corrects_unless_the_earlier_word_stands(
    later: LabelSource, earlier: LabelSource
) -> None:
    stands = {PRESUMED: 0, CUSTOMER: 1, ANALYST: 2, CHARGEBACK: 2}
    outcome = judge_label(label(later), LabelPosition(1, 0), known(earlier))
    expected = stands[later] >= stands[earlier]
    assert outcome is (LabelOutcome.CORRECTED if expected else LabelOutcome.OVERRULED)
    assert (earlier in overruled_by(later)) is expected


def test_a_second_source_that_says_the_same_confirms_and_the_same_one_repeats() -> None:
    at = LabelPosition(1, 0)
    assert judge_label(label(ANALYST, by="bo"), at, known(ANALYST, "fraud", "ada")) is LabelOutcome.CONFIRMED
    assert judge_label(label(CHARGEBACK), at, known(ANALYST, "fraud")) is LabelOutcome.CONFIRMED
    assert judge_label(label(ANALYST, by="ada"), at, known(ANALYST, "fraud", "ada")) is LabelOutcome.REPEATED


def test_a_label_that_comes_again_is_accepted_and_an_older_one_superseded() -> None:
    assert judge_label(label(ANALYST), LabelPosition(0, 5), known(ANALYST)) is LabelOutcome.ACCEPTED
    assert judge_label(label(ANALYST), LabelPosition(0, 4), known(ANALYST)) is LabelOutcome.SUPERSEDED


def test_presuming_twice_teaches_nothing() -> None:
    again = presumed_label(Position(1, 0, 3), NOON)
    outcome = judge_label(again, LabelPosition(0, 9), known(PRESUMED))
    assert outcome is LabelOutcome.REPEATED
    assert again.position == Position(1, 0, 3)


@pytest.mark.parametrize(
    ("text", "matched"),
    [
        ("analyst", True),
        ("analyst:ada", True),
        (":ada", True),
        ("ada", True),
        ("chargeback", False),
        ("chargeback:ada", False),
        ("analyst:bo", False),
        (":bo", False),
        ("bo", False),
    ],
)
def test_a_source_is_matched_by_kind_by_name_or_by_both(text: str, matched: bool) -> None:
    assert matches(example(0, labelled_by="ada"), text) is matched
    assert check_source_text(text) == text


def test_a_kind_matches_labels_without_a_name_and_a_name_does_not() -> None:
    assert matches(example(0), "analyst")
    assert not matches(example(0), ":ada")
    assert source_name(ANALYST, None) == "analyst"


@pytest.mark.parametrize("text", ["", ":", "analysts:ada"])
def test_a_text_that_can_match_nobody_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        check_source_text(text)
