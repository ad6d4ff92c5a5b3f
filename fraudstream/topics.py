"""Every topic, declared: name, partitions, how long it keeps what.

Faust declares none of them; ``fraudstream topics create`` or the operator's manifests do, from this list.
"""

from collections.abc import Iterator, Mapping

import msgspec

from fraudstream.settings import Settings

_DAY_MS = 86_400_000

_COMPACTED = {"cleanup.policy": "compact"}

_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}

_CHANGELOG = _COMPACTED | {
    # Kafka never compacts the segment it writes to, and by default begins a new one after 7 days or 1 GB:
    # a recovering worker would read days of superseded values. Ten minutes bound what it reads twice.
    "segment.ms": "600000",
    "max.compaction.lag.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
}

SNAPSHOT_BYTES_MAX = 8 * 1024 * 1024
"""Largest model snapshot a broker takes: a full model is below 2 MB."""

DEAD_LETTER_BYTES_MAX = 2 * 1024 * 1024
"""Twice Kafka's default: the largest message other topics take has to fit with its headers and reason."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as the code needs it.

    ``config`` are Kafka's topic settings, as text. ``partitions`` is exact: some topics are aligned.
    """

    name: str
    partitions: int
    meaning: str
    config: Mapping[str, str]


class Topics:
    """The topics of one installation, by role, under its prefix and with its number of partitions.

    Aligned with ``transactions`` are ``classifications`` (a record goes to its source's partition number) and
    the changelogs; ``training-examples`` has one partition because one learner owns the model.

    Examples
    --------
    >>> from fraudstream.settings import Settings
    >>> topics = Topics(Settings(topic_prefix="lab."))
    >>> topics.transactions.name, topics.card_history_changelog.name
    ('lab.transactions', 'lab.fraudstream-scoring-card-history-changelog')
    """

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.topic_prefix
        aligned = settings.partitions
        self.transactions = self._kept("transactions", aligned, 7, "Transactions as producers send them.")
        self.labels = self._kept("labels", aligned, 30, "The truth about transactions, as it becomes known.")
        self.classifications = self._kept(
            "classifications", aligned, 14, "The immutable result of scoring each transaction."
        )
        self.alerts = self._kept("alerts", aligned, 14, "Classifications a person must see.")
        self.training_examples = self._declare(
            "training-examples",
            1,
            _FOR_EVER,
            "Features as scored with their labels, kept for ever: the model can be learned again from them.",
        )
        self.model_snapshots = self._declare(
            "model-snapshots",
            1,
            _COMPACTED | {"max.message.bytes": str(SNAPSHOT_BYTES_MAX)},
            "Learned states of the model, read whole by every worker.",
        )
        self.entity_risk = self._declare(
            "entity-risk", 1, _CHANGELOG, "Risk of each terminal, read whole by every worker."
        )
        self.quarantined_labels = self._declare(
            "quarantined-labels",
            1,
            _CHANGELOG,
            "Training examples held back because their source is not believed, until they are released.",
        )
        self.model_registry = self._declare(
            "model-registry",
            1,
            _FOR_EVER,
            "Every model version: what it has learned, and what it comes from.",
        )
        self.kept_models = self._declare(
            "kept-models",
            1,
            _FOR_EVER | {"max.message.bytes": str(SNAPSHOT_BYTES_MAX)},
            "Models kept whole with all risks, from which any version between two can be made again.",
        )
        self.model_commands = self._declare(
            "model-commands",
            1,
            _keeping(90) | {"max.message.bytes": str(SNAPSHOT_BYTES_MAX)},
            "What people and the guard tell the learner to do; a promotion carries the model.",
        )
        self.model_watch = self._declare(
            "model-watch",
            1,
            _CHANGELOG | {"max.message.bytes": str(SNAPSHOT_BYTES_MAX)},
            "What drift, calibration and quality are measured by: two states, to go on from.",
        )
        self.model_alarms = self._declare(
            "model-alarms",
            1,
            _keeping(90),
            "Changes that somebody should look at, with the features that moved most.",
        )
        self.model_handovers = self._declare(
            "model-handovers",
            1,
            _keeping(90) | {"max.message.bytes": str(SNAPSHOT_BYTES_MAX)},
            "What commands to the learner led to, with the model that served before: for challengers.",
        )
        self.challenger_states = self._declare(
            "challenger-states",
            1,
            _CHANGELOG | {"max.message.bytes": str(SNAPSHOT_BYTES_MAX)},
            "Challengers, what they are compared by, and scores that wait for labels: to go on from.",
        )
        self.challenger_reports = self._declare(
            "challenger-reports",
            1,
            _keeping(90),
            "How each challenger stands against the serving model, once for each day of labels.",
        )
        self.dead_letters = self._declare(
            "dead-letters",
            aligned,
            _keeping(14) | {"max.message.bytes": str(DEAD_LETTER_BYTES_MAX)},
            "Messages that cannot be used, byte for byte, with reason and origin in their headers.",
        )
        self.card_history_changelog = self._changelog("scoring", "card-history", aligned)
        self.window_counts_changelog = self._changelog("counting", "window-counts", aligned)
        self.waiting_labels_changelog = self._changelog("labelling", "waiting-labels", aligned)

    def app_id(self, name: str) -> str:
        """Return the Faust app id, and so the consumer group, of one app.

        >>> from fraudstream.settings import Settings
        >>> Topics(Settings()).app_id("scoring")
        'fraudstream-scoring'
        """
        return f"{self._prefix}fraudstream-{name}"

    def __iter__(self) -> Iterator[Topic]:
        """Yield every topic, in the order of the flow."""
        return (value for value in vars(self).values() if isinstance(value, Topic))

    def partitions(self) -> dict[str, int]:
        """Return the number of partitions of every topic by name, as an embedded cluster is told."""
        return {topic.name: topic.partitions for topic in self}

    def _kept(self, name: str, partitions: int, days: int, meaning: str) -> Topic:
        return self._declare(name, partitions, _keeping(days), meaning)

    def _changelog(self, app: str, table: str, partitions: int) -> Topic:
        return Topic(
            name=f"{self.app_id(app)}-{table}-changelog",
            partitions=partitions,
            meaning=f"The table {table}, as workers recover it.",
            config=_CHANGELOG,
        )

    def _declare(self, name: str, partitions: int, config: Mapping[str, str], meaning: str) -> Topic:
        return Topic(name=f"{self._prefix}{name}", partitions=partitions, meaning=meaning, config=config)


def _keeping(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}
