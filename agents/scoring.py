"""Transactions are decoded, scored and decided on, each once."""

import logging
import time
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from functools import partial

from fraudstream.app import AgentApp
from fraudstream.core.codec import encode_classification, encode_label
from fraudstream.core.ftrl import probability
from fraudstream.core.messages import Classification, Label, LabelSource, Position, Transaction
from fraudstream.core.policy import Policy
from fraudstream.core.policy_file import load_policy
from fraudstream.core.scoring import PartitionState, classify
from fraudstream.core.wire_formats import load_wire_formats
from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.records import OutRecord, Record
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.table import SliceTable
from fraudstream.delivery.work import Work
from fraudstream.errors import InvalidMessage
from fraudstream.settings import Settings
from tables.card_history import card_history, changes
from tables.serving_model import FollowedModel, serving_model

log = logging.getLogger(__name__)

#: Header of a transaction to be scored by a model which has learned the training example of that offset.
MODEL_AFTER_HEADER = "fraudstream-model-after"


class ScoreTransactions:
    """Score transactions with the serving model and their cards' histories."""

    def __init__(self, app: AgentApp, table: SliceTable[PartitionState], model: FollowedModel) -> None:
        context = app.context
        settings = context.settings
        key = settings.card_hash_key
        self._settings = settings
        self._metrics = context.metrics
        stages = self._metrics.stage_seconds
        self._decoding = stages.labels(agent="scoring", stage="decode")
        self._scoring = stages.labels(agent="scoring", stage="score")
        context.gauges.append(self._tell_budget)
        self._table = table
        self._model = model
        self._labels_topic = context.topics.labels.name
        self._formats = load_wire_formats(
            settings.wire_formats, card_hash_key=key.get_secret_value().encode() if key else None
        )
        self._policy = _policy(settings)
        self._dead_letters = context.dead_letters()
        self._warned: set[str] = set()

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Wait until the newest model has been read."""
        await self._model.broadcast.wait_until_caught_up()

    def waits_for(self, part: RecordSlice) -> Awaitable[None] | None:
        """Wait for the model that a producer asked for, if one did."""
        needed = -1
        for record in part.records:
            if record.headers:
                for name, value in record.headers:
                    if name == MODEL_AFTER_HEADER and value.isdigit():
                        needed = max(needed, int(value))
        return (
            self._model.wait_until_learned(needed) if needed > self._model.serving.training_offset else None
        )

    def judge(self, part: RecordSlice) -> Work:
        """Classify each transaction; what is none becomes a dead letter, and its neighbours are scored."""
        settings, policy, serving = self._settings, self._policy, self._model.serving
        state = self._table.of(part.partition)
        now = datetime.now(UTC)
        work = Work()
        accepted: list[Classification] = []
        started = time.perf_counter()
        transactions: list[tuple[Record, Transaction]] = []
        for record in part.records:
            try:
                transactions.append((record, self._formats.decode(record.value, record.timestamp)))
            except InvalidMessage as exc:
                self._dead_letters.add(work, part, record, exc)
        decoded = time.perf_counter()
        for record, transaction in transactions:
            position = Position(settings.epoch, part.partition, record.offset)
            classification = classify(transaction, position, now, state, serving, policy)
            accepted.append(classification)
            encoded = encode_classification(classification)
            work.outputs.append(OutRecord(record.offset, record.key, encoded, record.timestamp))
            if transaction.card_id is not None and record.key != transaction.card_id.encode():
                self._note_mismatch(part, record)
            if settings.learn_from_messages and transaction.label is not None:
                work.notices.setdefault(self._labels_topic, []).append(self._label_of(classification, record))
        scored = time.perf_counter()
        self._dead_letters.brake(len(part), len(part) - len(accepted))
        work.changes = changes(state, settings.epoch)
        work.published = partial(self._count, accepted, part)
        self._decoding.observe(decoded - started)
        self._scoring.observe(scored - decoded)
        return work

    def transaction_id(self, record: Record) -> str:
        """Return the id in a source record; raises ``InvalidMessage`` when it is no transaction."""
        return self._formats.decode(record.value, record.timestamp).transaction_id

    def _label_of(self, classification: Classification, record: Record) -> OutRecord:
        transaction = classification.transaction
        assert transaction.label is not None  # noqa: S101 - the caller asked
        label = Label(
            label=transaction.label,
            source=LabelSource.CUSTOMER,
            labelled_at=classification.scored_at,
            position=classification.source,
            not_before=classification.scored_at + self._settings.message_label_delay,
            labelled_by="message",
        )
        return OutRecord(record.offset, record.key, encode_label(label))

    def _note_mismatch(self, part: RecordSlice, record: Record) -> None:
        self._metrics.mismatched_keys.inc()
        producer = self._formats.last_name
        if producer not in self._warned:
            self._warned.add(producer)
            log.warning(
                "record key is not the card id: the card's history may be split between partitions",
                extra={"wire_format": producer, "partition": part.partition, "offset": record.offset},
            )

    def _count(self, accepted: list[Classification], part: RecordSlice) -> None:
        metrics = self._metrics
        metrics.transactions.inc(len(accepted))
        decisions: dict[str, int] = {}
        for classification in accepted:
            decisions[classification.decision] = decisions.get(classification.decision, 0) + 1
        for decision, number in decisions.items():
            metrics.classifications.labels(decision=decision).inc(number)
        metrics.end_to_end_latency_seconds.observe(max(0.0, time.time() - part.timestamp / 1000))

    def _tell_budget(self, now: float) -> None:
        reviews = [state.review for state in self._table.states.values() if state.review is not None]
        if reviews:
            thresholds = [probability(review.threshold) for review in reviews]
            self._metrics.review_threshold.set(sum(thresholds) / len(thresholds))
            self._metrics.review_precision.set(sum(review.precision for review in reviews) / len(reviews))


def _policy(settings: Settings) -> Policy:
    if settings.policy is not None:
        return load_policy(settings.policy)
    budget = float(settings.review_budget) if settings.review_by == "budget" else None
    return Policy(review_at=settings.review_at, decline_at=settings.decline_at, budget=budget)


def attach(app: AgentApp) -> None:
    """Make an app score transactions."""
    topics = app.context.topics
    table = card_history(app)
    agent = ScoreTransactions(app, table, serving_model(app))
    epoch = EpochGuard(
        app.context.log_reader,
        epoch=app.context.settings.epoch,
        source=topics.transactions.name,
        outputs=[topics.classifications.name],
        stored=app.context.stored_offsets,
        stored_result=app.context.stored_result,
        store_name="the archive",
        transaction_id=agent.transaction_id,
    )
    lane = app.open_lane(topics.transactions, output=topics.classifications, table=table, epoch=epoch)
    lane.attach(agent, agent_name="score_transactions")
