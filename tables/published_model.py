"""The model as it is published: snapshots, risks and the registry, written by the learner alone."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from aiokafka import ConsumerRecord

from fraudstream.context import WorkerContext
from fraudstream.core.code_version import code_version
from fraudstream.core.handover import Handover, encode_handover, handed_over, not_handed_over
from fraudstream.core.kept_model import encode_kept
from fraudstream.core.learning import Learner
from fraudstream.core.probes import Sanity, check_sanity
from fraudstream.core.registry import (
    Entry,
    LeftOut,
    ModelCommand,
    Refusal,
    Standing,
    decode_standing,
    encode_record,
    encode_standing,
)
from fraudstream.core.snapshot import Snapshot, decode_snapshot, encode_snapshot
from fraudstream.delivery.atomic import AtomicPublisher, AtomicRecord
from fraudstream.delivery.broadcast import Broadcast
from fraudstream.errors import InvalidInput, InvalidSnapshot, StoreUnavailable
from fraudstream.rebuilding import ModelRebuilder, NewState
from tables.held_labels import HeldLabels, limits_of, tell_bounds
from tables.serving_model import RISK_OFFSET_HEADER, SNAPSHOT_KEY, STANDING_HEADER

log = logging.getLogger(__name__)

Row = tuple[int | float, ...]

#: Condition of health, and the store that agents wait for, while the learner's own model is refused.
MODEL = "learned model"

_encode_row = msgspec.msgpack.Encoder().encode


class PublishedModel:
    """The last version published, and the way to the next.

    Everything that belongs to a version is published in one Kafka transaction: the snapshot, the risks that
    changed, its entry in the registry, labels that it holds back and, from time to time, the whole model.
    After a crash all of it is there, or nothing.

    Attributes
    ----------
    standing
        What goes with the last version; ``recent`` in it is kept up to date by the learner.
    """

    def __init__(self, context: WorkerContext, transactional_id: str) -> None:
        self.standing = Standing()
        self._context = context
        self._limits = limits_of(context.settings)
        self._publisher = AtomicPublisher(transactional_id, context.kafka)
        self._last: tuple[int, bytes] | None = None
        self._good: Sanity | None = None
        self._risk_offset = -1

    async def stop(self) -> None:
        """Let go of the right to publish. Idempotent."""
        await self._publisher.stop()

    async def take_over(self) -> Learner:
        """Fence an earlier learner, and return one that goes on from the state it published last.

        Raises
        ------
        InvalidSnapshot
            That state cannot be read.
        """
        await self._publisher.start()
        topics, reader = self._context.topics, self._context.log_reader
        risks = await self._read_risks()
        last = await reader.last_record(topics.model_snapshots.name, 0)
        self.standing = Standing(code=code_version(), limits=self._limits)
        self._last = self._good = None
        if last is None or last.value is None:
            return Learner(limits=self._limits)
        snapshot = decode_snapshot(last.value, drop_unknown=True)
        if snapshot.added or snapshot.dropped:
            log.warning(
                "terms have changed: these begin anew, all others keep what they learned",
                extra={"added": snapshot.added, "dropped": snapshot.dropped},
            )
        self._last = snapshot.version, last.value
        try:
            self._good = check_sanity(snapshot, None)
        except InvalidSnapshot as exc:  # published by an earlier program: the next version will not be
            log.error("the model published last would be refused", extra={"reason": str(exc)})  # noqa: TRY400
        self.standing = decode_standing(dict(last.headers).get(STANDING_HEADER))
        learner = Learner.restore(snapshot, risks, limits=self._limits)
        await ModelRebuilder(topics, reader).remember_labels(learner, self.standing.left_out)
        if (self.standing.code, self.standing.limits) != (code_version(), self._limits):
            await self._keep_now(learner, snapshot, last.value)
        return learner

    async def _read_risks(self) -> dict[str, object]:
        rows: dict[str, object] = {}

        def keep(record: "ConsumerRecord[bytes, bytes]") -> None:
            self._risk_offset = record.offset
            if record.key is not None and record.value is not None:
                rows[record.key.decode()] = msgspec.msgpack.decode(record.value)
            elif record.key is not None:
                rows.pop(record.key.decode(), None)

        broadcast = Broadcast(self._context.kafka_reading, {self._context.topics.entity_risk.name: keep})
        await broadcast.start()
        await broadcast.wait_until_caught_up()
        await broadcast.stop()
        return rows

    async def _keep_now(self, learner: Learner, snapshot: Snapshot, encoded: bytes) -> None:
        """Keep the state whole that another program, or other limits, led to, before learning on from it.

        So every version can be made again from a kept one by the program that learned what lies between.
        """
        now = datetime.now(UTC)
        parts = self._parts(learner, encoded, self.standing.left_out)
        async with self._publisher.transaction() as send:
            kept_at = (await send(parts))[0]
            self.standing = msgspec.structs.replace(
                self.standing,
                code=code_version(),
                limits=self._limits,
                base=snapshot.version,
                kept_at=kept_at,
                kept_learned=snapshot.learned,
                kept_time=now.timestamp(),
            )
            await send([self._model_record(encoded)])

    async def publish(self, learner: Learner) -> Snapshot:
        """Publish a learner's state as the next version.

        Raises
        ------
        StoreUnavailable
            The state is refused: nothing is published, the last good version serves on. To be tried again
            when more was learned, or another state was put in its place.
        """
        now = datetime.now(UTC)
        snapshot = learner.snapshot(now)
        encoded = encode_snapshot(snapshot)
        try:
            sanity = check_sanity(decode_snapshot(encoded), self._good)  # the very bytes workers will see
        except InvalidSnapshot as exc:
            learner.version -= 1
            self._context.metrics.snapshots_rejected.inc()
            self._context.health.deny(MODEL, str(exc))
            raise StoreUnavailable(MODEL, str(exc)) from exc
        standing, settings = self.standing, self._context.settings
        keep = (
            snapshot.learned - standing.kept_learned >= settings.keep_model_examples
            and now.timestamp() - standing.kept_time >= settings.keep_model_interval.total_seconds()
        )
        parts = self._parts(learner, encoded, standing.left_out) if keep else []
        parent = self._last[0] if self._last else 0
        await self._publish(snapshot, encoded, learner.take_changed(), parts, parent, HeldLabels.of(learner))
        tell_bounds(learner, self._context.metrics)
        self._good = sanity
        return snapshot

    async def replace(
        self, before: Learner, state: NewState, command: ModelCommand, command_offset: int
    ) -> Snapshot:
        """Publish the state that a command leads to as the next version, always kept whole.

        Risks are brought to it in the same transaction, those it does not have are taken away. Challengers
        are told in it too: who serves now and, where another model did before, its state.

        Raises
        ------
        InvalidInput
            The state is no sound model; nothing is published.
        """
        after = state.learner
        after.version = before.version
        former = before.state(datetime.now(UTC))
        after.take_changed()
        snapshot = after.snapshot(datetime.now(UTC))
        encoded = encode_snapshot(snapshot)
        try:
            sanity = check_sanity(decode_snapshot(encoded), None)
        except InvalidSnapshot as exc:
            raise InvalidInput(str(exc)) from exc
        rows: dict[str, Row | None] = dict.fromkeys(before.risks)
        rows.update((terminal_id, risk.to_row()) for terminal_id, risk in after.risks.items())
        known = {terminal_id: risk.to_row() for terminal_id, risk in before.risks.items()}
        for terminal_id in before.take_changed():
            known.pop(terminal_id, None)  # readers may have an older row of it
        changed = {
            terminal_id: row
            for terminal_id, row in rows.items()
            if terminal_id not in known or known[terminal_id] != row
        }
        self.standing = msgspec.structs.replace(
            self.standing, lineage=snapshot.version, left_out=state.left_out, command_offset=command_offset
        )
        parts = self._parts(after, encoded, state.left_out)
        held = HeldLabels.of(before).and_new(before, after)
        told = self._handover_record(handed_over(command, former, snapshot))
        await self._publish(snapshot, encoded, changed, parts, state.parent, held, command, [told])
        tell_bounds(after, self._context.metrics)
        self._good = sanity
        return snapshot

    async def refuse(self, command: ModelCommand, command_offset: int, reason: str, serving: str) -> None:
        """Answer a command that is not obeyed; the model, whose name is ``serving``, stays as it is."""
        self.standing = msgspec.structs.replace(self.standing, command_offset=command_offset)
        version, now = self._last[0] if self._last else 0, datetime.now(UTC)
        refusal = Refusal(version=version, command=command.told(), reason=reason, created_at=now)
        told = self._handover_record(not_handed_over(command, reason, now, serving))
        async with self._publisher.transaction() as send:
            await send([self._registry_record(refusal), told])
            if self._last is not None:  # again, so that the command counts as answered after a restart
                await send([self._model_record(self._last[1])])

    async def _publish(  # noqa: PLR0913, PLR0917 - all that belongs to one version
        self,
        snapshot: Snapshot,
        encoded: bytes,
        rows: dict[str, Row | None],
        parts: Sequence[AtomicRecord],
        parent: int,
        held: HeldLabels,
        command: ModelCommand | None = None,
        beside: Sequence[AtomicRecord] = (),
    ) -> None:
        topic = self._context.topics.entity_risk.name
        risks = [
            AtomicRecord(topic, key.encode(), None if row is None else _encode_row(row))
            for key, row in rows.items()
        ]
        async with self._publisher.transaction() as send:
            if parts:
                self.standing = msgspec.structs.replace(
                    self.standing,
                    base=snapshot.version,
                    kept_at=(await send(parts))[0],
                    kept_learned=snapshot.learned,
                    kept_time=snapshot.created_at.timestamp(),
                )
            self._risk_offset = max(await send(risks), default=self._risk_offset)
            await send(held.records(self._context.topics))
            entry = self._entry(snapshot, parent, command)
            await send([self._registry_record(entry), *beside, self._model_record(encoded)])
        self._last = snapshot.version, encoded
        self._context.health.affirm(MODEL)
        held.tell(self._context.metrics)
        metrics = self._context.metrics
        metrics.model_version.set(snapshot.version)
        metrics.training_offset.set(snapshot.training_offset)
        metrics.snapshot_bytes.set(len(encoded))

    def _entry(self, snapshot: Snapshot, parent: int, command: ModelCommand | None) -> Entry:
        standing = self.standing
        return Entry(
            version=snapshot.version,
            parent=parent,
            lineage=standing.lineage,
            base=standing.base,
            kept_at=standing.kept_at,
            training_offset=snapshot.training_offset,
            learned=snapshot.learned,
            created_at=snapshot.created_at,
            code=standing.code,
            recent=standing.recent,
            limits=standing.limits,
            command=None if command is None else command.told(),
            design=snapshot.design.name,
        )

    def _parts(self, learner: Learner, encoded: bytes, left_out: tuple[LeftOut, ...]) -> list[AtomicRecord]:
        topic = self._context.topics.kept_models.name
        rows = {terminal_id: risk.to_row() for terminal_id, risk in learner.risks.items()}
        return [AtomicRecord(topic, key, value) for key, value in encode_kept(encoded, rows, left_out)]

    def _registry_record(self, record: Entry | Refusal) -> AtomicRecord:
        key = str(record.version).encode()
        return AtomicRecord(self._context.topics.model_registry.name, key, encode_record(record))

    def _handover_record(self, told: Handover) -> AtomicRecord:
        topic = self._context.topics.model_handovers.name
        return AtomicRecord(topic, told.id.encode(), encode_handover(told))

    def _model_record(self, encoded: bytes) -> AtomicRecord:
        headers = (
            (STANDING_HEADER, encode_standing(self.standing)),
            (RISK_OFFSET_HEADER, str(self._risk_offset).encode()),
        )
        return AtomicRecord(self._context.topics.model_snapshots.name, SNAPSHOT_KEY, encoded, headers)
