"""Labels find their transaction in the archive and become training examples."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from fraudstream.app import AgentApp
from fraudstream.core.codec import decode_classification, decode_label, encode_training_example
from fraudstream.core.labels import TAUGHT, KnownLabel, LabelOutcome, choose, example_of, is_due, judge_label
from fraudstream.core.messages import Label, LabelPosition, Position
from fraudstream.delivery.dead_letters import Letter
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.records import OutRecord
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.table import SliceTable
from fraudstream.delivery.ticking import Ticking
from fraudstream.delivery.work import Work
from fraudstream.errors import InvalidMessage
from fraudstream.ports import Archived
from fraudstream.presuming import PresumeGenuine
from tables.waiting_labels import WaitingLabel, WaitingLabels, waiting_labels

#: How often waiting labels are looked through for those that are due.
SWEEP_SECONDS = 0.1
#: Labels of one partition looked up together, from which on no further slice joins them.
MOST_TOGETHER = 1_000


class _Arrived(NamedTuple):
    offset: int
    label: Label
    raw: WaitingLabel


class LabelTransactions:
    """Join labels with the features their transactions were scored by."""

    def __init__(self, app: AgentApp, table: SliceTable[WaitingLabels], lane: Lane) -> None:
        context = app.context
        self._context = context
        self._archive = context.archive
        self._table = table
        self._lane = lane
        self._dead_letters = context.dead_letters()
        self._topic = context.topics.labels.name
        self._deadline = context.settings.label_deadline.total_seconds()
        self._open = context.opener("archive", context.archive.open)
        self._sweeping: set[int] = set()
        #: Labels of a partition's newest slice that is not being looked up yet.
        self._joinable: dict[int, list[_Arrived]] = {}

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Look at every waiting label again."""
        self._sweeping.clear()
        self._joinable.clear()

    def waits_for(self, part: RecordSlice) -> None:
        """Judge every slice at once."""

    def judge(self, part: RecordSlice) -> Work:
        """Decode a slice of labels; what they mean is looked up before anything is published.

        A slice joins the one before it where that still waits for its turn: a look-up costs a round trip to
        the archive and a note another, however few labels they are for. It is done after the one it joined.
        """
        work = Work()
        arrived: list[_Arrived] = []
        refused = 0
        now = time.time()
        for record in part.records:
            try:
                label = decode_label(record.value)
            except InvalidMessage as exc:
                self._dead_letters.add(work, part, record, exc)
                refused += 1
            else:
                raw = WaitingLabel(record.value or b"", record.key, record.timestamp, now)
                arrived.append(_Arrived(record.offset, label, raw))
        self._dead_letters.brake(len(part), refused)
        joined = self._joinable.get(part.partition)
        if joined is not None and len(joined) < MOST_TOGETHER:
            joined += arrived
        elif arrived:
            self._joinable[part.partition] = arrived
            self._look_up_before(work, part.partition, arrived)
        return work

    def sweep(self) -> None:
        """Queue another look at the waiting labels that are due."""
        now = time.time()
        for partition in sorted(self._lane.owned - self._sweeping):
            due = self._table.of(partition).due(now)
            if due:
                self._sweeping.add(partition)
                arrived = [_Arrived(offset, decode_label(raw.value), raw) for offset, raw in due.items()]
                work = Work(done=partial(self._sweeping.discard, partition))
                self._look_up_before(work, partition, arrived)
                self._lane.put(partition, work)

    def _look_up_before(self, work: Work, partition: int, arrived: list[_Arrived]) -> None:
        accepted: dict[Position, tuple[Label, LabelPosition]] = {}
        work.before = partial(self._look_up, work, partition, arrived, accepted)
        work.after = partial(self._note, accepted)

    async def _look_up(
        self,
        work: Work,
        partition: int,
        arrived: list[_Arrived],
        accepted: dict[Position, tuple[Label, LabelPosition]],
    ) -> None:
        """Find what the labels are about, and add to ``work`` what follows.

        Changes nothing if the archive does not answer.
        """
        if self._joinable.get(partition) is arrived:
            del self._joinable[partition]  # complete from now on, however often it is looked up
        await self._open()
        now = datetime.now(UTC)
        due = [one for one in arrived if is_due(one.label, now)]
        async with self._context.using("archive"):
            found = await self._archive.find([one.label for one in due]) if due else []
        waiting = self._table.of(partition)
        changed: dict[int, None] = {}
        for one in arrived:
            if not is_due(one.label, now) and one.label.not_before is not None:
                one.raw.next_try = one.label.not_before.timestamp()
                waiting.labels[one.offset] = one.raw
                changed[one.offset] = None
        known: dict[Position, KnownLabel] = {}
        for one, candidates in zip(due, found, strict=True):
            outcome = self._resolve(
                work, LabelPosition(partition, one.offset), one, candidates, known, accepted
            )
            if outcome is LabelOutcome.WAITING:
                one.raw.put_off(time.time())
                if one.offset not in waiting.labels:
                    waiting.labels[one.offset] = one.raw
                    changed[one.offset] = None
                    self._count(one.label, outcome)
            else:
                if waiting.labels.pop(one.offset, None) is not None:
                    changed[one.offset] = None
                self._count(one.label, outcome)
        work.changes = [waiting.entry(offset) for offset in changed]

    def _resolve(  # noqa: PLR0913, PLR0917 - one label with all it may change
        self,
        work: Work,
        position: LabelPosition,
        one: _Arrived,
        candidates: Sequence[Archived],
        known: dict[Position, KnownLabel],
        accepted: dict[Position, tuple[Label, LabelPosition]],
    ) -> LabelOutcome:
        for candidate in candidates:
            state = candidate.label
            if state is not None:
                had = KnownLabel(state.label, state.position, state.label_source, state.labelled_by)
                known.setdefault(candidate.source, had)
        try:
            chosen = choose(
                one.label, [decode_classification(candidate.classification) for candidate in candidates]
            )
            if chosen is None:
                waited = time.time() - one.raw.received_at
                if waited < self._deadline:
                    return LabelOutcome.WAITING
                fault = f"no such transaction was archived within {self._deadline:.0f} seconds"
                field = "position" if one.label.position else "transaction_id"
                raise InvalidMessage(fault, field)  # noqa: TRY301 - refused like an ambiguous one, below
        except InvalidMessage as exc:
            letter = Letter(
                self._topic, position.partition, one.offset, one.raw.timestamp_ms, one.raw.key, one.raw.value
            )
            self._dead_letters.add_letter(work, letter, exc)
            return LabelOutcome.REFUSED
        before = known.get(chosen.source)
        outcome = judge_label(one.label, position, before)
        if outcome in TAUGHT:
            replaces = before.label if before is not None and outcome is not LabelOutcome.ACCEPTED else None
            example = example_of(chosen, one.label, position, replaces)
            work.outputs.append(
                OutRecord(
                    one.offset,
                    str(chosen.source).encode(),
                    encode_training_example(example),
                    one.raw.timestamp_ms,
                )
            )
            label = one.label
            known[chosen.source] = KnownLabel(label.label, position, label.source, label.labelled_by)
            accepted[chosen.source] = (one.label, position)
        return outcome

    async def _note(self, accepted: dict[Position, tuple[Label, LabelPosition]]) -> None:
        if accepted:
            async with self._context.using("archive"):
                await self._archive.record_labels(accepted)

    def _count(self, label: Label, outcome: LabelOutcome) -> None:
        self._context.metrics.labels.labels(source=label.source, outcome=outcome).inc()


def attach(app: AgentApp) -> None:
    """Make an app label transactions."""
    topics = app.context.topics
    table = waiting_labels(app)
    lane = app.open_lane(topics.labels, output=topics.training_examples, aligned=False, table=table)
    agent = LabelTransactions(app, table, lane)
    lane.attach(agent, agent_name="label_transactions")
    app.starts_after(Ticking(SWEEP_SECONDS, agent.sweep))
    if app.context.settings.presume_genuine:
        app.starts_after(PresumeGenuine(app.context, lane))
