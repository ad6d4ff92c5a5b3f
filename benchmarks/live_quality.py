"""Detection of the live stream against one offline pass of the same rows through the core.

``python -m benchmarks.live_quality FILE --rows 872795 --rate 2500``: the handbook's rows are replayed into
real Kafka, scored by two workers and archived in the MongoDB-protocol server, their labels sent 7 days of
event time later. Average precision over the last half of the rows, live and offline.
"""

import argparse
import csv
import gzip
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.stream import Services, machine
from fraudstream.core.evaluation import average_precision
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.messages import LabelValue
from fraudstream.core.prequential import OfflinePass
from fraudstream.core.wire_formats import load_wire_formats
from tests.stack import COMMAND


def main() -> None:
    """Run both, and print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=872_795)
    parser.add_argument("--rate", type=int, default=2500)
    parser.add_argument("--archive", choices=["sqlite", "mongo"], default="mongo")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="fs-bench-") as scratch,
        Services(options.archive, 4, Path(scratch)) as services,
    ):
        stack = services.stack
        # Two cores play a whole cluster: scoring that reads record by record would take one of them.
        stack.environment["FRAUDSTREAM_FETCH_MIN_BYTES"] = "16384"
        for role in ("scoring", "scoring", "sinks", "learning"):
            stack.start(role)
        started = time.monotonic()
        replay = ["replay", str(options.file), "--format", "handbook", "--limit", str(options.rows)]
        subprocess.run(
            [*COMMAND, *replay, "--labels-after", "7d", "--rate", str(options.rate)],
            env=stack.environment,
            check=True,
        )
        deadline = time.monotonic() + 300
        while len(live := scores(stack)) < options.rows and time.monotonic() < deadline:
            time.sleep(5)
        seconds = time.monotonic() - started
        learned = len(stack.records("training-examples"))
    truth: list[bool] = []
    offline: list[float] = []
    online: list[float] = []
    run = OfflinePass(LabelDelay(), 1)
    formats = load_wire_formats([])
    with gzip.open(options.file, "rt") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if number >= options.rows:
                break
            transaction = formats.decode_row(row, 0)
            offline.append(run.score(transaction))
            online.append(live[transaction.transaction_id])
            truth.append(transaction.label is LabelValue.FRAUD)
    half = len(truth) // 2
    figures = {
        "machine": machine(),
        "rows": len(truth),
        "rate": options.rate,
        "seconds": round(seconds),
        "labels_learned": learned,
        "average_precision_live": round(average_precision(online[half:], truth[half:]), 4),
        "average_precision_offline": round(average_precision(offline[half:], truth[half:]), 4),
    }
    text = json.dumps(figures, indent=2)
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(text + "\n")


def scores(stack: object) -> dict[str, float]:
    """Return the score of every transaction classified so far."""
    found = {}
    for record in stack.records("classifications"):  # type: ignore[attr-defined] # a Stack
        decoded = json.loads(record.value())
        found[decoded["transaction"]["transaction_id"]] = decoded["score"]
    return found


if __name__ == "__main__":
    main()
