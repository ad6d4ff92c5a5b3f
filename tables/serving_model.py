"""The model this process scores with: followed live from the learner's broadcast."""

import asyncio
import logging
from collections import deque

import msgspec
from aiokafka import ConsumerRecord

from fraudstream.app import AgentApp
from fraudstream.context import WorkerContext
from fraudstream.core.probes import Sanity, check_sanity
from fraudstream.core.registry import decode_standing
from fraudstream.core.serving import ServingModel
from fraudstream.core.snapshot import Snapshot, decode_snapshot
from fraudstream.delivery.broadcast import Broadcast
from fraudstream.errors import InvalidMessage, InvalidSnapshot

log = logging.getLogger(__name__)

#: Header of a snapshot: offset in ``entity-risk`` of the last risk that belongs to it.
RISK_OFFSET_HEADER = "fraudstream-risk-offset"
#: Header of a snapshot: the :class:`~fraudstream.core.registry.Standing` that goes with it.
STANDING_HEADER = "fraudstream-standing"
#: Condition of health that does not hold after a refusal, until a newer snapshot is served.
NEWEST_MODEL = "newest model"
#: Key of every snapshot: compaction keeps the newest.
SNAPSHOT_KEY = b"serving"


class FollowedModel:
    """The serving model, and how far it has come.

    Weights and risks are one state: a snapshot is served once every risk published with it has arrived, and
    a risk enters only with the snapshot it was published with.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.serving = ServingModel()
        self._context = context
        self._created_at = 0.0
        self._good: tuple[int, Sanity] | None = None
        self._waiting: tuple[int, int, Snapshot, Sanity] | None = None
        #: Highest offset of a risk that has arrived, and of one that belongs to the model served.
        self._risk_offset = self._served_risks = -1
        self._risks: deque[tuple[int, str, object | None]] = deque()
        self._newer = asyncio.Event()
        topics = context.topics
        self.broadcast = Broadcast(
            context.kafka_reading,
            {topics.entity_risk.name: self.apply_risk, topics.model_snapshots.name: self.apply_snapshot},
            on_caught_up=self._caught_up,
        )
        context.health.expect("model", "the newest model is not read yet")
        context.gauges.append(self._set_age)

    def apply_risk(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        """Take in the risk of one terminal; it is served with its snapshot."""
        if record.offset <= self._risk_offset:
            return  # everything is delivered again after a reconnection
        self._risk_offset = record.offset
        if record.key is not None:
            try:
                row = None if record.value is None else msgspec.msgpack.decode(record.value)
                self._risks.append((record.offset, record.key.decode(), row))
            except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
                _tell_refused_risk(record.offset, exc)
        if self._waiting is not None and record.offset >= self._waiting[0]:
            self._serve_waiting()
        elif record.offset <= self._served_risks:
            self._enter_risks()

    def _enter_risks(self) -> None:
        risks = self._risks
        while risks and risks[0][0] <= self._served_risks:
            offset, terminal_id, row = risks.popleft()
            try:
                self.serving.apply_risk(terminal_id, row)
            except InvalidMessage as exc:
                _tell_refused_risk(offset, exc)

    def apply_snapshot(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        """Take over a snapshot, or keep the last good one when it is refused.

        It is refused when its bytes are damaged or of other terms, when its numbers are none a learner can
        have reached, or when it scores a fixed set of probes as no sound model would.
        """
        if record.value is None:
            return
        headers = dict(record.headers)
        try:
            snapshot = decode_snapshot(record.value)
            lineage = decode_standing(headers.get(STANDING_HEADER)).lineage
            good = self._good
            # After a rollback or relearning another state is meant: it is looked at by itself.
            sanity = check_sanity(snapshot, good[1] if good is not None and good[0] == lineage else None)
        except (InvalidSnapshot, InvalidMessage) as exc:
            self._context.metrics.snapshots_rejected.inc()
            self._context.health.deny(NEWEST_MODEL, str(exc))
            extra = {"offset": record.offset, "reason": str(exc)}
            log.error("model snapshot refused, the last good one serves on", extra=extra)  # noqa: TRY400 - as above
            return
        self._context.metrics.snapshot_bytes.set(len(record.value))
        self._waiting = (int(headers.get(RISK_OFFSET_HEADER, b"-1")), lineage, snapshot, sanity)
        if self._risk_offset >= self._waiting[0]:
            self._serve_waiting()

    def _caught_up(self) -> None:
        """Serve what there is: the newest model, or the prior while none was ever published."""
        self._serve_waiting()
        self._context.health.affirm("model")

    def _serve_waiting(self) -> None:
        if self._waiting is None:
            return
        (needed, lineage, snapshot, sanity), self._waiting = self._waiting, None
        self._served_risks = max(self._served_risks, needed)
        newer = self.serving.apply_snapshot(snapshot)
        self._enter_risks()
        if not newer:
            return
        self._good = lineage, sanity
        self._created_at = snapshot.created_at.timestamp()
        metrics = self._context.metrics
        metrics.model_version.set(snapshot.version)
        metrics.training_offset.set(snapshot.training_offset)
        self._context.health.affirm("model")
        self._context.health.affirm(NEWEST_MODEL)
        self._newer.set()
        self._newer = asyncio.Event()

    async def wait_until_learned(self, training_offset: int) -> None:
        """Return when the serving model has learned the training example at an offset."""
        while self.serving.training_offset < training_offset:
            await self._newer.wait()

    def _set_age(self, now: float) -> None:
        if self._created_at:
            self._context.metrics.model_age_seconds.set(max(0.0, now - self._created_at))


def _tell_refused_risk(offset: int, exc: Exception) -> None:
    log.error("risk of a terminal refused", extra={"offset": offset, "reason": str(exc)})


def serving_model(app: AgentApp) -> FollowedModel:
    """Have an app follow the serving model."""
    followed = FollowedModel(app.context)
    app.starts_after(followed.broadcast)
    return followed


__all__ = ["RISK_OFFSET_HEADER", "SNAPSHOT_KEY", "STANDING_HEADER", "FollowedModel", "serving_model"]
