"""Learning a part of the training log again, without what is left out of it."""

import sys
from collections.abc import Iterable, Sequence

import msgspec

from fraudstream.core.learning import REMEMBERED_LABELS, Learner
from fraudstream.core.messages import LabelValue, Position, TrainingExample
from fraudstream.core.registry import LeftOut


class Relearning:
    """Teaches a learner one example of the log after another, and passes over those that are left out.

    Without anything left out the learner comes out, bit for bit, as the one that learned the log live under
    the same limits. An example that corrects one left out is learned as if that had never come. Sources left
    out are in quarantine afterwards: what they say from now on is held back until they are released.

    Parameters
    ----------
    learner
        As it stood before the first example.
    left_out
        What it is not to learn.
    """

    def __init__(self, learner: Learner, left_out: Sequence[LeftOut]) -> None:
        self._learner = learner
        self._left_out = left_out
        self._replaced: dict[Position, LabelValue | None] = {}

    def take(self, example: TrainingExample, offset: int) -> None:
        """Learn or pass over the next example; ``offset`` is where it stands in the log."""
        for part in self._left_out:
            if part.covers(offset, example):
                self._replaced.setdefault(example.source, example.replaces)
                self._learner.skip(example, offset, distrusted=bool(part.sources))
                return
        if example.source in self._replaced:
            example = msgspec.structs.replace(example, replaces=self._replaced.pop(example.source))
        self._learner.learn(example, offset)


def relearn(
    examples: Iterable[tuple[int, TrainingExample]],
    without: Sequence[str] = (),
    *,
    remembered_labels: int = REMEMBERED_LABELS,
) -> Learner:
    """Return a learner that has learned a log, as offsets and examples, some sources left out of it."""
    learner = Learner(remembered_labels)
    left_out = (LeftOut(-1, sys.maxsize, tuple(without)),) if without else ()
    relearning = Relearning(learner, left_out)
    for offset, example in examples:
        relearning.take(example, offset)
    return learner
