"""The simulated world: what it promises about order, truth, labels, amounts and fraud."""

import csv
import gzip
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from fraudstream.core.messages import Label, LabelValue, Transaction
from fraudstream.errors import InvalidInput
from fraudstream.simulation.config import (
    AmountPlan,
    AmountShape,
    AmountShift,
    CurrencyPlan,
    FraudKind,
    FraudPattern,
    LabelPlan,
    Rhythm,
    WorldConfig,
)
from fraudstream.simulation.events import SimulatedLabel, SimulatedTransaction
from fraudstream.simulation.files import write_csv, write_events
from fraudstream.simulation.labels import NEVER
from fraudstream.simulation.messages import Spoiler, label_message, transaction_message
from fraudstream.simulation.payments import GENUINE
from fraudstream.simulation.presets import WORLDS, demo_world, world_config
from fraudstream.simulation.world import World

LEAKS = FraudPattern(
    kind=FraudKind.CARD_LEAK, incidents_per_day=20, length=timedelta(hours=12), payments=5, multiplier=4
)
COMPROMISES = FraudPattern(
    kind=FraudKind.TERMINAL_COMPROMISE, incidents_per_day=2, length=timedelta(days=1), share=0.8
)
SMALL = WorldConfig(
    cards=300,
    terminals=40,
    labels=LabelPlan(median_delay=timedelta(hours=20), never_share=0.1),
    frauds=(COMPROMISES, LEAKS),
)


def first_days(config, count):
    return list(itertools.islice(World(config).days(), count))


def events_until(config, days):
    end = config.start + timedelta(days=days)
    found = []
    for event in World(config).events():
        if time_of(event) >= end:
            return found
        found.append(event)
    return found


def time_of(event):
    return event.label.labelled_at if isinstance(event, SimulatedLabel) else event.transaction.event_time


def transactions(events):
    return [event for event in events if isinstance(event, SimulatedTransaction)]


def column(days, name):
    return np.concatenate([getattr(day.payments, name) for day in days])


def test_events_come_in_the_order_of_event_time():
    times = [time_of(event) for event in events_until(SMALL, 5)]
    assert times == sorted(times)
    assert len(times) > 3_000


def test_the_same_seed_gives_the_same_events_and_another_seed_does_not():
    one, again = events_until(SMALL, 2), events_until(SMALL, 2)
    other = events_until(replace(SMALL, seed=2), 2)
    assert one == again
    assert one[:100] != other[:100]


def test_a_world_can_be_watched_twice():
    world = World(SMALL)
    assert list(itertools.islice(world.events(), 500)) == list(itertools.islice(world.events(), 500))


def test_columns_and_events_tell_of_the_same_payments():
    days, events = first_days(SMALL, 3), transactions(events_until(SMALL, 3))
    assert [event.transaction.amount_minor for event in events] == column(days, "amount_minor").tolist()
    assert [event.truth is LabelValue.FRAUD for event in events] == (
        column(days, "pattern") != GENUINE
    ).tolist()


def test_fraud_does_not_disturb_what_honest_people_do():
    peaceful = first_days(replace(SMALL, frauds=()), 4)
    haunted = first_days(SMALL, 4)
    added = np.isin(column(haunted, "pattern"), [1])
    assert column(haunted, "time_ms")[~added].tolist() == column(peaceful, "time_ms").tolist()
    assert column(haunted, "amount_minor")[~added].tolist() == column(peaceful, "amount_minor").tolist()
    assert added.any()


def test_each_transaction_has_an_id_of_its_own():
    ids = [event.transaction.transaction_id for event in transactions(events_until(SMALL, 3))]
    assert len(set(ids)) == len(ids)


def test_every_label_names_an_earlier_transaction_and_its_card():
    cards = {}
    for event in events_until(SMALL, 6):
        if isinstance(event, SimulatedLabel):
            assert cards[event.label.transaction_id] == event.label.card_id
        else:
            cards[event.transaction.transaction_id] = event.transaction.card_id


def test_labels_come_when_their_transaction_said():
    events = events_until(SMALL, 6)
    promised = {
        event.transaction.transaction_id: event.labelled_at
        for event in transactions(events)
        if event.labelled_at and event.labelled_at < SMALL.start + timedelta(days=6)
    }
    known = {
        event.label.transaction_id: event.label.labelled_at
        for event in events
        if isinstance(event, SimulatedLabel)
    }
    assert known == promised


