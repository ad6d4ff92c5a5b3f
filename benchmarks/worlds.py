"""Against boosted trees, in the project's own worlds: ``python -m benchmarks.worlds [--world A] [--seed N]``.

Each world is played once in time order, labels as late as the world's median delay and some never
(``LABELLED`` 0). Beside the model, LightGBM is retrained each week of the test half on every label known by
then, and scores the week that follows: on the numbers the model sees, and on ordinary features (the
handbook's: amount, night, weekend, counts and means of the card and counts and fraud rates of the terminal
over 1, 7 and 30 days, the rates as late as the labels). Of three sets of parameters the one that ranks the
test half best is taken, which favours the trees. Beside each difference stands where nine of ten fall when
the test days are drawn anew, with replacement. Needs the extra ``benchmarks``.
"""

import argparse
import gc
import json
import math
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from fraudstream.core.evaluation import average_precision
from fraudstream.core.history import VARIANCE_PRIOR, CardHistory
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.core.observation import Observation
from fraudstream.core.prequential import OfflinePass
from fraudstream.core.price_levels import price_level
from fraudstream.core.risk import EntityRisk
from fraudstream.core.scoring import PartitionState
from fraudstream.core.serving import ServingModel
from fraudstream.simulation.labels import NEVER
from fraudstream.simulation.payments import GENUINE
from fraudstream.simulation.presets import WORLDS, world_config
from fraudstream.simulation.world import World

DAY = 86_400.0
WEEK = 7 * DAY

DRAWS = 400
"""Draws of the test days."""

