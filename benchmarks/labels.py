"""What labels do to quality, wrong, corrected and early ones: ``python -m benchmarks.labels TRIAL FILE``.

Every trial is one pass or several over a handbook file through the stream's own code, labels a week late, and
prints average precision on the second half of its rows.
"""

import argparse
import csv
import gc
import gzip
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fraudstream.core.evaluation import average_precision, card_precision
from fraudstream.core.ftrl import log_loss_gradient, weigh
from fraudstream.core.label_trust import Held, LabelTrust, Quarantine
from fraudstream.core.learner import KeyedFTRL
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Outcome
from fraudstream.core.messages import LabelSource, LabelValue, TrainingExample, Transaction
from fraudstream.core.relearning import relearn
from fraudstream.core.reported import Report, ReportedPass, Scored
from fraudstream.core.terms import TWINS

DAY = 86_400.0
WEEK = 7 * DAY
FRAUD, GENUINE = LabelValue.FRAUD, LabelValue.GENUINE
HONEST = (
    (LabelSource.ANALYST, "ada", 0.03),
    (LabelSource.ANALYST, "bo", 0.07),
    (LabelSource.CUSTOMER, "app", 0.15),
    (LabelSource.CHARGEBACK, "acquirer", 0.25),
    (LabelSource.ANALYST, "desk", 0.5),
)
"""Honest sources, each with its share of the labels."""


