"""One backtest: read, score and learn, measure; with progress shown and time taken."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fraudstream.commands.backtest_challengers import Challenger
from fraudstream.commands.backtest_labels import LabelFile
from fraudstream.commands.backtest_rows import History
from fraudstream.commands.backtest_speed import Speed, machine
from fraudstream.commands.replay_rows import Format, ReplayFile
from fraudstream.core.backtest import Backtest
from fraudstream.core.backtest_entries import Entry
from fraudstream.core.backtest_measures import Measures, Plan, measure
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.policy import Policy
from fraudstream.core.segments import NO_VALUE, segment
from fraudstream.core.wire_formats import WireFormats
from fraudstream.errors import InvalidInput

TellScores = Callable[[Sequence[Entry], Sequence[float]], None]
"""Takes transactions, and the scores they were given."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to try on what."""

    files: Sequence[ReplayFile]
    kind: Format
    formats: WireFormats
    delay: LabelDelay
    labels: LabelFile | None
    partitions: int
    policy: Policy
    rivals: Sequence[Challenger]
    segments: Sequence[str]
    limit: int | None
    plan: Plan


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; ``speed`` is that of this very run."""

    request: Request
    measures: Measures
    refused: int
    faults: Sequence[str]
    speed: Speed


def run_backtest(request: Request, tell_scores: TellScores | None = None) -> Result:
    """Play history once and measure it; ``tell_scores`` is given every transaction with its score.

    Raises
    ------
    InvalidInput
        A file is not what its format says, no row makes a transaction, or nothing can be measured.
    """
    history = History(request.files, request.kind, request.formats, request.partitions, request.labels)
    test = Backtest(
        request.policy,
        request.delay,
        request.partitions,
        request.rivals,
        {name: segment(name) for name in request.segments},
    )
    started, scoring = time.process_time_ns(), 0
    with _without_collector(), _progress() as progress:
        bar = progress.add_task("backtest", total=sum(file.size_bytes for file in request.files), rows=0)
        for entries in _limited(history, request.limit):
            begun = time.process_time_ns()
            test.score(entries)
            scoring += time.process_time_ns() - begun
            test.note(entries)
            if tell_scores is not None:
                tell_scores(entries, test.scores[-len(entries) :])
            read = sum(file.position_bytes for file in request.files)
            progress.update(bar, completed=read, rows=len(test.scores))
    rows = len(test.scores)
    if not rows:
        told = f": {history.faults[0]}" if history.faults else ""
        fault = f"no row of {', '.join(str(file.path) for file in request.files)} is a transaction{told}"
        raise InvalidInput(fault)
    foreign = sum(rival.cpu_ns for rival in request.rivals)
    total = time.process_time_ns() - started - foreign
    for name in [name for name, column in test.segments.items() if column.values == (NO_VALUE,)]:
        del test.segments[name]
    return Result(
        request=request,
        measures=measure(test, request.plan),
        refused=history.refused,
        faults=history.faults,
        speed=Speed(
            cpu_us_per_event=round((scoring - foreign) / rows / 1e3, 2),
            events_per_second=float(round(rows / total * 1e9)),
            challengers_cpu_us=tuple(round(rival.cpu_ns / rows / 1e3, 2) for rival in request.rivals),
            measured_at=datetime.now(UTC).replace(microsecond=0),
            measured_on=machine(),
        ),
    )


def _limited(history: History, limit: int | None) -> Iterator[list[Entry]]:
    left = float("inf") if limit is None else limit
    for entries in history.chunks():
        yield entries if len(entries) <= left else entries[: int(left)]
        left -= len(entries)
        if left <= 0:
            return


@contextmanager
def _without_collector() -> Iterator[None]:
    """Hold the cycle collector back: what waits for labels makes no cycles, and looking for them is slow."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} transactions"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