def test_no_label_comes_sooner_than_the_least_delay():
    plan = LabelPlan(median_delay=timedelta(hours=1), delay_spread=2.0, least_delay=timedelta(minutes=30))
    day = first_days(replace(SMALL, labels=plan), 1)[0]
    delays = day.labels.due_ms[day.labels.due_ms != NEVER] - day.payments.time_ms[day.labels.due_ms != NEVER]
    assert delays.min() == 30 * 60_000


def test_half_of_the_labels_come_within_the_median_delay():
    days = first_days(replace(SMALL, cards=3_000), 2)
    due = np.concatenate([day.labels.due_ms for day in days])
    sooner = due[due != NEVER] - column(days, "time_ms")[due != NEVER] < 20 * 3_600_000
    assert 0.47 < sooner.mean() < 0.53


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_labels_that_never_come_is_as_configured(share):
    days = first_days(replace(SMALL, cards=2_000, labels=LabelPlan(never_share=share)), 2)
    never = np.concatenate([day.labels.due_ms for day in days]) == NEVER
    assert never.mean() == pytest.approx(share, abs=0.03)


def test_labels_are_true_unless_wrong_ones_are_asked_for():
    truth = {}
    for event in events_until(SMALL, 5):
        if isinstance(event, SimulatedTransaction):
            truth[event.transaction.transaction_id] = event.truth
        else:
            assert event.label.label is truth[event.label.transaction_id]


def test_wrong_labels_miss_frauds_and_accuse_the_innocent_as_often_as_configured():
    plan = LabelPlan(never_share=0, missed_share=0.25, accused_share=0.05)
    days = first_days(replace(SMALL, cards=3_000, labels=plan), 4)
    fraud = column(days, "pattern") != GENUINE
    said = np.concatenate([day.labels.fraud for day in days])
    assert (~said[fraud]).mean() == pytest.approx(0.25, abs=0.06)
    assert said[~fraud].mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("kind", FraudKind)
def test_each_kind_of_fraud_begins_and_ends_when_it_is_told_to(kind):
    pattern = FraudPattern(
        kind=kind,
        incidents_per_day=40,
        length=timedelta(hours=3),
        payments=3,
        from_day=2,
        to_day=4,
    )
    days = first_days(replace(SMALL, frauds=(pattern,)), 7)
    counts = [int((day.payments.pattern != GENUINE).sum()) for day in days]
    assert counts[:2] == [0, 0]
    assert min(counts[2:4]) > 0
    assert counts[5:] == [0, 0]


def test_a_pattern_may_begin_within_a_day():
    days = first_days(replace(SMALL, frauds=(replace(LEAKS, from_day=1.5),)), 2)
    frauds = column(days, "time_ms")[column(days, "pattern") != GENUINE]
    assert frauds.min() >= SMALL.start.timestamp() * 1000 + 1.5 * 86_400_000


def test_leaked_cards_pay_a_multiple_of_what_they_usually_pay():
    config = replace(SMALL, cards=2_000, frauds=(LEAKS,), amounts=AmountPlan(card_spread=0.0))
    days = first_days(config, 6)
    fraud, amounts = column(days, "pattern") != GENUINE, column(days, "amount_minor")
    assert np.median(amounts[fraud]) / 2_000 == pytest.approx(4, rel=0.2)


def test_cards_are_tested_with_small_amounts_at_one_online_shop():
    pattern = FraudPattern(
        kind=FraudKind.CARD_TESTING,
        incidents_per_day=1,
        length=timedelta(minutes=5),
        payments=40,
        multiplier=0.05,
    )
    events = [
        event for event in transactions(events_until(replace(SMALL, frauds=(pattern,)), 6)) if event.kind
    ]
    bursts = {}
    for event in events:
        where_and_when = event.transaction.terminal_id, event.transaction.event_time.date()
        bursts.setdefault(where_and_when, []).append(event.transaction)
    assert all(
        max(one.event_time for one in burst) - min(one.event_time for one in burst) < timedelta(minutes=15)
        for burst in bursts.values()
    )
    assert max(len({one.card_id for one in burst}) for burst in bursts.values()) > 20
    assert {event.transaction.entry_mode for event in events} == {"online"}
    assert max(event.transaction.amount_minor for event in events) < 500


