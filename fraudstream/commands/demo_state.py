"""What a demo knows of the system it runs, as read from its topics and stores."""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from fraudstream.core.dead_letters import DeadLetter
from fraudstream.core.evaluation import average_precision
from fraudstream.core.messages import Decision, LabelValue

LATEST = 3_000
"""Scored transactions the shown precision is of: ten seconds at the usual rate, some seventy frauds."""

ALERTS_KEPT = 50
"""Alerts kept for the view; a terminal shows about a dozen."""

TREND_POINTS = 40
"""Points of the shown trend, one each ``LATEST`` / 3 transactions."""


RATE_TICKS = 20
"""Ticks the shown rate is over: five seconds."""


class SeenReason(msgspec.Struct, frozen=True):
    """The words of a reason, and whether they speak for fraud."""

    text: str
    contribution: float


class SeenTransaction(msgspec.Struct, frozen=True):
    """The part of a transaction the view shows."""

    transaction_id: str
    amount_minor: int | None = None
    currency: str | None = None
    card_id: str | None = None
    terminal_id: str | None = None


class Seen(msgspec.Struct, frozen=True):
    """The part of a classification that a demo reads."""

    transaction: SeenTransaction
    event_time: datetime
    score: float
    decision: Decision
    reasons: tuple[SeenReason, ...]
    model_version: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShownAlert:
    """One alert, with the truth that only the simulator knows."""

    seen: Seen
    truth: LabelValue | None
    after_seconds: float


@dataclass(frozen=True)
class Quality:
    """How good decisions were; a share is None while there is nothing it could be a share of."""

    average_precision: float | None
    precision: float | None
    recall: float | None


