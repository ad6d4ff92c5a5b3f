"""The score of every transaction of a backtest, as a file: to be held against those of a live stream."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fraudstream.commands.backtest_run import TellScores
from fraudstream.core.backtest_entries import Entry
from fraudstream.errors import InvalidInput

COLUMNS = ("transaction_id", "event_time", "partition", "score")


@contextmanager
def writing_scores(path: Path) -> Iterator[TellScores]:
    """Open a CSV file and give what writes transactions with their scores into it, to the last bit.

    Raises
    ------
    InvalidInput
        The file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)

            def write(entries: Sequence[Entry], scores: Sequence[float]) -> None:
                table.writerows(
                    (one.transaction_id, one.event_time.isoformat(), partition, repr(score))
                    for (one, partition, *_), score in zip(entries, scores, strict=True)
                )

            yield write
    except OSError as error:
        fault = f"{path}: cannot be written: {error.strerror or error}"
        raise InvalidInput(fault) from error