def test_a_spree_abroad_happens_in_one_country_that_is_not_where_the_terminal_is_registered():
    pattern = FraudPattern(
        kind=FraudKind.FOREIGN_SPREE, incidents_per_day=3, length=timedelta(hours=1), payments=6
    )
    events = [
        event for event in transactions(events_until(replace(SMALL, frauds=(pattern,)), 4)) if event.kind
    ]
    countries = {}
    for event in events:
        countries.setdefault(event.transaction.card_id, set()).add(event.transaction.transaction_country)
    assert {len(seen) for seen in countries.values()} == {1}
    assert len(set.union(*countries.values())) > 2


def test_amounts_are_whole_minor_units_above_zero_in_every_shape():
    for shape in AmountShape:
        plan = AmountPlan(shape=shape, spread=1.5, card_spread=1.5)
        cheap = CurrencyPlan(code="JPY", country="JP", median_minor=2, step_minor=1)
        amounts = column(first_days(replace(SMALL, currencies=(cheap,), amounts=plan), 2), "amount_minor")
        assert amounts.dtype == np.int64
        assert amounts.min() >= 1


def test_shops_with_price_points_charge_few_different_amounts():
    plain = column(first_days(SMALL, 3), "amount_minor")
    tiers = column(first_days(replace(SMALL, amounts=AmountPlan(shape=AmountShape.TIERS)), 3), "amount_minor")
    assert len(np.unique(tiers)) < len(np.unique(plain)) / 5


def test_an_amount_shift_multiplies_what_everybody_pays_from_its_day_on():
    plan = AmountPlan(shifts=(AmountShift(day=2, factor=3.0),), round_share=0)
    still, shifted = (
        first_days(replace(SMALL, frauds=(), amounts=amounts), 4)
        for amounts in (AmountPlan(round_share=0), plan)
    )
    ratios = [
        np.median(now.payments.amount_minor / then.payments.amount_minor)
        for then, now in zip(still, shifted, strict=True)
    ]
    assert ratios == pytest.approx([1, 1, 3, 3], rel=0.01)


def test_inflation_compounds_day_by_day():
    still, dearer = (
        first_days(replace(SMALL, frauds=(), amounts=AmountPlan(round_share=0, inflation_per_day=rate)), 11)[
            10
        ]
        for rate in (0.0, 0.05)
    )
    ratio = np.median(dearer.payments.amount_minor / still.payments.amount_minor)
    assert 1.05**10 < ratio < 1.05**11


def test_nobody_pays_in_hours_without_weight():
    office = Rhythm(hours=tuple(float(8 <= hour < 18) for hour in range(24)), personal_shift_hours=0)
    hours = column(first_days(replace(SMALL, rhythm=office, frauds=()), 3), "time_ms") // 3_600_000 % 24
    assert set(hours.tolist()) == set(range(8, 18))


def test_the_rhythm_follows_the_clock_even_if_the_world_starts_at_noon():
    office = Rhythm(hours=tuple(float(8 <= hour < 18) for hour in range(24)), personal_shift_hours=0)
    noon = replace(SMALL, start=datetime(2026, 1, 5, 12, tzinfo=UTC), rhythm=office, frauds=())
    hours = column(first_days(noon, 2), "time_ms") // 3_600_000 % 24
    assert set(hours.tolist()) == set(range(8, 18))


def test_quiet_weekdays_are_quiet():
    shut = Rhythm(weekdays=(1, 1, 1, 1, 1, 1, 0))
    counts = [len(day.payments) for day in first_days(replace(SMALL, rhythm=shut, frauds=()), 7)]
    assert counts[6] == 0
    assert min(counts[:6]) > 0


def test_the_configured_number_of_payments_is_the_mean_over_a_week():
    config = replace(SMALL, cards=2_000, frauds=())
    counts = [len(day.payments) for day in first_days(config, 7)]
    assert sum(counts) / 7 == pytest.approx(config.payments_per_day, rel=0.05)


def test_cards_and_terminals_turn_over_and_numbers_are_never_used_again():
    days = first_days(replace(SMALL, card_turnover=0.1, terminal_turnover=0.1, payments_per_card_day=5), 15)
    early, late = set(days[0].payments.card_number.tolist()), set(days[-1].payments.card_number.tolist())
    assert len(early & late) < len(early) / 2
    middle = set(days[7].payments.card_number.tolist())
    assert (early & late) <= middle | (set(range(300)) - middle)
    assert max(late) > 300
    assert max(days[-1].terminal_number) >= 40


