"""What a label means: which transaction, and what is new about it."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from fraudstream.core.aspects import segments_of
from fraudstream.core.label_sources import overrules, source_name
from fraudstream.core.messages import (
    Classification,
    Label,
    LabelPosition,
    LabelSource,
    LabelValue,
    Position,
    TrainingExample,
)
from fraudstream.core.policy import is_alert
from fraudstream.errors import InvalidMessage

#: Candidates named in the reason of an ambiguous label.
NAMED_CANDIDATES = 5


class LabelOutcome(StrEnum):
    """What became of a label."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    CONFIRMED = "confirmed"
    OVERRULED = "overruled"
    REPEATED = "repeated"
    SUPERSEDED = "superseded"
    WAITING = "waiting"
    REFUSED = "refused"


#: Outcomes of labels that go to the learner.
TAUGHT = frozenset({LabelOutcome.ACCEPTED, LabelOutcome.CORRECTED, LabelOutcome.CONFIRMED})


class KnownLabel(NamedTuple):
    """The label a transaction has."""

    label: LabelValue
    position: LabelPosition
    source: LabelSource
    labelled_by: str | None


def choose(label: Label, candidates: Sequence[Classification]) -> Classification | None:
    """Return the transaction a label is about, None when the archive does not hold it (yet).

    Parameters
    ----------
    label
        Names a position, or an id and perhaps card and event time.
    candidates
        Archived classifications with that position or id.

    Raises
    ------
    InvalidMessage
        Several transactions share the id, and card and event time of the label do not tell them apart.
    """
    if label.position is None:
        if label.card_id is not None:
            candidates = [one for one in candidates if one.transaction.card_id == label.card_id]
        if label.event_time is not None:
            candidates = [one for one in candidates if one.event_time == label.event_time]
    if not candidates:
        return None
    if len(candidates) > 1:
        named = ", ".join(
            f"{one.source} of {one.event_time.isoformat()}" for one in candidates[:NAMED_CANDIDATES]
        )
        more = f" and {len(candidates) - NAMED_CANDIDATES} more" if len(candidates) > NAMED_CANDIDATES else ""
        fault = (
            f"{len(candidates)} transactions have this id: {named}{more};"
            " name position, card_id or event_time"
        )
        raise InvalidMessage(fault, "transaction_id")
    return candidates[0]


def judge_label(label: Label, position: LabelPosition, known: KnownLabel | None) -> LabelOutcome:
    """Say what a label changes, given the label its transaction had before, if any.

    The last label of a log wins, unless the word of its source does not stand against the earlier one's
    (:func:`~fraudstream.core.label_sources.overrules`): a presumed label never replaces a real one. One that
    comes again (the same position, after a crash) is accepted again: its example may not have been
    published, and the learner tells repetitions. One by which another source says the same goes to the
    learner too, which may not have believed the first.
    """
    if known is None:
        return LabelOutcome.ACCEPTED
    seen = known.position
    if seen == position:
        return LabelOutcome.ACCEPTED
    if seen.partition == position.partition and position.offset < seen.offset:
        return LabelOutcome.SUPERSEDED
    if not overrules(label.source, known.source):
        return LabelOutcome.OVERRULED
    if known.label is not label.label:
        return LabelOutcome.CORRECTED
    same = source_name(label.source, label.labelled_by) == source_name(known.source, known.labelled_by)
    return LabelOutcome.REPEATED if same else LabelOutcome.CONFIRMED


def example_of(
    classification: Classification, label: Label, position: LabelPosition, replaces: LabelValue | None
) -> TrainingExample:
    """Return the features as scored together with the label that came for them."""
    return TrainingExample(
        source=classification.source,
        label_position=position,
        label=label.label,
        label_source=label.source,
        labelled_at=label.labelled_at,
        labelled_by=label.labelled_by,
        event_time=classification.event_time,
        terminal_id=classification.transaction.terminal_id,
        keys=classification.keys,
        features=classification.features,
        score=classification.score,
        model_version=classification.model_version,
        replaces=replaces,
        segments=segments_of(classification.transaction),
        alert=is_alert(classification.decision, classification.flags),
    )


def is_due(label: Label, now: datetime) -> bool:
    """Tell whether a label may be used yet.

    One derived from a message counts only when it would have become known.
    """
    return label.not_before is None or label.not_before <= now


def presumed_label(source: Position, at: datetime) -> Label:
    """Return the label of a transaction that nobody has said anything about for the label wait.

    ``at``: the event time at which the wait was over.
    """
    return Label(label=LabelValue.GENUINE, source=LabelSource.PRESUMED, labelled_at=at, position=source)
