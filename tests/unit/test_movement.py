"""Which features have moved, and where labels surprise the model."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from fraudstream.core.aspects import (
    ASPECTS,
    PLACES,
    SEGMENTS,
    name_of_place,
    place_of_amount,
    place_of_hour,
    places_of,
    segments_of,
)
from fraudstream.core.movement import (
    LEAST_DAYS,
    MOST_VALUES,
    OTHER,
    SETTLING_DAYS,
    Cell,
    Movement,
    Usual,
    count_value,
    divergence,
)
from fraudstream.core.scoring import PartitionState
from fraudstream.core.serving import ServingModel
from fraudstream.core.terms import CROSS_TERMS, STARTS, STATE_TERMS
from fraudstream.core.unexplained import MOST_LOSS, MOST_SURPRISES, SAME_TERMINAL, Unexplained, clipped_loss
from fraudstream.settings import Settings
from tests.model_building import street_purchase, transaction

MIDNIGHT = 20_000 * 24


def test_every_bin_that_common_terms_have_is_an_aspect_and_each_place_belongs_to_one() -> None:
    assert {one.name for one in ASPECTS[:-2]} == {
        name for term in STATE_TERMS if not (term.is_rare or term.leaning) for name in term.of
    }
    ends = [one.start + one.size for one in ASPECTS]
    assert [one.start for one in ASPECTS] == [0, *ends[:-1]]
    assert ends[-1] == PLACES


def test_the_places_of_a_transaction_are_the_bins_it_was_scored_by() -> None:
    spent = transaction(amount_minor=90_000)
    observation, *_ = PartitionState().see(spent, spent.event_time.timestamp(), ServingModel())

    places = places_of((*observation.keys, *(STARTS[term.name] for term in CROSS_TERMS)))

    at = {
        one.name: [p - one.start for p in places if one.start <= p < one.start + one.size] for one in ASPECTS
    }
    assert all(len(found) == 1 for name, found in at.items() if name not in {"hour of day", "amount"})
    assert at["count"] == [0]
    assert at["last_label"] == [0]


def test_hour_and_amount_have_names() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)

    assert name_of_place(ASPECTS[-2], place_of_hour(noon)) == "12 h"
    assert name_of_place(ASPECTS[-2], place_of_hour(noon, 3)) == "3 h"
    assert name_of_place(ASPECTS[-1], place_of_amount(0)) == "0"
    assert name_of_place(ASPECTS[-1], place_of_amount(5_000)) == "from 40.96 to 57.93"
    assert name_of_place(ASPECTS[0], 2) == "bin 2"
    assert place_of_amount(10**15) < PLACES


def test_segments_are_the_fields_a_transaction_names() -> None:
    assert segments_of(street_purchase(bank=None)) == {
        "card_type": "Visa",
        "currency": "GBP",
        "entry_mode": "Tap",
        "merchant_group": "Entertainment",
        "transaction_country": "United Kingdom",
        "shipping_country": "United Kingdom",
        "residence_country": "United Kingdom",
        "gender": "M",
    }
    assert segments_of(transaction(currency=None)) is None


def test_quality_may_be_told_by_every_segment_there_is() -> None:
    every = ",".join(SEGMENTS)

    assert Settings.load({"FRAUDSTREAM_QUALITY_SEGMENTS": every}).quality_segments == SEGMENTS


def days(count: int, *, night: float = 0.1, tap: float = 0.5, seed: int = 1) -> Iterator[tuple[int, str]]:
    """Yield hours and entry modes of days of 500 transactions."""
    rng = random.Random(seed)
    for day in range(count):
        for at in range(500):
            at_night = rng.random() < night
            hour = rng.randrange(6) if at_night else 6 + at * 18 // 500
            yield MIDNIGHT + day * 24 + hour, "Tap" if rng.random() < tap else "CVC"


def moving(movement: Movement, first_day: int, seen: Iterator[tuple[int, str]]) -> None:
    for hour, mode in sorted(seen):
        place = place_of_hour(datetime.fromtimestamp(hour * 3_600, UTC))
        movement.note(first_day * 24 + hour, [place], {"entry_mode": mode})


def test_what_has_moved_most_is_told_first_with_its_shares() -> None:
    movement = Movement("traffic")
    moving(movement, 0, days(SETTLING_DAYS + LEAST_DAYS + 10))
    movement.frozen = True
    moving(movement, SETTLING_DAYS + LEAST_DAYS + 10, days(2, tap=0.9, seed=2))

    first = movement.moved()[0]

    assert (first.population, first.aspect, first.value) == ("traffic", "entry_mode", "CVC")
    assert first.surprise > 5.0
    assert first.before == pytest.approx(0.5, abs=0.05)
    assert first.after == pytest.approx(0.1, abs=0.05)


def test_a_quiet_day_has_moved_as_much_as_usual() -> None:
    movement = Movement("traffic")
    moving(movement, 0, days(SETTLING_DAYS + LEAST_DAYS + 20))

    assert all(one.surprise < 4.0 for one in movement.moved())


def test_nothing_is_told_before_it_is_known_what_is_usual() -> None:
    movement = Movement("traffic")
    assert movement.moved() == []
    moving(movement, 0, days(SETTLING_DAYS + LEAST_DAYS - 2))
    moving(movement, SETTLING_DAYS + LEAST_DAYS - 2, days(1, tap=1.0))

    assert movement.moved() == []


def test_transactions_of_days_ago_count_nowhere() -> None:
    movement = Movement("traffic")
    movement.note(MIDNIGHT + 48, [0], None)
    movement.note(MIDNIGHT + 47, [0], None)

    movement.note(MIDNIGHT + 23, [0], None)

    assert movement.recent().count == 1, "the newest hour is not over, and two days ago is too late"


def test_movement_written_down_and_read_back_goes_on_as_if_nothing_had_happened() -> None:
    whole, again = Movement("traffic"), Movement("traffic")
    seen = sorted(days(SETTLING_DAYS + 10))
    moving(whole, 0, iter(seen))

    for part in range(0, len(seen), 1_777):
        moving(again, 0, iter(seen[part : part + 1_777]))
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(again), type=Movement)

    assert again == whole


def test_a_reference_counts_what_joined_it_and_fades() -> None:
    reference, cell = Cell.empty(), Cell.empty()
    cell.count, cell.places[3] = 2.0, 2.0
    cell.segments["bank"] = {"RBS": 2.0}

    reference.add(cell)
    reference.add(cell)
    reference.fade(0.25)

    assert reference.count == 1.0
    assert reference.places[3] == 1.0
    assert reference.segments == {"bank": {"RBS": 1.0}}


def test_invented_values_are_counted_together() -> None:
    values: dict[str, float] = {}
    for number in range(MOST_VALUES + 30):
        count_value(values, f"merchant-{number}", 1.0)

    assert len(values) == MOST_VALUES + 1
    assert values[OTHER] == 30.0


def test_divergence_is_the_same_both_ways_and_names_the_value() -> None:
    before, after = [500.0, 300.0, 200.0], [500.0, 100.0, 400.0]

    there, value = divergence(before, after)
    back, _ = divergence(after, before)

    assert there == pytest.approx(back)
    assert value in {1, 2}
    assert 0.0 < there < 0.1


def test_what_is_usual_is_that_of_the_last_days() -> None:
    usual = Usual()
    for number in [100.0] * 3 + [1.0, 1.2] * 7:
        assert usual.surprise(50.0, 0.0) == 0.0 or len(usual.numbers) >= LEAST_DAYS
        usual.take(number)

    assert usual.surprise(1.1, 0.0) == pytest.approx(0.0, abs=1e-9)
    assert usual.surprise(3.1, 0.0) == pytest.approx(2.0 / 0.21, rel=0.01)


def labelled(watch: Unexplained, first_day: int, days: int, *, night_frauds: int = 0, seed: int = 1) -> None:
    """Deliver labels of 200 transactions a day at scores of 0.01, two of them fraud, and frauds at night."""
    rng = random.Random(seed)
    for day in range(first_day, first_day + days):
        for hour in range(24):
            frauds = night_frauds if hour == 3 else 0
            for number in range(8 + frauds):
                fraud = number >= 8 or rng.random() < 0.01
                at = MIDNIGHT + day * 24 + hour
                place = place_of_hour(datetime.fromtimestamp(at * 3_600, UTC))
                mode = {"entry_mode": "Tap" if hour % 2 else "CVC"}
                watch.note(at, [place], mode, f"terminal-{rng.randrange(1_000)}", 0.01, fraud=fraud)


def test_frauds_nobody_expected_are_placed_where_they_concentrate() -> None:
    watch = Unexplained()
    assert watch.moved() == []
    labelled(watch, 0, 20)
    watch.frozen = True
    labelled(watch, 20, 1, night_frauds=9)

    first = watch.moved()[0]

    assert (first.population, first.aspect, first.value) == ("labels", "hour of day", "3 h")
    assert first.surprise > 2.0
    assert first.before < 0.1
    assert first.after > 0.5


def test_frauds_that_share_only_their_terminal_are_told_so() -> None:
    watch = Unexplained()
    labelled(watch, 0, 20)
    watch.frozen = True
    for number in range(24):
        place = place_of_hour(datetime.fromtimestamp(number * 3_600, UTC))
        at = MIDNIGHT + 20 * 24 + number
        watch.note(at, [place], {"entry_mode": "Tap"}, "terminal-7", 0.01, fraud=True)
        watch.note(at, [place], {"entry_mode": "CVC"}, "terminal-8", 0.01, fraud=False)

    told = {one.aspect: one for one in watch.moved()}

    assert told[SAME_TERMINAL].value == "terminal-7"
    assert told[SAME_TERMINAL].after >= 23.0
    assert told[SAME_TERMINAL].surprise > 3.0


def test_labels_of_transactions_long_past_say_nothing_about_today() -> None:
    watch = Unexplained()
    labelled(watch, 5, 1)
    before = msgspec.msgpack.encode(watch)

    labelled(watch, 0, 2)

    assert msgspec.msgpack.encode(watch) == before


def test_terminals_remembered_are_bounded_and_so_are_values() -> None:
    watch = Unexplained()
    for number in range(MOST_SURPRISES + 10):
        watch.note(MIDNIGHT, [], {"bank": f"bank-{number % 60}"}, f"terminal-{number}", 0.01, fraud=True)

    (cell,) = watch.cells.values()
    assert len(cell.terminals) == MOST_SURPRISES
    assert len(cell.segments["bank"]) == MOST_VALUES + 1


def test_loss_is_clipped_on_both_sides() -> None:
    assert clipped_loss(0.0, True) == clipped_loss(1.0, False) == MOST_LOSS
    assert clipped_loss(0.0, False) == clipped_loss(1.0, True) == 0.0
