"""What labels do to quality: wrong ones, corrected ones, early ones. ``python -m benchmarks.labels TRIAL FILE``.

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
from fraudstream.core.label_trust import Held, LabelTrust, Quarantine
from fraudstream.core.learner import KeyedFTRL, log_loss_gradient
from fraudstream.core.learning import Learner, Outcome
from fraudstream.core.messages import LabelSource, LabelValue, TrainingExample, Transaction
from fraudstream.core.relearning import relearn
from fraudstream.core.reported import Report, ReportedPass, Scored

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
        for number, transaction in enumerate(self.rows):
            self.scores.append(self.run.score(transaction, self._reports(number, transaction)))
            for found in self.run.learner.take_quarantines():
                self.quarantines.append((number, transaction.event_time, found))
                if on_quarantine is not None:
                    on_quarantine(self)
            self.run.learner.take_held()
        return self

    def precision(self, first: int, last: int | None = None) -> float:
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
    yield f"honest sources only: AP {clean.precision(half):.4f}, quarantined: {[q.source for *_, q in clean.quarantines]}"
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
                f"; {found.source} {found.reason} after {(at.timestamp() - began) / DAY:.2f} days of its lies,"
                f" {found.frauds} frauds among {found.labels} labels;"
                f" AP from then on {played.precision(number):.4f} (clean {clean.precision(number):.4f})"
            )
        yield f"{title}: AP {played.precision(half):.4f}{told or '; nobody quarantined'} (liar: {liar})"


class Unlearning(Learner):
    """Corrects by the inverse of the wrong step, and learns the right label after that or not."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self._again = again

    def take(self, keys: Any, fraud: bool, *args: Any, correction: bool = False, **kwargs: Any) -> None:
        if correction:
            unlearn(self.model, keys, not fraud)
            if not self._again:
                kept, self.model = self.model, KeyedFTRL()  # counts are put right, weights stay
                super().take(keys, fraud, *args, correction=True, **kwargs)
                self.model = kept
                return
        super().take(keys, fraud, *args, correction=correction, **kwargs)


def unlearn(model: KeyedFTRL, keys: tuple[int, ...], fraud: bool) -> None:
    """Take back the step that a label would take now."""
    gradient = log_loss_gradient(model.logit_keys(keys), fraud)
    model.intercept += model.intercept_lr * gradient
    for key in keys:
        newer = model.squares[key]
        square = model.squares[key] = max(newer - gradient**2, 0.0)
        shrunk = (newer**0.5 - square**0.5) / model.alpha * model.weights[key]
        total = model.gradients[key] = model.gradients[key] - (gradient - shrunk)
        model.weights[key] = -(((model.beta + square**0.5) / model.alpha) ** -1) * total


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

        def never(_: int, row: Transaction, given: Reports = reports_of()) -> list[Report]:
            return given(_, row)[:1]

        yield f"{title}, never corrected: AP {Played(rows, never, trusting=True).play().precision(half):.4f}"


def feedback(rows: list[Transaction]) -> Iterator[str]:
    """Compare learning verdicts on each day's top cards, known at the end of the next day, apart and together."""
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
        early = KeyedFTRL()
        blend: list[float] = []

        def note(example: TrainingExample, _: int, became: Outcome) -> None:
            if example.labelled_by == "review" and became is Outcome.LEARNED:
                early.learn_keys(example.keys, example.label is FRAUD)

        class Apart(Learner):
            """Learns weights from delayed labels; verdicts teach only the counts, and the other model."""

            def learn(self, example: TrainingExample, offset: int) -> Outcome:
                if example.labelled_by != "review":
                    known = self._labels.get(example.source)
                    if known is not None:
                        self.model.learn_keys(example.keys, example.label is FRAUD)
                    return super().learn(example, offset)
                kept, self.model = self.model, KeyedFTRL()
                outcome = super().learn(example, offset)
                self.model = kept
                return outcome

        run = ReportedPass(learned=note)
        if way == "apart":
            run.follow(Apart())
        run.learner.trust = Believing()
        best: dict[str, tuple[float, Scored, LabelValue]] = {}
        today = days[0]
        scores = []
        for number, row in enumerate(rows):
            if days[number] != today:
                for score, scored, label in sorted(best.values(), key=lambda one: -one[0])[:top]:
                    verdict = (today + 2) * DAY - scored.at
                    run.report(scored, Report(verdict, label, LabelSource.ANALYST, "review"))
                best, today = {}, days[number]
            label = row.label or GENUINE
            score = run.score(row, [Report(WEEK, label, LabelSource.CHARGEBACK, "acquirer")])
            scores.append(score)
            blend.append((score + early.score_keys(run.scored.keys)) / 2 if way == "apart" else score)
            held = best.get(row.card_id or "")
            if held is None or score > held[0]:
                best[row.card_id or ""] = (score, run.scored, label)
        shown = (
            [("", scores), (", mean with a model of verdicts alone", blend)]
            if way == "apart"
            else [("", scores)]
        )
        for more, told in shown:
            ap = average_precision(told[half:], frauds[half:])
            found = card_precision(days[half:], cards[half:], told[half:], frauds[half:], 100)
            yield f"top {top} a day, {way}{more}: AP {ap:.4f}, CP@100 {found:.4f}"


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
