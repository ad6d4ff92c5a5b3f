"""Histories, means, look tables and terminal risks: what folding, labels and corrections do, and rows of
them."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.core.features import observe
from fraudstream.core.history import LEAST_MEAN, CardHistory, CurrencyMeans, place_of
from fraudstream.core.look_tables import LookTables
from fraudstream.core.looks import look
from fraudstream.core.risk import LABEL_FRAUD, LABEL_GENUINE, NEVER, EntityRisk, correct_label, note_label
from fraudstream.errors import InvalidMessage
from tests.model_building import DAY

finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**40)
places = st.text(st.characters(min_codepoint=0x10000, max_codepoint=0x1FFFF), max_size=16)
histories = st.builds(
    CardHistory, counts, counts, finite, finite, finite, finite, finite, *[finite] * 4, places, finite
)
means = st.builds(CurrencyMeans, counts, finite, counts, finite)
risks = st.builds(
    EntityRisk, finite, finite, finite, counts, counts, counts, finite, finite, finite, finite, finite
)
labels = st.lists(
    st.tuples(st.floats(0, 60 * DAY), st.floats(0, 40), st.floats(0, 40), st.booleans()), max_size=30
)


@pytest.mark.parametrize(
    ("kind", "states"), [(CardHistory, histories), (CurrencyMeans, means), (EntityRisk, risks)]
)
def test_a_state_comes_back_from_its_row_through_any_encoding(kind: Any, states: Any) -> None:
    @given(states)
    def comes_back(state: Any) -> None:
        row = msgspec.msgpack.decode(msgspec.msgpack.encode(state.to_row()))
        assert kind.from_row(row) == state
        assert kind.from_row(msgspec.json.decode(msgspec.json.encode(state.to_row()))) == state

    comes_back()


@pytest.mark.parametrize("row", [None, 3, [], [1, 2], ["x"] * 7, ["x"] * 11, {"n": 1}])
@pytest.mark.parametrize("kind", [CardHistory, CurrencyMeans, LookTables, EntityRisk])
def test_anything_but_a_row_is_refused(kind: Any, row: object) -> None:
    with pytest.raises(InvalidMessage, match=kind.__name__):
        kind.from_row(row)


@pytest.mark.parametrize("places", ["x", chr(0x20000), chr(0xD800), place_of("m") * 17, [3, 4]])
def test_a_card_whose_places_are_none_is_refused(places: object) -> None:
    row = list(CardHistory(places=place_of("m")).to_row())
    row[row.index(place_of("m"))] = places
    with pytest.raises(InvalidMessage, match="CardHistory"):
        CardHistory.from_row(row)


@given(st.text(max_size=20) | st.just("\ud800"))
def test_any_terminal_has_a_place_that_any_encoding_takes(terminal_id: str) -> None:
    place = place_of(terminal_id)
    assert CardHistory.from_row(CardHistory(places=place).to_row()).places == place
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(place)) == place


@given(labels)
def test_look_tables_count_every_label_exactly_once_in_any_order(given_labels: list[Any]) -> None:
    forward, backward = LookTables(), LookTables()
    for at, ratio, relative, fraud in given_labels:
        note_label(None, forward, at, ratio, relative, fraud)
    for at, ratio, relative, fraud in reversed(given_labels):
        note_label(None, backward, at, ratio, relative, fraud)

    assert forward == backward
    assert forward.labels == sum(forward.ratio_labels) == sum(forward.amount_labels) == len(given_labels)
    frauds = sum(fraud for *_, fraud in given_labels)
    assert forward.frauds == sum(forward.ratio_frauds) == sum(forward.amount_frauds) == frauds


@given(labels)
def test_correcting_every_label_twice_leaves_the_look_tables_as_they_were(given_labels: list[Any]) -> None:
    tables = LookTables()
    for label in given_labels:
        note_label(None, tables, *label)
    before = copy.deepcopy(tables)

    for at, ratio, relative, fraud in given_labels:
        correct_label(None, tables, at, ratio, relative, not fraud)
        correct_label(None, tables, at, ratio, relative, fraud)

    assert tables == before


def taught(**counts: int) -> LookTables:
    """Look tables that know ordinary amounts to be genuine, so that they explain no fraud."""
    tables = LookTables(**counts)
    for _ in range(1_000):
        note_label(None, tables, 0.0, 1.0, 1.0, False)
    for _ in range(20):
        note_label(None, tables, 0.0, 9.0, 9.0, True)
    return tables


def test_a_correction_to_fraud_counts_as_if_the_label_had_been_right_at_first() -> None:
    at_first, corrected = EntityRisk(), EntityRisk()
    tables_at_first, tables_corrected = taught(), taught()
    for day in range(4):
        note_label(at_first, tables_at_first, day * DAY, 1.0, 1.0, day == 3)
        note_label(corrected, tables_corrected, day * DAY, 1.0, 1.0, False)

    correct_label(corrected, tables_corrected, 3 * DAY, 1.0, 1.0, True)

    assert corrected.to_row()[3:] == pytest.approx(at_first.to_row()[3:])
    assert corrected.episode_from == at_first.episode_from == 3 * DAY
    assert tables_corrected == tables_at_first


def test_a_correction_to_genuine_ends_the_episode_it_began() -> None:
    risk, tables = EntityRisk(), taught()
    note_label(risk, tables, 0.0, 1.0, 1.0, True)
    assert (risk.last_label, risk.fraud_run, risk.episode_from) == (LABEL_FRAUD, 1, 0.0)

    correct_label(risk, tables, 0.0, 1.0, 1.0, False)

    assert (risk.last_label, risk.fraud_run, risk.episode_from) == (LABEL_GENUINE, 0, NEVER)
    assert (risk.frauds_long, risk.labels_long, risk.genuine_at) == (0.0, 1.0, 0.0)


def test_a_correction_of_a_fraud_that_was_never_counted_leaves_no_count_below_zero() -> None:
    risk, tables = EntityRisk(), LookTables()

    correct_label(risk, tables, 0.0, 1.0, 1.0, False)
    correct_label(risk, tables, 0.0, 99.0, 1.0, True)

    assert min(*tables.ratio_frauds, *tables.amount_frauds, tables.frauds) >= 0
    assert min(risk.frauds_short, risk.labels_short, risk.fraud_run) >= 0


def test_a_fraud_that_its_amount_explains_is_not_blamed_on_the_terminal() -> None:
    risk, tables = EntityRisk(), taught()

    note_label(risk, tables, DAY, 9.0, 9.0, True)
    assert (risk.last_label, risk.frauds_long) == (0, 0.0)

    note_label(risk, tables, DAY, 1.0, 1.0, True)
    assert (risk.last_label, risk.frauds_long) == (LABEL_FRAUD, 1.0)


def test_an_older_fraud_that_comes_late_moves_the_beginning_of_the_episode_but_not_its_end() -> None:
    #   day   2 genuine    4 late fraud    5 fraud
    risk, tables = EntityRisk(), taught()
    note_label(risk, tables, 2 * DAY, 1.0, 1.0, False)
    note_label(risk, tables, 5 * DAY, 1.0, 1.0, True)

    note_label(risk, tables, 4 * DAY, 1.0, 1.0, True)

    assert (risk.episode_from, risk.label_at, risk.fraud_run) == (4 * DAY, 5 * DAY, 2)


def test_an_episode_is_over_when_genuine_labels_have_become_unlikely_within_it() -> None:
    risk, tables = EntityRisk(), taught(followed=100, followed_by_fraud=90)
    note_label(risk, tables, 0.0, 1.0, 1.0, True)
    for day in (1, 2, 3):
        note_label(risk, tables, day * DAY, 1.0, 1.0, False)

    note_label(risk, tables, 9 * DAY, 1.0, 1.0, True)

    assert (risk.episode_from, risk.fraud_run) == (9 * DAY, 1)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-300, 0.06, 1.0, 4.0, 1e12, 1e300])
@pytest.mark.parametrize("start", [-4, -6])
def test_every_value_has_a_look(value: float, start: int) -> None:
    assert 0 <= look(value, start) <= 63


def test_means_start_and_stay_above_zero_under_zero_amounts() -> None:
    mean = CurrencyMeans.starting_with(0.0)
    for offset in range(5_000):
        mean.fold(offset, 0.0, 0.0, 0.0, window=10)

    assert mean.mean == LEAST_MEAN
    assert mean.applied == 4_999


def test_an_amount_moves_the_mean_by_no_more_than_four_means() -> None:
    mean = CurrencyMeans(0, 10.0, 99, 0.5)
    mean.fold(1, 0.0, 1_000_000.0, 0.0, window=20_000)
    assert mean.mean == 10.0 + (40.0 - 10.0) / 100


def test_hours_of_a_week_are_halved_so_that_an_old_rhythm_is_forgotten() -> None:
    #   window 10: halved at 50         hour 0 for 49, then hour 5 for 30
    mean = CurrencyMeans.starting_with(1.0)
    for offset in range(79):
        mean.fold(offset, 0.0 if offset < 49 else 5 * 3_600.0, 1.0, 0.0, window=10)

    assert (mean.hours[0], mean.hours[5]) == (12, 16)
    assert mean.timed == sum(mean.hours)


def test_a_week_of_other_than_168_hours_is_refused() -> None:
    row = CurrencyMeans.starting_with(1.0).to_row()
    with pytest.raises(InvalidMessage, match="168 hours"):
        CurrencyMeans.from_row([*row[:4], [0] * 167, 0])


def test_a_spike_that_comes_late_does_not_move_the_time_of_the_last_spike_back() -> None:
    history, mean, tables = CardHistory(), CurrencyMeans.starting_with(10.0), LookTables()
    for day in (20.0, 3.0):
        observe(day * DAY, 100.0, mean, history, None, tables).fold_into(history, int(day))
    assert history.heat_at == 20.0 * DAY
    assert history.heat > 0.0


def test_an_old_explained_fraud_that_was_genuine_leaves_the_episode_alone() -> None:
    #   day   1 fraud of a suspicious look    5 fraud
    risk, tables = EntityRisk(), taught()
    note_label(risk, tables, 1 * DAY, 9.0, 9.0, True)
    note_label(risk, tables, 5 * DAY, 1.0, 1.0, True)

    correct_label(risk, tables, 1 * DAY, 9.0, 9.0, False)

    assert (risk.episode_from, risk.fraud_run, risk.last_label) == (5 * DAY, 1, LABEL_FRAUD)
    assert 1.0 < risk.labels_long < 2.0


def test_one_of_two_frauds_that_was_genuine_shortens_the_run_and_keeps_the_episode() -> None:
    risk, tables = EntityRisk(), taught()
    note_label(risk, tables, 1 * DAY, 1.0, 1.0, True)
    note_label(risk, tables, 5 * DAY, 1.0, 1.0, True)

    correct_label(risk, tables, 1 * DAY, 1.0, 1.0, False)

    assert (risk.episode_from, risk.fraud_run, risk.last_label) == (1 * DAY, 1, LABEL_FRAUD)
    assert risk.frauds_long == pytest.approx(1.0)
