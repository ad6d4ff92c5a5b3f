"""A pass over history, measured: what is decided, which mistakes are told, what it comes to."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from fraudstream.core.backtest import Backtest
from fraudstream.core.backtest_entries import Entry
from fraudstream.core.backtest_measures import Plan, TestFrom, measure
from fraudstream.core.cost import Costs
from fraudstream.core.evaluation import average_precision
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.messages import Decision, LabelValue
from fraudstream.core.policy import AmountRule, Policy
from fraudstream.core.prequential import OfflinePass
from fraudstream.core.segments import OTHER, SEGMENTS, segment
from fraudstream.errors import InvalidInput
from tests.model_building import NOON, transaction

HOUR = LabelDelay(seconds=3_600)


def history(count: int = 900, *, labelled: bool = True) -> list[Entry]:
    """Half an hour apart, every seventh at a bad terminal and fraud."""
    entries = []
    for number in range(count):
        fraud = number % 7 == 0
        label = (LabelValue.FRAUD if fraud else LabelValue.GENUINE) if labelled else None
        one = transaction(
            number / 48,
            transaction_id=f"t-{number}",
            amount_minor=1_000 + number % 50 * 100,
            card_id=f"c{number % 11}",
            terminal_id="bad" if fraud else f"m{number % 5}",
            label=label,
        )
        entries.append(Entry(one, 0, fraud))
    return entries


def played(entries: list[Entry], policy: Policy = Policy(), rivals=(), segments=()) -> Backtest:  # noqa: B008
    test = Backtest(policy, HOUR, 1, rivals, {name: segment(name) for name in segments})
    for start in range(0, len(entries), 100):
        test.score(entries[start : start + 100])
        test.note(entries[start : start + 100])
    return test


class Coin:
    """Gives every transaction the same score and remembers what it was told."""

    name = "coin"

    def __init__(self):
        self.scored, self.taught = [], []

    def score(self, keys):
        self.scored.append(tuple(keys))
        return 0.5

    def learn(self, keys, fraud):
        self.taught.append((tuple(keys), fraud, len(self.scored)))


def test_scores_are_those_of_the_stream_s_own_pass():
    entries = history(300)
    run = OfflinePass(HOUR)

    assert list(played(entries).scores) == [run.score(one) for one, _, _, _ in entries]


def test_measures_are_those_of_the_part_that_is_tested():
    test = played(history())

    found = measure(test, Plan(test_from=TestFrom(share=0.5)))

    truth = [number % 7 == 0 for number in range(900)]
    assert (found.rows, found.test_rows, found.test_frauds) == (900, 450, sum(truth[450:]))
    assert found.average_precision == pytest.approx(average_precision(test.scores[450:], truth[450:]))
    assert found.average_precision > 0.9


@pytest.mark.parametrize(
    ("begins", "rows"),
    [
        (TestFrom(share=0.0), 900),
        (TestFrom(row=895, share=None), 5),
        (TestFrom(time=NOON + timedelta(hours=449), share=None), 2),
    ],
)
def test_the_test_part_begins_at_a_share_a_row_or_a_time(begins: TestFrom, rows: int):
    assert measure(played(history()), Plan(test_from=begins)).test_rows == rows


def test_hours_of_day_can_be_left_out():
    entries = history()

    found = measure(played(entries), Plan(test_from=TestFrom(share=0.0), hours=(7, 24)))

    assert found.test_rows == sum(entry.transaction.event_time.hour >= 7 for entry in entries) < 900


def test_a_transaction_of_unknown_truth_is_scored_and_not_measured():
    entries = [entry if n % 2 else entry._replace(fraud=None) for n, entry in enumerate(history())]

    found = measure(played(entries), Plan())

    assert (found.rows, found.test_rows) == (900, 225)


def test_a_truth_whose_label_never_comes_is_measured_and_never_learned():
    test = played(history(labelled=False))

    found = measure(test, Plan())

    assert test.run.learner.learned == 0
    assert found.test_frauds == 64
    assert found.roc_auc == 0.5


def test_nothing_to_measure_is_said():
    with pytest.raises(InvalidInput, match="none of them in it"):
        measure(played(history()), Plan(test_from=TestFrom(row=10_000, share=None)))


def test_every_wrong_decision_is_told_with_its_reasons():
    test = played(history(), Policy(review_at=0.5))

    wrong = {n for n in range(900) if (n % 7 == 0) != (test.scores[n] >= 0.5)}
    assert {mistake.row for mistake in test.mistakes} == wrong
    assert all(mistake.score == test.scores[mistake.row] for mistake in test.mistakes)
    assert all((mistake.decision is Decision.APPROVE) == mistake.fraud for mistake in test.mistakes)
    assert test.mistakes[-1].reasons


def test_the_worst_mistakes_come_first():
    found = measure(played(history(), Policy(review_at=0.5)), Plan(test_from=TestFrom(share=0.0), worst=4))

    missed = [mistake.score for mistake in found.missed_frauds]
    assert len(missed) == 4
    assert missed == sorted(missed)


def test_rules_decide_as_in_the_stream():
    rule = AmountRule(name="large", decision=Decision.DECLINE, amount_minor=5_000, currency="EUR")
    policy = Policy(review_at=0.5, rules=(rule,))
    entries = history(200)

    test = played(entries, policy)

    expected = [policy.decide(score, e.transaction)[0] for score, e in zip(test.scores, entries, strict=True)]
    assert [list(Decision)[rank] for rank in test.decisions] == expected
    assert Decision.DECLINE in expected


def test_a_review_budget_is_held_as_in_the_stream():
    policy = Policy(budget=4.0)
    entries = history(500)
    run = OfflinePass(HOUR)

    test = played(entries, policy)

    made = [run.classify(one, policy) for one, _, _, _ in entries]
    assert [list(Decision)[rank] for rank in test.decisions] == [one.decision for one in made]


def test_a_rival_scores_before_it_learns_and_learns_when_we_do():
    coin = Coin()
    entries = history(60)

    test = played(entries, rivals=[coin])

    #   a label takes an hour, two transactions: the label of row n is learned before row n + 2 is scored
    assert [seen for _, _, seen in coin.taught] == list(range(2, 60))
    assert [keys for keys, _, _ in coin.taught] == coin.scored[:58]
    assert [fraud for _, fraud, _ in coin.taught] == [n % 7 == 0 for n in range(58)]
    assert list(test.rival_scores[0]) == [0.5] * 60


def test_rivals_do_not_change_what_we_score():
    entries = history(300)

    assert list(played(entries, rivals=[Coin()]).scores) == list(played(entries).scores)


def test_a_rival_s_table_has_the_measures_of_ours():
    found = measure(played(history(), rivals=[Coin()]), Plan())

    (rival,) = found.challengers
    assert (rival.name, rival.roc_auc) == ("coin", 0.5)
    assert rival.average_precision == pytest.approx(found.test_frauds / found.test_rows)


def test_days_add_up_to_the_whole():
    found = measure(played(history()), Plan())

    assert [day.day for day in found.by_day] == sorted({day.day for day in found.by_day})
    assert sum(day.transactions for day in found.by_day) == found.test_rows
    assert sum(day.frauds for day in found.by_day) == found.test_frauds
    assert sum(day.alerts for day in found.by_day) == found.alerts


def test_segments_add_up_to_the_whole_and_stand_in_their_order():
    found = measure(played(history(), segments=("amount", "weekday")), Plan())

    amounts = [row for row in found.by_segment if row.segment == "amount"]
    weekdays = [row.value for row in found.by_segment if row.segment == "weekday"]
    assert [row.value for row in amounts] == ["10 to 20", "20 to 30", "30 to 50", "50 to 80"]
    assert sum(row.transactions for row in amounts) == found.test_rows
    assert weekdays == ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def test_a_segment_of_many_values_shows_the_largest_and_the_rest_together():
    entries = [
        Entry(transaction(n / 48, card_id=f"c{n if n % 2 else 0}", label=None), 0, False) for n in range(100)
    ]

    rows = measure(played(entries, segments=("card_id",)), Plan(test_from=TestFrom(share=0.0))).by_segment

    assert len(rows) == 21
    assert (rows[0].value, rows[0].transactions) == ("c0", 50)
    assert (rows[-1].value, rows[-1].transactions) == (OTHER, 31)


def test_values_beyond_those_told_apart_are_one():
    column = segment("card_id")
    column.extend([Entry(transaction(card_id=str(n)), 0, None) for n in range(3_000)])

    assert len(column.values) == 1_001
    assert column.values[column.codes[-1]] == OTHER


@pytest.mark.parametrize("name", SEGMENTS)
def test_every_segment_named_takes_a_transaction(name: str):
    column = segment(name)
    column.extend([Entry(transaction(), 0, None)])

    assert len(column.values) == 1


def test_an_unknown_segment_is_refused():
    with pytest.raises(InvalidInput, match="no segment 'colour'"):
        segment("colour")


def test_money_is_that_of_the_test_part():
    costs = {"EUR": Costs(fraud_minor=100.0, review_minor=10.0)}
    policy = Policy(review_at=0.5, decline_at=1.0)
    entries = history()
    test = played(entries, policy)

    (saving,) = measure(test, Plan(costs=costs)).savings

    tested = range(450, 900)
    minor = [entry.transaction.amount_minor or 0 for entry in entries]
    assert saving.without_minor == sum(minor[n] + 100 for n in tested if n % 7 == 0)
    alerts = [n for n in tested if test.scores[n] >= 0.5]
    missed = [n for n in tested if n % 7 == 0 and n not in alerts]
    assert saving.review_minor == 10 * len(alerts)
    assert saving.with_minor == 10 * len(alerts) + sum(minor[n] + 100 for n in missed)
    assert saving.saved_minor == saving.without_minor - saving.with_minor


def test_alerts_a_day_counts_days_by_the_time_tested():
    found = measure(played(history(), Policy(review_at=0.5)), Plan())

    assert found.alerts_per_day == pytest.approx(found.alerts / (449 / 48))


def test_card_precision_is_unknown_without_cards():
    entries = [Entry(transaction(n / 48, card_id=None), 0, n % 7 == 0) for n in range(100)]

    assert measure(played(entries), Plan()).card_precision_at_100 is None


def test_a_part_without_frauds_leaves_unknown_what_needs_one():
    entries = [entry._replace(fraud=False) for entry in history(100)]

    found = measure(played(entries), Plan())

    assert found.average_precision is None
    assert found.recall_at_budget is None
    assert json.loads(msgspec.json.encode(found))["roc_auc"] is None


def test_two_passes_measure_the_same():
    first, second = (measure(played(history(), segments=("hour",)), Plan()) for _ in range(2))

    assert msgspec.json.encode(first) == msgspec.json.encode(second)


def test_times_before_midnight_belong_to_their_day():
    at = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    entries = [Entry(msgspec.structs.replace(transaction(), event_time=at), 0, True)] * 2

    assert measure(played(entries), Plan(test_from=TestFrom(share=0.0))).by_day[0].day == "2026-03-01"
    assert np.floor(at.timestamp() / 86_400) == 20_513
