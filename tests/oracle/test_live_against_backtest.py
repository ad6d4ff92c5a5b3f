"""The stream on real services against the backtest of the same file: the same labels at the same times, the
same scores."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stack import Stack, wait_until

MONTHS = Path("../shared/data/handbook-2018-04-to-06.csv.gz")
ROWS = 20_000

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.slow,
    pytest.mark.skipif(not MONTHS.exists(), reason="needs the developers' data sets"),
]


@pytest.mark.timeout(900)
def test_every_live_score_equals_the_backtests_to_the_last_bit(
    stack: Callable[..., Stack], tmp_path: Path
) -> None:
    installation = stack(PARTITIONS=4)
    for role in ("scoring", "scoring", "sinks", "learning"):
        installation.start(role)
    rows = [str(MONTHS), "--format", "handbook", "--limit", str(ROWS)]
    waiting = ["--labels-after", "12h", "--wait-for-learner", "--label-batch", "4h"]
    installation.run("replay", *rows, *waiting, timeout=600)
    wait_until(lambda: sum(installation.ends("classifications")) >= ROWS, "every row is scored")
    live = {}
    for record in installation.records("classifications"):
        found = json.loads(record.value())
        live[found["transaction"]["transaction_id"]] = (record.partition(), found["score"])

    file = tmp_path / "scores.csv"
    late = ["--label-delay", "12h", "--label-batch", "4h", "--partitions", "4"]
    installation.run("backtest", *rows, *late, "--scores", str(file))

    with file.open(newline="") as opened:
        offline = {
            row["transaction_id"]: (int(row["partition"]), float(row["score"]))
            for row in csv.DictReader(opened)
        }
    assert len(live) == len(offline) == ROWS
    different = sum(score != offline[name] for name, score in live.items())
    print(f"{ROWS} rows, {len({score for _, score in live.values()})} different scores, {different} unequal")
    assert len({score for _, score in live.values()}) > 1000
    assert different == 0