def read(path: Path) -> list[Transaction]:
    """Return the rows of a handbook file as transactions with their labels inside."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        return [
            Transaction(
                transaction_id=row["TRANSACTION_ID"],
                event_time=datetime.fromisoformat(row["TX_DATETIME"]).replace(tzinfo=UTC),
                amount_minor=round(float(row["TX_AMOUNT"]) * 100),
                card_id=row["CUSTOMER_ID"],
                terminal_id=row["TERMINAL_ID"],
                label=LabelValue.FRAUD if row["TX_FRAUD"] == "1" else LabelValue.GENUINE,
            )
            for row in csv.DictReader(file)
        ]


def honest(rng: random.Random, label: LabelValue) -> Report:
    """Return an honest label from one of the honest sources."""
    source, name, _ = rng.choices(HONEST, [share for _, _, share in HONEST])[0]
    return Report(WEEK, label, source, name)


def opposite(label: LabelValue) -> LabelValue:
    """Return the wrong label."""
    return GENUINE if label is FRAUD else FRAUD


class Believing(LabelTrust):
    """Believes everybody: for trials that are not about trust."""

    def judge(
        self, example: TrainingExample, at: float, offset: int, limit: int = 0
    ) -> tuple[Held | None, Quarantine | None]:
        """Believe."""
        return None, None


Reports = Callable[[int, Transaction], list[Report]]


class Played:
    """One pass, its scores, and what happened to sources meanwhile."""

    def __init__(
        self,
        rows: list[Transaction],
        reports: Reports,
        learner: Learner | None = None,
        *,
        trusting: bool = False,
    ) -> None:
        self.rows = rows
        self.log: list[tuple[int, TrainingExample]] = []
        self.first_wrong: dict[str, datetime] = {}
        self.run = ReportedPass(learned=self._note)
        if learner is not None:
            self.run.follow(learner)
        if trusting:
            self.run.learner.trust = Believing()
        self._reports = reports
        self.scores: list[float] = []
        self.quarantines: list[tuple[int, datetime, Quarantine]] = []

    def _note(self, example: TrainingExample, offset: int, _: Outcome) -> None:
        self.log.append((offset, example))
        if example.labelled_by is not None:
            self.first_wrong.setdefault(example.labelled_by, example.labelled_at)

    def play(self, on_quarantine: Callable[["Played"], None] | None = None) -> "Played":
        """Score every row, and call back at each quarantine."""
        for number, transaction in enumerate(self.rows):
            self.scores.append(self.run.score(transaction, self._reports(number, transaction)))
            for found in self.run.learner.take_quarantines():
                self.quarantines.append((number, transaction.event_time, found))
                if on_quarantine is not None:
                    on_quarantine(self)
            self.run.learner.take_held()
        return self

    def precision(self, first: int, last: int | None = None) -> float:
        """Return average precision over some of the rows."""
        frauds = [row.label is FRAUD for row in self.rows[first:last]]
        return average_precision(self.scores[first:last], frauds)


def poison(rows: list[Transaction]) -> Iterator[str]:
    """Tell what sources that lie do, and what quarantine and relearning give back."""
    half = len(rows) // 2

    def true_labels(seed: int) -> Reports:
        rng = random.Random(seed)
        return lambda _, row: [honest(rng, row.label or GENUINE)]

    def two_percent(seed: int) -> Reports:
        rng = random.Random(seed)

        def reports(number: int, row: Transaction) -> list[Report]:
            label = row.label or GENUINE
            if number >= half and rng.random() < 0.02:
                return [Report(WEEK, opposite(label), LabelSource.ANALYST, "mallory")]
            return [honest(rng, label)]

        return reports

    def inside_a_large_source(seed: int) -> Reports:
        rng = random.Random(seed)

        def reports(number: int, row: Transaction) -> list[Report]:
            given = honest(rng, row.label or GENUINE)
            if number >= half and given.labelled_by == "desk" and rng.random() < 0.04:
                return [given._replace(label=opposite(given.label))]
            return [given]

        return reports

    def hides(seed: int) -> Reports:
        rng = random.Random(seed)

        def reports(number: int, row: Transaction) -> list[Report]:
            given = honest(rng, row.label or GENUINE)
            return [given._replace(label=GENUINE) if number >= half and given.labelled_by == "app" else given]

        return reports

    clean = Played(rows, true_labels(5)).play()
    wrongly = [found.source for *_, found in clean.quarantines]
    yield f"honest sources only: AP {clean.precision(half):.4f}, quarantined: {wrongly}"
    undefended = Played(rows, two_percent(5), trusting=True).play()
    yield f"2 % flipped by one source, everybody believed: AP {undefended.precision(half):.4f}"
    for title, reports, liar, relearning in (
        ("2 % flipped by one source", two_percent, "mallory", False),
        ("the same, relearned without it when quarantined", two_percent, "mallory", True),
        ("4 % of its labels flipped by the source of half of all", inside_a_large_source, "desk", False),
        ("every fraud called genuine by a source of 15 %", hides, "app", False),
    ):

        def relearned(played: Played) -> None:
            source = played.quarantines[-1][2].source
            played.run.follow(relearn(iter(played.log), [source]))

        played = Played(rows, reports(5))
        played.play(relearned if relearning else None)
        told = ""
        for number, at, found in played.quarantines:
            began = rows[half].event_time.timestamp() + WEEK
            told += (
                f"; {found.source} {found.reason} {(at.timestamp() - began) / DAY:.2f} days after it began,"
                f" {found.frauds} frauds among {found.labels} labels;"
                f" AP from then on {played.precision(number):.4f} (clean {clean.precision(number):.4f})"
            )
        yield f"{title}: AP {played.precision(half):.4f}{told or '; nobody quarantined'} (liar: {liar})"


class Unlearning(Learner):
    """Corrects by the inverse of the wrong step, and learns the right label after that or not."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self._again = again
        self._scratch = KeyedFTRL()

    def take(self, keys: Any, fraud: bool, *args: Any, correction: bool = False, **kwargs: Any) -> None:
        """Correct in its own way."""
        if correction:
            unlearn(self.model, keys, not fraud)
            if not self._again:
                kept, self.model = self.model, self._scratch  # counts are put right, weights stay
                super().take(keys, fraud, *args, correction=True, **kwargs)
                self.model = kept
                return
        super().take(keys, fraud, *args, correction=correction, **kwargs)


def unlearn(model: KeyedFTRL, keys: tuple[int, ...], fraud: bool) -> None:
    """Take back the step that a label would take now, as far as keys are plain."""
    gradient = log_loss_gradient(weigh(model.weights, keys)[0] + model.intercept, fraud)
    model.intercept += model.intercept_lr * gradient
    for key in keys:
        if TWINS[key]:
            continue
        square = model.squares[key] = max(model.squares[key] - gradient**2, 0.0)
        model.weights[key] += model.alpha * gradient / (model.beta + square**0.5)