PARAMETERS: tuple[dict[str, Any], ...] = (
    {"num_leaves": 31, "learning_rate": 0.05, "min_child_samples": 20, "rounds": 150},
    {"num_leaves": 15, "learning_rate": 0.05, "min_child_samples": 50, "rounds": 200},
    {"num_leaves": 8, "learning_rate": 0.1, "min_child_samples": 100, "rounds": 150},
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Stream:
    """A world's first days as columns, and as transactions."""

    def __init__(self, name: str, seed: int, cards: int | None, days: int) -> None:
        config = world_config(name, seed, cards)
        self.delay = config.labels.median_delay.total_seconds()
        parts = []
        world = World(config).days()
        for _ in range(days):
            day = next(world)
            paid = day.payments
            parts.append(
                (
                    paid.time_ms // 1000,
                    paid.card_number,
                    day.terminal_number,
                    paid.amount_minor,
                    paid.pattern != GENUINE,
                    day.labels.due_ms != NEVER,
                )
            )
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        seconds, cards_, terminals, amounts, frauds, labelled = (column[order] for column in columns)
        self.seconds: Floats = seconds.astype(np.float64)
        self.cards, self.terminals = cards_, terminals
        self.amounts: Floats = amounts / 100.0
        self.frauds: Flags = frauds
        self.labelled: Flags = labelled
        self._currency = config.currencies[0].code
        self._start = config.start

    def transactions(self) -> list[Transaction]:
        """Return each row as the stream would decode it."""
        epoch = self._start.replace(year=1970, month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
        return [
            Transaction(
                transaction_id=str(number),
                event_time=epoch + timedelta(seconds=seconds),
                amount_minor=round(amount * 100),
                currency=self._currency,
                card_id=str(card),
                terminal_id=str(terminal),
                label=(LabelValue.FRAUD if fraud else LabelValue.GENUINE) if labelled else None,
            )
            for number, (seconds, card, terminal, amount, fraud, labelled) in enumerate(
                zip(
                    self.seconds.tolist(),
                    self.cards.tolist(),
                    self.terminals.tolist(),
                    self.amounts.tolist(),
                    self.frauds.tolist(),
                    self.labelled.tolist(),
                    strict=True,
                )
            )
        ]


class Noting(PartitionState):
    """Notes the numbers behind the bins of every transaction it sees."""

    __slots__ = ("noted",)

    def __init__(self) -> None:
        super().__init__(1)
        self.noted: list[tuple[float, ...]] = []

    def see(
        self, transaction: Transaction, at: float, serving: ServingModel
    ) -> tuple[Observation, CardHistory | None, EntityRisk | None]:
        """See a transaction, and keep the numbers that its bins are cut from."""
        seen, history, risk = super().see(transaction, at, serving)
        assert history is not None
        assert risk is not None
        means = self.means[transaction.currency or ""]
        centre = history.log_sum / (history.count + 1)
        spread = math.sqrt(
            (history.log_squares + VARIANCE_PRIOR * means.variance) / (history.count + VARIANCE_PRIOR)
        )
        amount = max(seen.amount or 0.0, 0.01)
        level = price_level(risk.levels, risk.level_sum, serving.tables.levels, serving.tables.level_sum)
        self.noted.append(
            (
                seen.relative_amount,
                seen.ratio,
                (math.log(amount / means.mean) - centre) / spread,
                history.count,
                seen.heat,
                min((seen.at - history.heat_at) / DAY, 1e4),
                min((seen.at - risk.genuine_at) / DAY, 1e4),
                min(seen.at // DAY - risk.episode_from // DAY, 1e4),
                risk.fraud_run,
                risk.genuine_run,
                risk.rate_short(),
                risk.rate_long(),
                risk.last_label,
                seen.hour_share,
                seen.pace,
                seen.novelty,
                seen.astray,
                level,
                seen.ratio / 2.0**level,
            )
        )
        return seen, history, risk


def ordinary(stream: Stream) -> Floats:
    """Return the handbook's features."""
    seconds = stream.seconds
    columns = [
        stream.amounts,
        ((seconds % DAY) < 6 * 3600).astype(np.float64),
        (((seconds // DAY + 3) % 7) >= 5).astype(np.float64),
    ]
    for days in (1, 7, 30):
        count, total = windowed(
            stream.cards, seconds, [np.ones(len(seconds)), stream.amounts], days * DAY, 0.0
        )
        columns += [count, total / np.maximum(count, 1.0)]
    known = stream.labelled.astype(np.float64)
    frauds = (stream.labelled & stream.frauds).astype(np.float64)
    for days in (1, 7, 30):
        count, hits = windowed(stream.terminals, seconds, [known, frauds], days * DAY, stream.delay)
        columns += [count, hits / np.maximum(count, 1.0)]
    return np.column_stack(columns)


def windowed(
    entities: NDArray[np.int64], seconds: Floats, values: Sequence[Floats], length: float, delay: float
) -> list[Floats]:
    """Sum values of the same entity over ``length`` seconds that end ``delay`` before each transaction."""
    span = float(seconds.max()) + 40 * DAY + delay
    place = entities.astype(np.float64) * span + seconds
    order = np.argsort(place, kind="stable")
    ranked = place[order]
    floor = entities[order].astype(np.float64) * span
    upto = np.searchsorted(ranked, np.maximum(ranked - delay, floor), "left" if delay == 0.0 else "right")
    since = np.searchsorted(ranked, np.maximum(ranked - delay - length, floor), "left")
    found = []
    for value in values:
        sums = np.append(0.0, np.cumsum(value[order]))
        out = np.empty(len(seconds))
        out[order] = np.maximum(sums[np.maximum(upto, since)] - sums[since], 0.0)
        found.append(out)
    return found


def trees(numbers: Floats, stream: Stream, first: int) -> tuple[Floats, float]:
    """Return the scores by the parameters that rank the test half best, and the CPU seconds of one set."""
    known_at = stream.seconds + stream.delay
    scores = [np.zeros(len(stream.seconds)) for _ in PARAMETERS]
    started = time.process_time()
    begins = float(stream.seconds[first])
    while begins <= stream.seconds[-1]:
        learned = stream.labelled & (known_at <= begins)
        now = (stream.seconds >= begins) & (stream.seconds < begins + WEEK)
        data = lightgbm.Dataset(numbers[learned], stream.frauds[learned].astype(np.int8), free_raw_data=False)
        for parameters, found in zip(PARAMETERS, scores, strict=True):
            given = {key: value for key, value in parameters.items() if key != "rounds"}
            model = lightgbm.train(
                {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 1, "deterministic": True}
                | given
                | {"feature_pre_filter": False},
                data,
                parameters["rounds"],
            )
            found[now] = model.predict(numbers[now])
        begins += WEEK
    precisions = [average_precision(found[first:], stream.frauds[first:]) for found in scores]
    return scores[int(np.argmax(precisions))], (time.process_time() - started) / len(PARAMETERS)


def spread(ours: Floats, theirs: Floats, frauds: Flags, days: NDArray[np.int64]) -> tuple[float, float]:
    """Return between which two differences of average precision nine of ten draws of the days lie."""
    random = np.random.default_rng(1)
    numbers, day = np.unique(days, return_inverse=True)
    ranked = []
    for scores in (ours, theirs):
        order = np.argsort(-scores, kind="stable")
        last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
        ranked.append((day[order], frauds[order], last))
    found = []
    for _ in range(DRAWS):
        drawn = np.bincount(random.integers(len(numbers), size=len(numbers)), minlength=len(numbers))
        precisions = []
        for day_of, fraud, last in ranked:
            weight = drawn[day_of].astype(np.float64)
            hits = np.cumsum(weight * fraud)[last]
            shown = np.cumsum(weight)[last]
            steps = np.diff(hits, prepend=0.0)
            precisions.append(float(np.sum(steps * hits / np.maximum(shown, 1.0)) / hits[-1]))
        found.append(precisions[0] - precisions[1])
    low, high = np.quantile(found, (0.05, 0.95))
    return float(low), float(high)


def compare(name: str, seed: int, cards: int | None, days: int) -> dict[str, Any]:
    stream = Stream(name, seed, cards, days)
    transactions = stream.transactions()
    first = len(transactions) // 2
    run = OfflinePass(LabelDelay(seconds=stream.delay))
    noting = Noting()
    run.states = [noting]
    gc.collect()
    gc.disable()
    started = time.process_time()
    scores = np.array([run.score(one) for one in transactions])
    seconds = time.process_time() - started
    gc.enable()
    numbers = np.array(noting.noted, np.float64)
    del noting.noted, transactions
    truth = stream.frauds[first:]
    days = (stream.seconds[first:] // DAY).astype(np.int64)
    ours = average_precision(scores[first:], truth)
    same_scores, same_seconds = trees(numbers, stream, first)
    plain_scores, plain_seconds = trees(ordinary(stream), stream, first)
    same = average_precision(same_scores[first:], truth)
    plain = average_precision(plain_scores[first:], truth)
    return {
        "world": name,
        "seed": seed,
        "transactions": len(scores),
        "frauds": int(stream.frauds.sum()),
        "test_frauds": int(truth.sum()),
        "never_labelled": float(1.0 - stream.labelled.mean()),
        "label_delay_days": stream.delay / DAY,
        "fraudstream": ours,
        "trees_on_same_numbers": same,
        "trees_on_ordinary_features": plain,
        "above_same_numbers": ours - same,
        "above_ordinary_features": ours - plain,
        "above_same_numbers_90": spread(scores[first:], same_scores[first:], truth, days),
        "above_ordinary_features_90": spread(scores[first:], plain_scores[first:], truth, days),
        "fraudstream_cpu_seconds": seconds,
        "trees_cpu_seconds": same_seconds,
        "ordinary_cpu_seconds": plain_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worlds", description=__doc__.splitlines()[0])
    parser.add_argument("--world", action="append", choices=list(WORLDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cards", type=int, help="how many, other than the world's own 4,000")
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    print("world  transactions  test frauds  fraudstream  same numbers  above, nine of ten", end="")
    print("          ordinary  above, nine of ten")
    for name in options.world or WORLDS:
        one = compare(name, options.seed, options.cards, options.days)
        found.append(one)
        print(
            f"{name:5}  {one['transactions']:12,}  {one['test_frauds']:11,}  {one['fraudstream']:11.4f}",
            end="",
        )
        for other, above in (
            ("trees_on_same_numbers", "above_same_numbers"),
            ("trees_on_ordinary_features", "above_ordinary_features"),
        ):
            low, high = one[f"{above}_90"]
            print(f"  {one[other]:12.4f}  {one[above]:+.4f} {low:+.4f} to {high:+.4f}", end="")
        print(flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