def test_a_replaced_card_is_not_used_by_those_who_stole_it():
    slow = replace(LEAKS, length=timedelta(days=20), payments=30)
    days = first_days(replace(SMALL, card_turnover=0.3, frauds=(slow,)), 12)
    last_genuine, last_fraud = {}, {}
    for number, day in enumerate(days):
        for card, pattern in zip(
            day.payments.card_number.tolist(), day.payments.pattern.tolist(), strict=True
        ):
            (last_genuine if pattern == GENUINE else last_fraud)[card] = number
    lifetimes = [last - last_genuine.get(card, last) for card, last in last_fraud.items()]
    assert np.mean([life > 3 for life in lifetimes]) < 0.05


def test_a_transaction_is_sent_in_the_native_form_keyed_by_its_card():
    event = transactions(events_until(SMALL, 1))[0]
    key, value = transaction_message(event)
    assert msgspec.json.decode(value, type=Transaction) == event.transaction
    assert key.decode() == event.transaction.card_id
    assert b"truth" not in value
    assert b"label" not in value


def test_a_label_message_holds_the_label():
    event = next(event for event in World(SMALL).events() if isinstance(event, SimulatedLabel))
    assert msgspec.json.decode(label_message(event)[1], type=Label) == event.label


def test_a_broken_message_names_no_transaction_a_label_could_mean():
    events = transactions(events_until(SMALL, 1))[:200]
    spoiler = Spoiler(np.random.default_rng(1))
    for event in events:
        assert event.transaction.transaction_id.encode() not in spoiler.spoil(event)[1]


def test_a_csv_has_the_handbooks_columns_and_says_which_labels_never_come(tmp_path):
    path = tmp_path / "world.csv"
    written = write_csv(World(SMALL), 2, path)
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    events = transactions(events_until(SMALL, 2))
    assert written == len(rows) == len(events)
    assert list(rows[0]) == [
        "TRANSACTION_ID",
        "TX_DATETIME",
        "CUSTOMER_ID",
        "TERMINAL_ID",
        "TX_AMOUNT",
        "TX_FRAUD",
        "LABELLED",
    ]
    for row, event in zip(rows, events, strict=True):
        sent = event.transaction
        assert row["TX_DATETIME"] == sent.event_time.strftime("%Y-%m-%d %H:%M:%S")
        assert f"card-{int(row['CUSTOMER_ID']):06d}" == sent.card_id
        assert f"terminal-{int(row['TERMINAL_ID']):05d}" == sent.terminal_id
        assert round(float(row["TX_AMOUNT"]) * 100) == sent.amount_minor
        assert row["TX_FRAUD"] == str(int(event.truth is LabelValue.FRAUD))
        assert row["LABELLED"] == str(int(event.labelled_at is not None))


def test_a_compressed_csv_is_the_same_rows_and_the_same_bytes_each_time(tmp_path):
    for name in ("one.csv.gz", "two.csv.gz", "plain.csv"):
        write_csv(World(SMALL), 1, tmp_path / name)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.csv.gz").read_bytes()) == (tmp_path / "plain.csv").read_bytes()


def test_a_csv_refuses_a_world_whose_currencies_it_could_not_tell_apart(tmp_path):
    with pytest.raises(InvalidInput, match="currency"):
        write_csv(World(demo_world()), 1, tmp_path / "world.csv")


def test_a_file_that_cannot_be_written_is_an_error_with_its_name(tmp_path):
    with pytest.raises(InvalidInput, match=r"missing/world\.csv"):
        write_csv(World(SMALL), 1, tmp_path / "missing" / "world.csv")


def test_json_lines_hold_transactions_and_their_labels_beside_them(tmp_path):
    events = events_until(SMALL, 2)
    counts = write_events(iter(events), tmp_path / "made-up.jsonl")
    lines = (tmp_path / "made-up.jsonl").read_bytes().splitlines()
    labels = (tmp_path / "made-up.labels.jsonl").read_bytes().splitlines()
    assert counts == (len(lines), len(labels))
    assert [msgspec.json.decode(line, type=Transaction) for line in lines] == [
        event.transaction for event in transactions(events)
    ]
    assert [msgspec.json.decode(line, type=Label) for line in labels] == [
        event.label for event in events if isinstance(event, SimulatedLabel)
    ]