def corrections(rows: list[Transaction]) -> Iterator[str]:
    """Compare ways to correct first labels that are wrong, a week after they came."""
    half = len(rows) // 2

    def wrong_first(share: float, share_of_frauds: float) -> Callable[[], Reports]:
        def reports_of() -> Reports:
            rng = random.Random(7)

            def reports(_: int, row: Transaction) -> list[Report]:
                label = row.label or GENUINE
                chance = share_of_frauds if label is FRAUD else share
                if rng.random() >= chance:
                    return [Report(WEEK, label)]
                return [Report(WEEK, opposite(label)), Report(2 * WEEK, label)]

            return reports

        return reports_of

    for title, reports_of in (
        ("2 % of all first labels wrong", wrong_first(0.02, 0.02)),
        ("30 % of frauds first called genuine", wrong_first(0.0, 0.3)),
    ):
        for way, learner in (
            ("learn again", Learner()),
            ("inverse step", Unlearning(again=False)),
            ("inverse step, learn again", Unlearning(again=True)),
        ):
            played = Played(rows, reports_of(), learner, trusting=True).play()
            yield f"{title}, {way}: AP {played.precision(half):.4f}"

        played = Played(rows, first_of(reports_of()), trusting=True).play()
        yield f"{title}, never corrected: AP {played.precision(half):.4f}"


def first_of(reports: Reports) -> Reports:
    """Return reports without their corrections."""
    return lambda number, row: reports(number, row)[:1]


class Apart(Learner):
    """Learns weights from delayed labels; verdicts teach it only the counts, and another model weights."""

    def __init__(self) -> None:
        super().__init__()
        self.early = KeyedFTRL()

    def learn(self, example: TrainingExample, offset: int) -> Outcome:
        """Learn one example by the model it is for."""
        fraud = example.label is FRAUD
        if example.labelled_by != "review":
            if self._labels.get(example.source) is not None:
                self.model.learn_keys(example.keys, fraud)
            return super().learn(example, offset)
        kept, self.model = self.model, self.early
        outcome = super().learn(example, offset)
        self.model = kept
        return outcome


def feedback(rows: list[Transaction]) -> Iterator[str]:
    """Compare learning verdicts on each day's top cards, a day later, apart and together."""
    half = len(rows) // 2
    frauds = [row.label is FRAUD for row in rows]
    days = np.array([int(row.event_time.timestamp() // DAY) for row in rows])
    cards = [row.card_id for row in rows]
    for top, way in (
        (0, "no feedback"),
        (100, "together"),
        (100, "apart"),
        (300, "together"),
        (300, "apart"),
    ):
        run, blend, scores = ReportedPass(), [], []
        apart = Apart() if way == "apart" else None
        if apart is not None:
            run.follow(apart)
        run.learner.trust = Believing()
        best: dict[str, tuple[float, Scored, LabelValue]] = {}
        today = days[0]
        for number, row in enumerate(rows):
            if days[number] != today:
                for _, scored, label in sorted(best.values(), key=lambda one: -one[0])[:top]:
                    verdict = (today + 2) * DAY - scored.at
                    run.report(scored, Report(verdict, label, LabelSource.ANALYST, "review"))
                best, today = {}, days[number]
            label = row.label or GENUINE
            score = run.score(row, [Report(WEEK, label, LabelSource.CHARGEBACK, "acquirer")])
            scores.append(score)
            if apart is not None:
                blend.append((score + apart.early.score_keys(run.scored.keys)) / 2)
            held = best.get(row.card_id or "")
            if held is None or score > held[0]:
                best[row.card_id or ""] = (score, run.scored, label)
        for more, told in (("", scores), (", mean with a model of verdicts alone", blend)):
            if told:
                ap = average_precision(told[half:], frauds[half:])
                found = card_precision(days[half:], cards[half:], told[half:], frauds[half:], 100)
                weeks = found[: len(found) // 7 * 7].mean()
                yield f"top {top} a day, {way}{more}: AP {ap:.4f}, CP@100 {weeks:.4f}"


TRIALS = {"poison": poison, "corrections": corrections, "feedback": feedback}


def main() -> None:
    """Run one trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, help="only the first so many")
    arguments = parser.parse_args()
    rows = read(arguments.file)[: arguments.rows]
    gc.freeze()
    gc.disable()  # nothing here is cyclic, and millions of small objects live to the end
    started = time.perf_counter()
    for line in TRIALS[arguments.trial](rows):
        print(f"[{time.perf_counter() - started:5.0f} s] {line}", flush=True)


if __name__ == "__main__":
    main()
