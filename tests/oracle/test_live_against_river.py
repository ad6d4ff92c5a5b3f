"""The stream on real services against a plain River loop: the same events, the same late labels, the same
scores."""

import csv
import gzip
import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from fraudstream.core.learning import Learner
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.core.risk import EntityRisk, note_label
from fraudstream.core.scoring import PartitionState, keys_of
from fraudstream.core.serving import ServingModel
from fraudstream.core.wire_formats import load_wire_formats
from tests.oracle.river_model import RiverModel, ShortFTRL
from tests.stack import COMMAND, Stack, wait_until

MONTHS = Path("../shared/data/handbook-2018-04-to-06.csv.gz")
ROWS, DELAY_SECONDS, BATCH_SECONDS = 12_000, 12 * 3600, 6 * 3600
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.slow,
    pytest.mark.skipif(not MONTHS.exists(), reason="needs the developers' data sets"),
]


def transactions() -> Iterator[Transaction]:
    formats = load_wire_formats([])
    with gzip.open(MONTHS, "rt") as file:
        for row in islice(csv.DictReader(file), ROWS):
            yield formats.decode_row(row, 0)


class RiverLoop:
    """What somebody would write with River in a notebook: predict, wait for the label, learn. One dict of
    features a time.

    Keys come from the project's feature code (that is what both sides share); score and learning are
    River's own, once with an optimizer that takes FTRL's step as the product does, once with River's.
    """

    def __init__(self, partitions: int) -> None:
        self.model, self.own = RiverModel(ShortFTRL), RiverModel()
        self.states = [PartitionState(partitions) for _ in range(partitions)]
        self.truths = Learner()  # its look tables and terminal risks only; its weights are not used
        self.serving = ServingModel()
        self.serving.tables, self.serving.risk = self.truths.tables, self.truths.risks

    def predict(
        self, transaction: Transaction, partition: int, offset: int
    ) -> tuple[float, float, tuple[int, ...], tuple[float, float]]:
        state = self.states[partition]
        observation, history, _ = state.see(transaction, transaction.event_time.timestamp(), self.serving)
        keys = keys_of(transaction, observation)
        score, own = self.model.score(keys), self.own.score(keys)
        state.fold(transaction, offset, observation, history)
        return score, own, keys, (observation.ratio, observation.relative_amount)

    def learn(self, transaction: Transaction, keys: tuple[int, ...], look: tuple[float, float]) -> None:
        fraud = transaction.label is LabelValue.FRAUD
        assert transaction.terminal_id is not None
        risk = self.truths.risks.setdefault(transaction.terminal_id, EntityRisk())
        note_label(risk, self.truths.tables, (transaction.event_time - EPOCH).total_seconds(), *look, fraud)
        self.model.learn(keys, fraud)
        self.own.learn(keys, fraud)


def test_every_score_equals_the_plain_loops_to_the_last_bit(stack: Callable[..., Stack]) -> None:
    installation = stack()
    for role in ("scoring", "scoring", "sinks", "learning"):
        installation.start(role)
    command = ["replay", str(MONTHS), "--format", "handbook", "--limit", str(ROWS), "--labels-after", "12h"]
    done = subprocess.run(
        [*COMMAND, *command, "--wait-for-learner", "--label-batch", "6h"],
        env=installation.environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(installation.records("classifications")) == ROWS, "every row is scored")
    live = {}
    for record in installation.records("classifications"):
        found = json.loads(record.value())
        live[found["transaction"]["transaction_id"]] = (
            record.partition(),
            found["source"]["offset"],
            found["score"],
        )

    loop = RiverLoop(partitions=4)
    waiting: list[tuple[float, int, Transaction, tuple[int, ...], tuple[float, float]]] = []
    different = learned = 0
    furthest = 0.0
    for number, transaction in enumerate(transactions()):
        now = (transaction.event_time - EPOCH).total_seconds()
        limit = now - now % BATCH_SECONDS
        due = sorted(one for one in waiting if one[0] <= limit) if waiting and waiting[0][0] <= limit else []
        for one in due:
            loop.learn(*one[2:])
            learned += 1
        waiting = waiting[len(due) :]
        partition, offset, score = live[transaction.transaction_id]
        expected, own, keys, look = loop.predict(transaction, partition, offset)
        different += score != expected
        furthest = max(furthest, abs(score - own) / own)
        waiting.append((now + DELAY_SECONDS, number, transaction, keys, look))
    assert learned > 1000
    assert len({score for _, _, score in live.values()}) > 1000
    print(f"{ROWS} scores, {different} differ; by {furthest:.1e} from a loop with River's own FTRL")
    assert different == 0
    assert furthest < 1e-9