@dataclass
class DemoState:
    """Numbers of one demo; who writes what is said at each field.

    ``began`` is the monotonic second the command was started, from which every ``…_seconds`` counts.
    """

    began: float
    monotonic: Callable[[], float] = time.monotonic

    # the simulator
    sent: int = 0
    broken: int = 0
    labels_sent: int = 0
    world_clock: datetime | None = None
    truth: dict[str, LabelValue] = field(default_factory=dict)

    # topics
    classified: int = 0
    alerts: int = 0
    dead_lettered: int = 0
    labels_dead_lettered: int = 0
    newest_dead_letter: str = ""
    labelled: int = 0
    learned: int = 0
    model_version: int = 0
    model_seen_at: float | None = None
    degraded: int = 0
    decisions: Counter[Decision] = field(default_factory=Counter)
    first_decision_seconds: float | None = None
    first_alert_seconds: float | None = None
    newest: deque[ShownAlert] = field(default_factory=lambda: deque(maxlen=ALERTS_KEPT))

    # stores
    archived: int = 0
    counted: int = 0
    windows: int = 0

    # judged: scored by a model, in the order of their classification
    scores: list[float] = field(default_factory=list)
    frauds: list[bool] = field(default_factory=list)
    flagged: list[bool] = field(default_factory=list)
    trend: deque[float] = field(default_factory=lambda: deque(maxlen=TREND_POINTS))
    _letters: set[tuple[str, int, int]] = field(default_factory=set)
    _sent_at: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_TICKS))

    @property
    def elapsed(self) -> float:
        """Seconds since the command was started."""
        return self.monotonic() - self.began

    def tick(self) -> None:
        """Note how much has been sent by now: what :attr:`rate` is made of."""
        self._sent_at.append((self.monotonic(), self.sent))

    @property
    def rate(self) -> float:
        """Messages sent a second, over the latest ticks."""
        if len(self._sent_at) < 2:
            return 0.0
        (since, before), (now, after) = self._sent_at[0], self._sent_at[-1]
        return (after - before) / max(now - since, 1e-9)

    def classification(self, seen: Seen) -> None:
        """Note one classification, and judge it by the truth unless only the prior scored it."""
        self.classified += 1
        if self.first_decision_seconds is None:
            self.first_decision_seconds = self.elapsed
        self.decisions[seen.decision] += 1
        truth = self.truth.pop(seen.transaction.transaction_id, None)
        if seen.decision is not Decision.APPROVE:
            self.newest.append(ShownAlert(seen, truth, self.elapsed))
        if "degraded" in seen.flags:
            self.degraded += 1
        elif truth is not None:
            self.scores.append(seen.score)
            self.frauds.append(truth is LabelValue.FRAUD)
            self.flagged.append(seen.decision is not Decision.APPROVE)
            if len(self.scores) % (LATEST // 3) == 0:
                value = self.latest_quality().average_precision
                if value is not None:
                    self.trend.append(value)

    def dead_letter(self, letter: DeadLetter, transactions: str) -> None:
        """Note one dead letter, each message once: a letter may be written twice.

        ``transactions`` names the topic whose messages count in the balance; the others are labels.
        """
        identity = letter.topic, letter.partition, letter.offset
        if identity in self._letters:
            return
        self._letters.add(identity)
        self.newest_dead_letter = letter.reason
        if letter.topic == transactions:
            self.dead_lettered += 1
        else:
            self.labels_dead_lettered += 1

    def alert(self) -> None:
        """Note one record of the alerts topic."""
        self.alerts += 1
        if self.first_alert_seconds is None:
            self.first_alert_seconds = self.elapsed

    def model(self, version: int, learned: int) -> None:
        """Note one published model."""
        self.model_version, self.learned, self.model_seen_at = version, learned, self.monotonic()

    def latest_quality(self) -> Quality:
        """Return how good the latest judged decisions were."""
        return _quality(self.scores[-LATEST:], self.frauds[-LATEST:], self.flagged[-LATEST:])

    def quality(self) -> Quality:
        """Return how good all judged decisions were, the first clumsy ones included."""
        return _quality(self.scores, self.frauds, self.flagged)

    @property
    def labels_under_way(self) -> int:
        """Labels that were sent and are neither learned nor set aside."""
        return self.labels_sent - self.learned - self.labels_dead_lettered

    @property
    def drained(self) -> bool:
        """Whether every message sent has reached its end, in the topics and in both stores."""
        return (
            self.sent == self.classified + self.dead_lettered
            and self.archived == self.classified
            and self.counted == self.classified
        )

    @property
    def progress(self) -> tuple[int, ...]:
        """Return the numbers that move while anything is under way."""
        return self.classified, self.dead_lettered, self.archived, self.counted

    def summary(self) -> dict[str, object]:
        """Return the numbers of ``--json``."""
        overall = self.quality()
        return {
            "sent": self.sent,
            "broken": self.broken,
            "classified": self.classified,
            "archived": self.archived,
            "counted": self.counted,
            "dead_lettered": self.dead_lettered,
            "labels_dead_lettered": self.labels_dead_lettered,
            "alerts": self.alerts,
            "labels_sent": self.labels_sent,
            "labelled": self.labelled,
            "learned": self.learned,
            "model_version": self.model_version,
            "degraded": self.degraded,
            "average_precision": overall.average_precision,
            "average_precision_latest": self.latest_quality().average_precision,
            "alert_precision": overall.precision,
            "alert_recall": overall.recall,
            "seconds_to_first_decision": self.first_decision_seconds,
            "seconds_to_first_alert": self.first_alert_seconds,
            "seconds": self.elapsed,
        }


def _quality(scores: list[float], frauds: list[bool], flagged: list[bool]) -> Quality:
    hits = sum(1 for fraud, shown in zip(frauds, flagged, strict=True) if fraud and shown)
    shown, all_frauds = sum(flagged), sum(frauds)
    return Quality(
        average_precision=average_precision(scores, frauds) if all_frauds else None,
        precision=hits / shown if shown else None,
        recall=hits / all_frauds if all_frauds else None,
    )
