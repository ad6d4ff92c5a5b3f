"""Every metric, declared once: what it means, and what to do about it.

``docs/metrics.md`` is made from these declarations and a test compares the two.
"""

from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

STAGE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Half a millisecond is a slice of one record on a quiet machine; above 2.5 s a session is in danger."""

LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""From one quiet broker round trip to a backlog of a minute."""

FLUSH_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""A flush of 10 000 cells should take less than a second."""


class Declared(NamedTuple):
    """One metric as an operator reads about it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    remedy: str


class Metrics:
    """All metrics of one process, registered in ``registry``.

    Labels have few values: never a card, a transaction or a partition.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.declared: list[Declared] = []
        self._declare_flow()
        self._declare_delivery()
        self._declare_stores()
        self._declare_windows()
        self._declare_learning()
        self._declare_watch()
        self._declare_challengers()

    def _declare_flow(self) -> None:
        self.transactions = self._counter(
            "fraudstream_transactions_total",
            "Transactions decoded, replayed ones included.",
            "Zero: see lag.",
        )
        self.classifications = self._counter(
            "fraudstream_classifications_total",
            "Classifications published, by decision.",
            "Many more reviews or declines than usual: look at drift and at the newest model.",
            "decision",
        )
        self.alerts = self._counter(
            "fraudstream_alerts_total",
            "Alerts published.",
            "Above the review budget: set FRAUDSTREAM_REVIEW_BY to budget, or look for rules that fire much.",
        )
        self.review_threshold = self._gauge(
            "fraudstream_review_threshold",
            "Score above which a transaction is an alert under the review budget, mean over partitions.",
            "Far from usual: the model or the traffic has changed; `fraudstream drift report` tells where.",
        )
        self.review_precision = self._gauge(
            "fraudstream_review_expected_precision_ratio",
            "Share of fraud expected among recent alerts: the mean of their scores.",
            "Low: the budget is larger than what stands out. Near 1: a larger one would find more fraud.",
        )
        self.dead_letters = self._counter(
            "fraudstream_dead_letters_total",
            "Messages set aside as unusable, by topic they came from and kind of fault.",
            "`fraudstream dead-letters list` names each fault; `resend` after the repair.",
            "topic",
            "reason",
        )
        self.stage_seconds = self._histogram(
            "fraudstream_stage_seconds",
            "Time one slice of an agent spends in a stage; stage `slice` is all of them and their waiting.",
            "Look at the stage that grew: publish and changelog wait for brokers, store for a store.",
            STAGE_SECONDS,
            "agent",
            "stage",
        )
        self.stage_records = self._counter(
            "fraudstream_stage_records_total",
            "Records that have passed a stage of an agent; its rate is the stage's throughput.",
            "Slower than the stage before it: see its stage_seconds.",
            "agent",
            "stage",
        )
        self.end_to_end_latency_seconds = self._histogram(
            "fraudstream_end_to_end_latency_seconds",
            "From the transaction's Kafka timestamp to its classification being durable.",
            "High with lag: add workers or partitions. High without: see stage_seconds.",
            LATENCY_SECONDS,
        )
        self.mismatched_keys = self._counter(
            "fraudstream_mismatched_keys_total",
            "Transactions that came on another partition than their card's earlier ones.",
            "The producer must partition by card, or histories are split between partitions.",
        )

    def _declare_delivery(self) -> None:
        self.lag_records = self._gauge(
            "fraudstream_lag_records",
            "Records of an agent's partitions in this process that its group has not committed yet.",
            "Growing: add workers up to the number of partitions; if it stands still, see the log.",
            "agent",
            "topic",
        )
        self.checkpoint_age_seconds = self._gauge(
            "fraudstream_checkpoint_age_seconds",
            "How long the oldest slice in hand has waited for its checkpoint; 0 with none in hand.",
            "Growing: publishing or a store does not answer; after a kill this much is done again.",
            "agent",
        )
        self.checkpoint_time = self._gauge(
            "fraudstream_checkpoint_timestamp_seconds",
            "When an agent last made a checkpoint, in seconds since 1970.",
            "See checkpoint_age.",
            "agent",
        )
        self.pending_slices = self._gauge(
            "fraudstream_pending_slices",
            "Slices an agent has judged that are not durable yet.",
            "At its bound: what the agent waits for is slow; its partitions are held meanwhile.",
            "agent",
        )
        self.pending_records = self._gauge(
            "fraudstream_pending_records",
            "Records an agent has taken that are not durable yet.",
            "Growing: what the agent waits for is slow or away.",
            "agent",
        )
        self.rebalances = self._counter(
            "fraudstream_rebalances_total",
            "Assignments of partitions to this worker.",
            "Repeated: workers restart or miss heartbeats (FRAUDSTREAM_SESSION_TIMEOUT_SECONDS).",
            "agent",
        )
        self.published_tail_skips = self._counter(
            "fraudstream_published_tail_skips_total",
            "Outputs not published again because an earlier life of this partition had published them.",
            "None: this is the protocol at work after a restart.",
            "agent",
        )
        self.recovered = self._gauge(
            "fraudstream_recovered",
            "1 when an agent's partitions are assigned and its tables recovered, else 0.",
            "0 for long: see the log of recovery.",
            "agent",
        )

    def _declare_stores(self) -> None:
        self.store_up = self._gauge(
            "fraudstream_store_up",
            "1 when the last call to the store succeeded, else 0.",
            "0: bring the store back; nothing is lost meanwhile and scoring goes on.",
            "store",
        )
        self.store_retries = self._counter(
            "fraudstream_store_retries_total",
            "Calls to a store that failed and were made again.",
            "Rising: the store is away or overloaded.",
            "store",
        )
        self.archive_stored = self._counter(
            "fraudstream_archive_stored_total",
            "Classifications that were new to the archive.",
            "Behind classifications: see pending and lag of the sinks.",
        )
        self.counts_flushed = self._counter(
            "fraudstream_counts_flushed_total",
            "Cells written to the store of counts.",
            "Zero for long: see store_up.",
        )
        self.flush_seconds = self._histogram(
            "fraudstream_flush_seconds",
            "Time one flush of window counts takes.",
            "Above its interval: the store of counts is too slow.",
            FLUSH_SECONDS,
        )

    def _declare_windows(self) -> None:
        self.open_windows = self._gauge(
            "fraudstream_open_windows",
            "Windows still open, over all partitions of this worker.",
            "Growing without end: a partition stands still in event time.",
        )
        self.late_records = self._counter(
            "fraudstream_late_records_total",
            "Transactions too late for their window: archived, not counted.",
            "Many: raise FRAUDSTREAM_WINDOW_GRACE_SECONDS.",
        )
        self.misdated_records = self._counter(
            "fraudstream_misdated_records_total",
            "Transactions that claim a time far ahead, while too many such windows are open: not counted.",
            "Any: a producer's clock or time zone is wrong; the archive tells whose by event_time.",
        )
        self.window_lateness_seconds = self._gauge(
            "fraudstream_window_lateness_seconds",
            "How far the oldest transaction of the latest slice lay behind its partition's event time.",
            "Near the grace period: transactions are about to be late.",
        )

    def _declare_learning(self) -> None:
        self.labels = self._counter(
            "fraudstream_labels_total",
            "Labels handled, by who gave them and what became of them.",
            "Many waiting or set aside: they name transactions the archive does not know.",
            "source",
            "outcome",
        )
        self.examples_learned = self._counter(
            "fraudstream_examples_learned_total",
            "Training examples learned.",
            "Zero with labels coming: see the learner.",
        )
        self.labels_held = self._counter(
            "fraudstream_labels_held_total",
            "Labels kept aside because their source is not believed, by kind of source and reason.",
            "Any: `fraudstream labels quarantine list` names the sources; `release` learns them after all.",
            "source",
            "reason",
        )
        self.sources_quarantined = self._gauge(
            "fraudstream_label_sources_quarantined",
            "Sources of labels in quarantine.",
            "Above 0: find out why they contradict; release them or relearn without them (docs/labels.md).",
        )
        self.terminals = self._gauge(
            "fraudstream_terminals",
            "Terminals whose risk is kept.",
            "At FRAUDSTREAM_TERMINALS_KEPT: see terminals_forgotten.",
        )
        self.terminals_forgotten = self._counter(
            "fraudstream_terminals_forgotten_total",
            "Terminals forgotten, those without labels for longest, because there are too many.",
            "Steadily rising: raise FRAUDSTREAM_TERMINALS_KEPT, or find out who invents terminals.",
        )
        self.presumed_until = self._gauge(
            "fraudstream_presumed_until_timestamp_seconds",
            "Event time up to which everything without a label is presumed genuine, in seconds since 1970.",
            "Standing still while transactions come: the archive or the labelling agent is behind.",
        )
        self.learning_latency_seconds = self._histogram(
            "fraudstream_learning_latency_seconds",
            "From the label's Kafka timestamp to a published model that has learned it.",
            "High: see lag of labels and training-examples.",
            LATENCY_SECONDS,
        )
        self.model_version = self._gauge(
            "fraudstream_model_version",
            "Version of the serving model; 0 is the prior, without a model.",
            "0 or different between workers for long: see the topic model-snapshots.",
        )
        self.model_age_seconds = self._gauge(
            "fraudstream_model_age_seconds",
            "Age of the serving model.",
            "Growing: no labels arrive, or the learner is down.",
        )
        self.training_offset = self._gauge(
            "fraudstream_training_offset",
            "Offset of the last training example the model has learned.",
            "Standing still while training-examples grows: the learner is down.",
        )
        self.snapshot_bytes = self._gauge(
            "fraudstream_snapshot_bytes",
            "Size of the newest model snapshot.",
            "Near the topic's max.message.bytes: raise it on topic and producers.",
        )
        self.snapshots_rejected = self._counter(
            "fraudstream_snapshots_rejected_total",
            "Model snapshots refused for checksum, version, content or for what they make of the probes.",
            "Any: the last good model serves on; see the log, and `fraudstream model rollback`.",
        )
        self.model_commands = self._counter(
            "fraudstream_model_commands_total",
            "Commands to the learner, by action and by what became of them.",
            "Refused: `fraudstream model list` tells why.",
            "action",
            "outcome",
        )

    def _declare_watch(self) -> None:
        told = (
            ("average_precision", "average_precision_ratio", "Average precision", "Falling"),
            (
                "precision_at_budget",
                "precision_at_budget_ratio",
                "Share of fraud in the budget's scores",
                "Falling",
            ),
            (
                "recall_at_budget",
                "recall_at_budget_ratio",
                "Share of frauds the budget's scores find",
                "Falling",
            ),
            ("alert_precision", "alert_precision_ratio", "Share of fraud among alerts", "Falling"),
            ("log_loss", "log_loss", "Mean log loss in nats", "Rising"),
            ("calibration_error", "calibration_error", "Mean gap of scores and fraud rates", "Rising"),
            (
                "predicted_over_observed",
                "predicted_over_observed_ratio",
                "Frauds predicted over found",
                "Not near 1",
            ),
            ("labels", "labels", "Labels these measures rest on", "Falling"),
        )
        self.quality = {
            field: self._gauge(
                f"fraudstream_quality_{name}",
                f"{meaning}, by labels of the last weeks (half-life 7 days), by segment.",
                f"{worse}: see model_alarms and `fraudstream drift report`.",
                "segment",
                "value",
            )
            for field, name, meaning, worse in told
        }
        self.reliability_predicted = self._gauge(
            "fraudstream_reliability_predicted_ratio",
            "Mean score of recent labelled transactions, by the score their bin begins at.",
            "Away from reliability_observed: scores mislead; see model_alarms.",
            "score_from",
        )
        self.reliability_observed = self._gauge(
            "fraudstream_reliability_observed_ratio",
            "Fraud rate of recent labelled transactions, by the score their bin begins at.",
            "Away from reliability_predicted: scores mislead; see model_alarms.",
            "score_from",
        )
        self.model_alarms = self._counter(
            "fraudstream_model_alarms_total",
            "Alarms told about the model, each again after a day with its features, by detector.",
            "Any: read topic model-alarms or `fraudstream drift report`; nothing is reset by itself.",
            "detector",
        )
        self.model_alarms_open = self._gauge(
            "fraudstream_model_alarms_open",
            "1 while an alarm of the detector is open, until seven days after its last detection.",
            "1: see model_alarms.",
            "detector",
        )
        self.movement_surprise = self._gauge(
            "fraudstream_movement_surprise",
            "By how many of its usual deviations a feature or segment has moved beyond the usual.",
            "Above 5: something has changed; `fraudstream drift report` tells which values.",
            "population",
            "aspect",
        )

    def _declare_challengers(self) -> None:
        self.challenger_lag = self._gauge(
            "fraudstream_challenger_lag_examples",
            "Training examples a challenger has still to learn before it takes part.",
            "Not falling: the estimator is too slow for the labels that come.",
            "challenger",
        )
        self.challenger_score_seconds = self._gauge(
            "fraudstream_challenger_score_seconds",
            "Processor time of all challengers for one transaction, over the last ones.",
            "High: their role falls behind; scoring itself is not touched.",
        )
        self.challenger_difference = self._gauge(
            "fraudstream_challenger_log_loss_difference",
            "Log loss of a challenger less that of the serving model, over the days the guard looks at.",
            "Below 0 with an interval below 0: see `fraudstream challenger show`.",
            "challenger",
        )
        self.challenger_better = self._gauge(
            "fraudstream_challenger_better",
            "1 when every condition of the guard holds for a challenger, else 0.",
            "1: `fraudstream challenger promote`, or leave it to FRAUDSTREAM_CHALLENGER_GUARD.",
            "challenger",
        )

    def _counter(self, name: str, meaning: str, remedy: str, *labels: str) -> Counter:
        self.declared.append(Declared(name, "counter", labels, meaning, remedy))
        return Counter(name, f"{meaning} {remedy}", labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, remedy: str, *labels: str) -> Gauge:
        self.declared.append(Declared(name, "gauge", labels, meaning, remedy))
        return Gauge(name, f"{meaning} {remedy}", labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, remedy: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        self.declared.append(Declared(name, "histogram", labels, meaning, remedy))
        return Histogram(name, f"{meaning} {remedy}", labels, registry=self.registry, buckets=buckets)


def create_registry() -> CollectorRegistry:
    """Return a registry that already tells of the process itself: CPU, memory, files, garbage, Python."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
