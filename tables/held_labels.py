"""Labels that are not believed: kept beside the model they are not part of, and told of."""

import logging
from collections.abc import Sequence
from typing import NamedTuple, Self

from fraudstream.core.label_trust import Quarantine
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import HeldExample, Limits
from fraudstream.core.source_alarms import encode_held, held_key, source_alarm
from fraudstream.core.watching import encode_alarm
from fraudstream.delivery.atomic import AtomicRecord
from fraudstream.metrics import Metrics
from fraudstream.settings import Settings
from fraudstream.topics import Topics

log = logging.getLogger(__name__)


class HeldLabels(NamedTuple):
    """What has become known of sources since the version before: to be published with the next one."""

    held: Sequence[HeldExample] = ()
    quarantines: Sequence[Quarantine] = ()

    @classmethod
    def of(cls, learner: Learner) -> Self:
        """Take what a learner has held back since the last time."""
        return cls(learner.take_held(), learner.take_quarantines())

    def and_new(self, before: Learner, after: Learner) -> Self:
        """Add what the learner of another state has held back that the one before it had not.

        What both held back is kept already, or was released since.
        """
        held, quarantines = self.of(after)
        known = before.trust.quarantined()
        return type(self)(
            [*self.held, *(one for one in held if not before.trust.was_held(one.example, one.offset))],
            [*self.quarantines, *(one for one in quarantines if one.source not in known)],
        )

    def records(self, topics: Topics) -> list[AtomicRecord]:
        """Return the messages of it: examples held back, and an alarm for each quarantine."""
        alarms = [source_alarm(one) for one in self.quarantines]
        return [
            *(
                AtomicRecord(topics.quarantined_labels.name, held_key(one), encode_held(one))
                for one in self.held
            ),
            *(
                AtomicRecord(topics.model_alarms.name, alarm.key.encode(), encode_alarm(alarm))
                for alarm in alarms
            ),
        ]

    def tell(self, metrics: Metrics) -> None:
        """Count it and write it into the log."""
        for one in self.held:
            metrics.labels_held.labels(source=one.example.label_source, reason=one.reason).inc()
        for alarm in map(source_alarm, self.quarantines):
            log.warning("source of labels quarantined", extra={"alarm": alarm.key, "meaning": alarm.text})
            metrics.model_alarms.labels(detector=alarm.detector).inc()


def limits_of(settings: Settings) -> Limits:
    """Return what bounds the learner of an installation."""
    return Limits(terminals=settings.terminals_kept, labels_per_day=settings.source_labels_per_day)


def tell_bounds(learner: Learner, metrics: Metrics) -> None:
    """Show how many sources are in quarantine, and whether there are more terminals than are kept."""
    metrics.sources_quarantined.set(len(learner.trust.quarantined()))
    metrics.terminals.set(len(learner.risks))
    forgotten, learner.forgotten = learner.forgotten, 0
    if forgotten:
        metrics.terminals_forgotten.inc(forgotten)
        log.warning("terminals forgotten, too many are labelled", extra={"forgotten": forgotten})
