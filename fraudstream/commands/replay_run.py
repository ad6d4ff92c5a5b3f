"""One replay: rows in, transactions and labels out, at the pace and in the order that was asked for."""

import asyncio
import gc
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fraudstream.commands.replay_labels import Due, LateLabels, label_message
from fraudstream.commands.replay_rows import ReplayFile, Row
from fraudstream.commands.replay_sending import Headers, Sender, open_sender
from fraudstream.commands.replay_settling import Settlement
from fraudstream.connections import kafka_reading_options
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import InvalidInput
from fraudstream.settings import Settings
from fraudstream.topic_admin import kafka_admin, require_topics
from fraudstream.topics import Topics

CHUNK_ROWS = 500
"""Rows handed over at once: so few that a chunk takes milliseconds, and clock and screen keep up."""

MESSAGE_BYTES_MAX = 1_000_000
"""What clients send at most by default, a little below what brokers take."""

MODEL_AFTER_HEADER = "fraudstream-model-after"
"""A transaction with this header is scored once the serving model has learned up to that training offset."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to replay and how."""

    files: Sequence[ReplayFile]
    rate: float | None
    first_row: int
    limit: int | None
    labels: LateLabels | None
    labels_at_end: bool
    in_order: bool


class Tally(msgspec.Struct):
    """What was sent so far."""

    transactions: int = 0
    labels: int = 0


async def run_replay(settings: Settings, plan: Plan, tally: Tally) -> None:
    """Send everything, keeping count in ``tally`` as it goes, so that it is right after a failure too.

    Raises
    ------
    StoreUnavailable
        When brokers stop answering, or an agent that has to be waited for.
    TopicsMismatch
        When the topics for transactions or labels are missing or differ.
    InvalidInput
        When a file is wrong, naming the line; the rows before it were sent.
    """
    topics = Topics(settings)
    gc.disable()  # tens of thousands of waiting rows, none of them in a cycle: a third of the time otherwise
    async with AsyncExitStack() as stack:
        stack.callback(gc.enable)
        admin = await stack.enter_async_context(kafka_admin(settings))
        await require_topics(admin, [topics.transactions, topics.labels], with_config=False)
        settlement = None
        if plan.in_order:
            reader = LogReader(kafka_reading_options(settings))
            stack.push_async_callback(reader.stop)
            settlement = Settlement(topics, admin, reader)
        sender = await open_sender(settings, paced=plan.rate is not None)
        stack.push_async_callback(sender.close)
        with _progress() as progress:
            bar = progress.add_task(
                "replay", total=sum(file.size_bytes for file in plan.files), rows=0, labels=0
            )

            def show() -> None:
                read = sum(file.position_bytes for file in plan.files)
                progress.update(bar, completed=read, rows=tally.transactions, labels=tally.labels)

            await _Replay(plan, tally, _Outlet(sender, topics, settings.epoch), settlement, show).run()


class _Outlet(NamedTuple):
    """Where rows and labels go."""

    sender: Sender
    topics: Topics
    epoch: int


class _Replay:
    """One run: rows in, transactions and labels out, at the pace and in the order that was asked for."""

    def __init__(
        self,
        plan: Plan,
        tally: Tally,
        outlet: _Outlet,
        settlement: Settlement | None,
        show: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._tally = tally
        self._sender, self._topics, self._epoch = outlet
        self._settlement = settlement
        self._show = show
        self._headers: Headers = ()
        # What a model learns depends on the order of its labels, and only one partition has a definite order.
        self._label_partition = None if settlement is None else 0
        self._started = time.monotonic()
        self._due: list[Due] = []

    async def run(self) -> None:
        with closing(self._rows()) as rows:  # an error in the middle must not leave a file open
            await self._run(rows)

    async def _run(self, every_row: Iterator[Row]) -> None:
        plan = self._plan
        rows = islice(every_row, plan.first_row - 1, plan.limit and plan.first_row - 1 + plan.limit)
        try:
            chunk: list[Row] = []
            now = datetime.now(UTC)
            for number, row in enumerate(rows, start=1):
                if plan.labels is not None and (due := plan.labels.before(row, number, now)):
                    self._due += due
                    if self._settlement is not None:
                        await self._send(chunk)
                        chunk = []
                        await self._teach()
                if len(row.value) > MESSAGE_BYTES_MAX:
                    await self._send(chunk)
                    msg = f"row {number}: {len(row.value)} bytes are too many for one message"
                    raise InvalidInput(msg)  # noqa: TRY301 - told like every other wrong row
                chunk.append(row)
                if len(chunk) >= CHUNK_ROWS or not self._has_time_for(len(chunk)):
                    await self._send(chunk)
                    chunk = []
                    now = datetime.now(UTC)
            await self._send(chunk)
            if plan.labels is not None and plan.labels_at_end:
                self._due += plan.labels.rest()
            if self._settlement is not None:
                await self._teach()
            await self._send_labels()
        except InvalidInput as exc:
            await self._sender.flush()
            msg = f"{exc} ({self._tally.transactions} rows before it were sent)"
            raise InvalidInput(msg) from exc
        await self._sender.flush()
        if self._settlement is not None:
            await self._settlement.until_archived()

    def _rows(self) -> Generator[Row, None, None]:
        for file in self._plan.files:
            yield from file.rows()

    def _has_time_for(self, rows: int) -> bool:
        """Tell whether the next row may be added to a chunk: not when the rows in hand are due already."""
        if self._plan.rate is None:
            return True
        return time.monotonic() > self._started + (self._tally.transactions + rows) / self._plan.rate

    async def _send(self, chunk: list[Row]) -> None:
        if self._plan.rate is not None and chunk:
            # Open loop: send times are fixed beforehand, so a stall is caught up with rather than hidden.
            last = self._tally.transactions + len(chunk) - 1
            await asyncio.sleep(max(0.0, self._started + last / self._plan.rate - time.monotonic()))
        if chunk:
            await self._sender.send(self._topics.transactions.name, chunk, self._headers)
            self._tally.transactions += len(chunk)
            self._show()
        if self._settlement is None:  # after the rows, since a label may be due within the chunk of its row
            await self._send_labels()
        await asyncio.sleep(0)

    async def _send_labels(self) -> None:
        due, self._due = self._due, []
        if not due:
            return
        if any(label.row.offset < 0 for label in due):  # a label names the position of its row
            await self._sender.flush()
        now = datetime.now(UTC)
        messages = [label_message(label, self._epoch, now) for label in due]
        for start in range(0, len(messages), CHUNK_ROWS):
            await self._sender.send(
                self._topics.labels.name,
                messages[start : start + CHUNK_ROWS],
                partition=self._label_partition,
            )
        self._tally.labels += len(messages)

    async def _teach(self) -> None:
        """Send the labels that are due and let the model learn them, in the one order every run has.

        1. every row sent so far is classified and archived;
        2. the labels are sent;
        3. a published model has learned them;
        4. later rows say that they want that model or a newer one.
        """
        if not self._due or self._settlement is None:
            return
        await self._sender.flush()
        await self._settlement.until_archived()
        await self._send_labels()
        await self._sender.flush()
        offset = await self._settlement.until_learned()
        if offset >= 0:
            self._headers = ((MODEL_AFTER_HEADER, str(offset).encode()),)


def _progress() -> Progress:
    """Return a progress bar, which shows itself only on a terminal."""
    console = Console(stderr=True)
    return Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[rows]} rows, {task.fields[labels]} labels"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
