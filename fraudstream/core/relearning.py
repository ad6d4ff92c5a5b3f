"""Learning again from the training log, with or without some of it."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from fraudstream.core.label_sources import matches
from fraudstream.core.learning import REMEMBERED_LABELS, Learner, Limits
from fraudstream.core.messages import LabelValue, Position, TrainingExample


def relearn(
    examples: Iterable[tuple[int, TrainingExample]],
    without: Sequence[str] = (),
    *,
    remembered_labels: int = REMEMBERED_LABELS,
    limits: Limits = Limits(),  # noqa: B008  frozen
) -> Learner:
    """Return a learner that has learned a training log from its beginning, some sources left out.

    Without anything left out it is, bit for bit, the learner that learned the log live under the same limits.
    An example that corrects one that was left out is learned as if that had never come. Sources left out are
    in quarantine afterwards: what they say from now on is held back until they are released.

    Parameters
    ----------
    examples
        Offsets and examples of the log, from the first on.
    without
        Sources as :func:`~fraudstream.core.label_sources.matches` takes them.
    """
    learner = Learner(remembered_labels, limits)
    for offset, example, is_left_out in left_out(examples, without):
        if is_left_out:
            learner.training_offset = offset
            learner.trust.exclude(example, offset)
        else:
            learner.learn(example, offset)
    return learner


def left_out(
    examples: Iterable[tuple[int, TrainingExample]], without: Sequence[str]
) -> Iterator[tuple[int, TrainingExample, bool]]:
    """Yield the examples of a log as if some sources had never spoken, and whether each is one of theirs."""
    before: dict[Position, LabelValue | None] = {}
    for offset, example in examples:
        if any(matches(example, source) for source in without):
            before.setdefault(example.source, example.replaces)
            yield offset, example, True
        elif example.source in before:
            yield offset, msgspec.structs.replace(example, replaces=before.pop(example.source)), False
        else:
            yield offset, example, False
