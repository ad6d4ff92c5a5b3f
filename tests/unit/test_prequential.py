"""One pass over history: each score before its label, each label when it is due."""

import copy
import statistics
from datetime import timedelta

import pytest

from fraudstream.core.label_delay import KnownLabel, LabelDelay
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.core.policy import Policy
from fraudstream.core.prequential import OfflinePass, offline_pass
from fraudstream.errors import InvalidInput
from tests.model_building import NOON, street_purchase, transaction


def stream(count: int = 600) -> list[Transaction]:
    """Hours apart, every seventh at a bad terminal and fraud."""
    return [
        transaction(
            number / 24,
            amount_minor=1_000 + number % 50 * 100,
            card_id=f"c{number % 11}",
            terminal_id="bad" if number % 7 == 0 else f"m{number % 5}",
            label=LabelValue.FRAUD if number % 7 == 0 else LabelValue.GENUINE,
        )
        for number in range(count)
    ]


def learned_after(run: OfflinePass, transactions: list[Transaction]) -> list[int]:
    counts = []
    for one in transactions:
        run.score(one)
        counts.append(run.learner.learned)
    return counts


def test_a_label_due_at_the_time_of_a_transaction_is_learned_before_it() -> None:
    #   transactions at hour 0 1 2 3 4; a label takes 2 hours
    run = OfflinePass(LabelDelay(seconds=7_200))
    assert learned_after(run, stream(5)) == [0, 0, 1, 2, 3]


def test_labels_in_batches_come_at_the_next_multiple() -> None:
    #   due at hour 14 15 16 17 …, delivered at midnight 24 ↓ (the first transaction is at noon)
    run = OfflinePass(LabelDelay(seconds=7_200, batch_seconds=86_400))
    assert learned_after(run, stream(14)) == [0] * 12 + [11, 11]


def test_labels_can_be_late_by_a_number_of_transactions() -> None:
    run = OfflinePass(LabelDelay(transactions=3))
    assert learned_after(run, stream(6)) == [0, 0, 0, 1, 2, 3]


def test_no_delay_at_all_still_scores_before_it_learns() -> None:
    run = OfflinePass(LabelDelay(transactions=0))
    assert learned_after(run, stream(3)) == [0, 1, 2]


def test_a_transaction_that_comes_late_waits_for_its_label_from_then() -> None:
    run = OfflinePass(LabelDelay(seconds=3_600))
    label = LabelValue.GENUINE
    late = [transaction(days, label=label) for days in (1.0, 0.0, 1.03, 1.05)]
    assert learned_after(run, late) == [0, 0, 0, 2]


def test_a_transaction_without_label_is_scored_and_never_learned() -> None:
    run = OfflinePass(LabelDelay(transactions=0))
    assert learned_after(run, [transaction(), transaction(9.0), transaction(99.0)]) == [0, 0, 0]
    assert run.keys_of_last() == ()


def test_scores_and_classifications_are_the_same_numbers() -> None:
    spent = [
        one
        for pair in zip(stream(300), [street_purchase(label=LabelValue.FRAUD)] * 300, strict=True)
        for one in pair
    ]
    fast, full = OfflinePass(LabelDelay(seconds=86_400), 2), OfflinePass(LabelDelay(seconds=86_400), 2)
    for number, one in enumerate(spent):
        partition = number // 2 % 2
        assert fast.score(one, partition) == full.classify(one, Policy(), partition).score


def test_reasons_follow_what_is_typical() -> None:
    run = OfflinePass(LabelDelay(seconds=3_600))
    for one in stream(2_500):
        made = run.classify(one, Policy())
    assert made.reasons
    assert made.model_version == 1


def test_what_the_labels_say_is_learned() -> None:
    spent = stream()
    scored = list(offline_pass(((one, 0) for one in spent), LabelDelay(seconds=86_400)))
    late = scored[300:]
    bad = [score for one, score in late if one.label is LabelValue.FRAUD]
    good = [score for one, score in late if one.label is LabelValue.GENUINE]
    assert [one for one, _ in scored] == spent
    assert statistics.median(bad) > max(good)


@pytest.mark.parametrize("delay", [{"seconds": -1.0}, {"transactions": -1}, {"batch_seconds": -0.5}])
def test_a_delay_below_zero_is_refused(delay: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        LabelDelay(**delay)


def test_time_is_that_of_the_stream_and_not_of_its_order() -> None:
    run = OfflinePass(LabelDelay(seconds=timedelta(days=7).total_seconds()))
    assert (
        learned_after(run, [transaction(8.0), transaction(0.0, label=LabelValue.FRAUD), transaction(8.0)])[-1]
        == 0
    )


def test_labels_with_times_of_their_own_are_learned_then_and_corrected_later() -> None:
    #   day 0: the transaction      day 2: said to be fraud      day 5: genuine after all
    run = OfflinePass(LabelDelay(seconds=3_600))
    at = NOON.timestamp()
    known = (KnownLabel(at + 2 * 86_400, True), KnownLabel(at + 5 * 86_400, False))

    learned, frauds = [], []
    run.score(transaction(0.0, label=LabelValue.FRAUD), 0, known)
    for day in (1.9, 2.0, 4.9, 5.0):
        run.score(transaction(day))
        learned.append(run.learner.learned)
        frauds.append(run.learner.tables.frauds)

    assert learned == [0, 1, 1, 2]
    assert frauds == [0, 1, 1, 0]


def test_a_transaction_nothing_is_ever_said_of_is_not_learned_whatever_it_holds() -> None:
    run = OfflinePass(LabelDelay(seconds=0.0))
    run.score(transaction(0.0, label=LabelValue.FRAUD), 0, ())
    run.score(transaction(1.0))
    assert run.learner.learned == 0


def test_a_copy_of_a_pass_goes_on_as_the_pass_itself() -> None:
    run, history = OfflinePass(LabelDelay(transactions=20)), stream(90)
    for one in history[:60]:
        run.score(one)

    copied = copy.deepcopy(run)

    assert [copied.score(one) for one in history[60:]] == [run.score(one) for one in history[60:]]
