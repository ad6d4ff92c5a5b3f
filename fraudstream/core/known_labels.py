"""The labels a learner remembers, to tell a second label of a transaction from a first."""

from collections import OrderedDict

import msgspec

from fraudstream.core.label_sources import overrules
from fraudstream.core.messages import LabelPosition, LabelSource, LabelValue, Position, TrainingExample


class KnownLabels:
    """The labels of the last so many transactions, in the order they were last heard of."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._labels: OrderedDict[Position, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KnownLabels) and self._labels == other._labels

    __hash__ = None  # type: ignore[assignment]  # it changes

    def get(self, source: Position) -> "Known | None":
        """Return what is known of a transaction."""
        return self._labels.get(source)

    def enter(self, example: TrainingExample, *, held: bool) -> bool:
        """Note a label that is new; return whether it stands against the one learned before."""
        known = self._labels.get(example.source)
        position, source = example.label_position, example.label_source
        if known is None:
            known = self._labels[example.source] = Known(as_fraud(example.replaces), LabelSource.PRESUMED)
        if held:
            known.held = _with(known.held, position)
        else:
            known.learned = _with(known.learned, position)
            if known.fraud is not None and not overrules(source, known.source):
                return False
            known.fraud, known.source = example.label is LabelValue.FRAUD, source
        self._labels.move_to_end(example.source)
        if len(self._labels) > self._most:
            self._labels.popitem(last=False)
        return True


class Known(msgspec.Struct, gc=False):
    """The label learned for a transaction, ``None`` when all were held back, and where its labels stood."""

    fraud: bool | None
    source: LabelSource
    learned: tuple[LabelPosition, ...] = ()
    held: tuple[LabelPosition, ...] = ()

    def is_old(self, example: TrainingExample) -> bool:
        """Return whether a label came before: learned, or held back and not released now."""
        position = example.label_position
        seen = self.learned if example.released else (*self.learned, *self.held)
        return any(position.partition == one.partition and position.offset <= one.offset for one in seen)


def as_fraud(label: LabelValue | None) -> bool | None:
    """Return whether a label says fraud, if there is one."""
    return None if label is None else label is LabelValue.FRAUD


def _with(positions: tuple[LabelPosition, ...], newer: LabelPosition) -> tuple[LabelPosition, ...]:
    return (newer, *(one for one in positions if one.partition != newer.partition))
