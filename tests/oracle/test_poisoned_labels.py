"""Two per cent of three months of labels flipped by one source: found within a day, undone by relearning."""

import random
from datetime import datetime, timedelta

import pytest

from fraudstream.core.evaluation import average_precision
from fraudstream.core.learning_outcomes import Outcome
from fraudstream.core.messages import LabelSource, LabelValue, TrainingExample, Transaction
from fraudstream.core.relearning import relearn
from fraudstream.core.reported import Report, ReportedPass
from tests.model_building import handbook_transactions

FRAUD, GENUINE = LabelValue.FRAUD, LabelValue.GENUINE
WEEK_SECONDS = 7 * 86_400.0
HONEST = (
    (LabelSource.ANALYST, "ada", 0.03),
    (LabelSource.ANALYST, "bo", 0.07),
    (LabelSource.CUSTOMER, "app", 0.15),
    (LabelSource.CHARGEBACK, "acquirer", 0.25),
    (LabelSource.ANALYST, "desk", 0.5),
)


def honest(rng: random.Random, row: Transaction) -> Report:
    source, name, _ = rng.choices(HONEST, [share for _, _, share in HONEST])[0]
    return Report(WEEK_SECONDS, row.label or GENUINE, source, name)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_source_that_flips_two_per_cent_is_found_within_a_day_and_relearning_undoes_it() -> None:
    rows = list(handbook_transactions())
    frauds = [row.label is FRAUD for row in rows]
    half = len(rows) // 2

    rng = random.Random(5)
    clean = ReportedPass()
    expected = [clean.score(row, [honest(rng, row)]) for row in rows]
    assert clean.learner.trust.quarantined() == {}, "no honest source is accused in three months"
    assert clean.learner.take_quarantines() == []
    assert average_precision(expected[half:], frauds[half:]) == pytest.approx(0.8125, abs=0.0002)

    log: list[tuple[int, TrainingExample]] = []
    lies: list[datetime] = []

    def note(example: TrainingExample, offset: int, _: Outcome) -> None:
        log.append((offset, example))
        if example.labelled_by == "mallory":
            lies.append(example.labelled_at)

    rng = random.Random(5)
    run = ReportedPass(learned=note)
    scores: list[float] = []
    relearned_at = found_after = None
    for number, row in enumerate(rows):
        given = honest(rng, row)
        if number >= half and rng.random() < 0.02:
            flipped = GENUINE if row.label is FRAUD else FRAUD
            given = Report(WEEK_SECONDS, flipped, LabelSource.ANALYST, "mallory")
        scores.append(run.score(row, [given]))
        for found in run.learner.take_quarantines():
            assert (found.source, relearned_at) == ("analyst:mallory", None), "nobody else, and only once"
            relearned_at, found_after = number, row.event_time - lies[0]
            run.follow(relearn(iter(log), [found.source]))

    assert relearned_at is not None
    assert found_after is not None
    assert found_after < timedelta(days=1)
    after = average_precision(scores[relearned_at:], frauds[relearned_at:])
    assert after == pytest.approx(
        average_precision(expected[relearned_at:], frauds[relearned_at:]), abs=0.005
    )
    print(f"found after {found_after}, {len(lies)} lies; AP from then on {after:.4f}")
