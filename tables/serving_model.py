"""The model this process scores with: followed live from the learner's broadcast."""

import asyncio
import logging

import msgspec
from aiokafka import ConsumerRecord

from fraudstream.app import AgentApp
from fraudstream.context import WorkerContext
from fraudstream.core.serving import ServingModel
from fraudstream.core.snapshot import Snapshot, decode_snapshot
from fraudstream.delivery.broadcast import Broadcast
from fraudstream.errors import InvalidMessage, InvalidSnapshot

log = logging.getLogger(__name__)

#: Header of a snapshot: offset in ``entity-risk`` of the last risk that belongs to it.
RISK_OFFSET_HEADER = "fraudstream-risk-offset"
#: Key of every snapshot: compaction keeps the newest.
SNAPSHOT_KEY = b"serving"


class FollowedModel:
    """The serving model, and how far it has come.

    A snapshot is served once every risk published with it has arrived: weights and risks are one state.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.serving = ServingModel()
        self._context = context
        self._created_at = 0.0
        self._risk_offset = -1
        self._waiting: tuple[int, Snapshot] | None = None
        self._newer = asyncio.Event()
        topics = context.topics
        self.broadcast = Broadcast(
            context.kafka_reading,
            {topics.entity_risk.name: self.apply_risk, topics.model_snapshots.name: self.apply_snapshot},
        )
        context.health.expect("model", "no model has arrived yet: scores are the prior")
        context.gauges.append(self._set_age)

    def apply_risk(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        """Take over the risk of one terminal."""
        if record.key is not None:
            try:
                row = None if record.value is None else msgspec.msgpack.decode(record.value)
                self.serving.apply_risk(record.key.decode(), row)
            except (InvalidMessage, msgspec.MsgspecError, UnicodeDecodeError) as exc:
                extra = {"offset": record.offset, "reason": str(exc)}
                log.error("risk of a terminal refused", extra=extra)  # noqa: TRY400 - the reason says it all
        self._risk_offset = record.offset
        self._serve_if_complete()

    def apply_snapshot(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        """Take over a snapshot, or keep the last good one when it is refused."""
        if record.value is None:
            return
        try:
            snapshot = decode_snapshot(record.value)
        except InvalidSnapshot as exc:
            self._context.metrics.snapshots_rejected.inc()
            extra = {"offset": record.offset, "reason": str(exc)}
            log.error("model snapshot refused, the last good one serves on", extra=extra)  # noqa: TRY400 - as above
            return
        self._context.metrics.snapshot_bytes.set(len(record.value))
        needed = int(dict(record.headers).get(RISK_OFFSET_HEADER, b"-1"))
        self._waiting = (needed, snapshot)
        self._serve_if_complete()

    def _serve_if_complete(self) -> None:
        if self._waiting is None or self._risk_offset < self._waiting[0]:
            return
        snapshot, self._waiting = self._waiting[1], None
        if self.serving.apply_snapshot(snapshot):
            self._created_at = snapshot.created_at.timestamp()
            metrics = self._context.metrics
            metrics.model_version.set(snapshot.version)
            metrics.training_offset.set(snapshot.training_offset)
            self._context.health.affirm("model")
            self._newer.set()
            self._newer = asyncio.Event()

    async def wait_until_learned(self, training_offset: int) -> None:
        """Return when the serving model has learned the training example at an offset."""
        while self.serving.training_offset < training_offset:
            await self._newer.wait()

    def _set_age(self, now: float) -> None:
        if self._created_at:
            self._context.metrics.model_age_seconds.set(max(0.0, now - self._created_at))


def serving_model(app: AgentApp) -> FollowedModel:
    """Have an app follow the serving model."""
    followed = FollowedModel(app.context)
    app.starts_after(followed.broadcast)
    return followed


__all__ = ["RISK_OFFSET_HEADER", "SNAPSHOT_KEY", "FollowedModel", "serving_model"]