@pytest.mark.parametrize("name", ["demo", *WORLDS])
def test_every_preset_has_some_fraud_of_each_of_its_kinds_and_far_more_genuine_payments(name):
    config = world_config(name)
    patterns = column(first_days(config, 60 if name != "demo" else 4), "pattern")
    assert 0.003 < (patterns != GENUINE).mean() < 0.04
    assert set(range(len(config.frauds))) <= set(patterns.tolist())


def test_the_worlds_differ_in_the_scale_and_the_shape_of_their_amounts():
    medians, tails, shapes = [], [], set()
    for name in WORLDS:
        config = world_config(name)
        amounts = column(first_days(config, 3), "amount_minor")
        medians.append(np.median(amounts))
        tails.append(np.percentile(amounts, 99) / np.median(amounts))
        shapes.add(config.amounts.shape)
    assert max(medians) / min(medians) > 30
    assert max(tails) / min(tails) > 1.5
    assert len(shapes) == len(WORLDS)


def test_the_demo_sends_at_the_rate_it_was_asked_for():
    config = demo_world(rate=100)
    payments = sum(len(day.payments) for day in first_days(config, 7)) / 7
    assert payments / 86_400 * 1_800 == pytest.approx(100, rel=0.1)


def test_an_unknown_world_is_refused_with_the_names_of_those_there_are():
    with pytest.raises(InvalidInput, match="demo, A, B, C, D"):
        world_config("E")


@pytest.mark.parametrize(
    ("build", "fault"),
    [
        (lambda: WorldConfig(cards=0), "cards"),
        (lambda: WorldConfig(terminals=0), "terminals"),
        (lambda: WorldConfig(seed=-1), "seed"),
        (lambda: WorldConfig(start=datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001
        (lambda: WorldConfig(payments_per_card_day=0), "payments per card"),
        (lambda: WorldConfig(card_turnover=1.5), "card_turnover"),
        (lambda: WorldConfig(currencies=()), "a currency"),
        (lambda: WorldConfig(currencies=(CurrencyPlan(), CurrencyPlan())), "once"),
        (
            lambda: WorldConfig(terminals=1, currencies=(CurrencyPlan(), CurrencyPlan(code="EUR"))),
            "terminal for",
        ),
        (lambda: CurrencyPlan(code="pounds"), "three letters"),
        (lambda: CurrencyPlan(country="GBR"), "two letters"),
        (lambda: CurrencyPlan(share=0), "share"),
        (lambda: CurrencyPlan(median_minor=0), "median"),
        (lambda: CurrencyPlan(step_minor=0), "step"),
        (lambda: AmountPlan(spread=0), "spread"),
        (lambda: AmountPlan(card_spread=-1), "spread"),
        (lambda: AmountPlan(round_share=2), "round"),
        (lambda: AmountPlan(inflation_per_day=1), "inflation"),
        (lambda: AmountShift(day=1, factor=0), "factor"),
        (lambda: Rhythm(hours=(1.0,)), "24"),
        (lambda: Rhythm(weekdays=(0.0,) * 7), "above 0"),
        (lambda: Rhythm(personal_shift_hours=-1), "negative"),
        (lambda: LabelPlan(median_delay=timedelta(0)), "median"),
        (lambda: LabelPlan(least_delay=timedelta(-1)), "negative"),
        (lambda: LabelPlan(delay_spread=-1), "spread"),
        (lambda: LabelPlan(never_share=1.1), "never_share"),
        (lambda: replace(LEAKS, incidents_per_day=-1), "incidents"),
        (lambda: replace(LEAKS, length=timedelta(0)), "length"),
        (lambda: replace(LEAKS, share=0), "share"),
        (lambda: replace(LEAKS, payments=0), "at least one payment"),
        (lambda: replace(LEAKS, multiplier=0), "multiplier"),
        (lambda: replace(LEAKS, from_day=-1), "from_day"),
        (lambda: replace(LEAKS, from_day=5, to_day=5), "to_day"),
        (lambda: demo_world(rate=0), "rate"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_and_says_what_is_wrong(build, fault):
    with pytest.raises(InvalidInput, match=fault):
        build()
