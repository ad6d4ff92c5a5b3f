"""What bounds a learner, and what becomes of the examples it is given."""

from enum import StrEnum

import msgspec

from fraudstream.core.label_trust import LABELS_PER_DAY, Held
from fraudstream.core.messages import TrainingExample

MOST_TERMINALS = 200_000
"""Terminals whose risk is kept: the state is the learner's and every scorer's, see ``docs/labels.md``."""


class Outcome(StrEnum):
    """What became of a training example."""

    LEARNED = "learned"
    CORRECTED = "corrected"
    REPEATED = "repeated"
    REPLAYED = "replayed"
    OVERRULED = "overruled"
    HELD = "held"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds a learner: terminals whose risk is kept, labels of one source believed a day."""

    terminals: int = MOST_TERMINALS
    labels_per_day: int = LABELS_PER_DAY


class HeldExample(msgspec.Struct, frozen=True):
    """A training example that was not learned, and why."""

    example: TrainingExample
    offset: int
    reason: Held
