"""The only learner: turns training examples into weights, look tables and terminal risks.

Everything here depends on the examples and their order alone, bit for bit: a learner restored from its
snapshot and given the same examples reaches the same state.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from enum import StrEnum
from itertools import compress
from typing import Self

from fraudstream.core.messages import LabelPosition, LabelValue, Position, TrainingExample
from fraudstream.core.model_design import ModelDesign, only_kept
from fraudstream.core.risk import EntityRisk, LookTables, correct_label, note_label
from fraudstream.core.snapshot import Snapshot
from fraudstream.core.terms import KEYS, RARE_TERMS, TERM_OF, TERMS

REMEMBERED_LABELS = 200_000
"""Transactions whose label is remembered, to tell a second label from a first: about 80 MB. A label that
comes again after so many others is learned again, unless its example says what it replaces."""

TYPICAL_WINDOW = 500
"""Samples the typical weights look back on."""

TYPICAL_EVERY = 8
"""Examples to one sample of the typical weights: a mean over the last 4,000 examples at an eighth of the
cost."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Outcome(StrEnum):
    """What became of a training example."""

    LEARNED = "learned"
    CORRECTED = "corrected"
    REPEATED = "repeated"
    REPLAYED = "replayed"


class Learner:
    """Learns from one example after another and gives out snapshots and changed risks.

    Attributes
    ----------
    model
        The weights, up to date.
    tables, risks
        What labels have taught about looks and terminals, up to date.
    typical
        Mean weight of each term over recent examples.
    version
        Of the last snapshot given out, 0 before the first.
    training_offset
        Offset of the last example seen, -1 before the first.
    learned
        Examples learned, corrections included.
    design
        Name and constants of the model.
    """

    def __init__(
        self,
        remembered_labels: int = REMEMBERED_LABELS,
        design: ModelDesign = ModelDesign(),  # noqa: B008  frozen
    ) -> None:
        self.design = design
        self.model = design.model()
        self._kept = design.kept_keys()
        self.tables = LookTables()
        self.risks: dict[str, EntityRisk] = {}
        self.typical = [0.0] * len(TERMS)
        self.version = 0
        self.training_offset = -1
        self.learned = 0
        self._changed: dict[str, None] = {}
        self._labels: OrderedDict[Position, tuple[bool | None, tuple[LabelPosition, ...]]] = OrderedDict()
        self._remembered_labels = remembered_labels

    def learn(self, example: TrainingExample, offset: int) -> Outcome:
        """Learn one example of the training log.

        Idempotent: an offset seen before, a label seen before and the same label given once more change
        nothing. A label that contradicts the one learned for its transaction corrects it: the weights learn
        the example again, and the counts are put right as far as
        :func:`~fraudstream.core.risk.correct_label` can.
        """
        if offset <= self.training_offset:
            return Outcome.REPLAYED
        self.training_offset = offset
        known = self._labels.get(example.source)
        if known is not None and _is_old(example.label_position, known[1]):
            return Outcome.REPEATED
        fraud = example.label is LabelValue.FRAUD
        before = known[0] if known is not None else _as_fraud(example.replaces)
        self.remember(example)
        if before is fraud:
            return Outcome.REPEATED
        features = example.features
        keys = example.keys
        if keys and max(keys) >= KEYS:
            # A worker of newer code scored it, by terms appended to those known here.
            keys = tuple(key for key in keys if key < KEYS)
        self.take(
            keys,
            fraud,
            (example.event_time - _EPOCH).total_seconds(),
            None if features is None else (features.ratio, features.relative_amount),
            example.terminal_id,
            correction=before is not None,
        )
        return Outcome.LEARNED if before is None else Outcome.CORRECTED

    def take(  # noqa: PLR0913
        self,
        keys: Sequence[int],
        fraud: bool,
        at: float,
        look: tuple[float, float] | None,
        terminal_id: str | None,
        *,
        correction: bool = False,
    ) -> None:
        """Learn a label for the first time, or correct it: for callers that deliver each label once.

        Parameters
        ----------
        keys
            What the transaction was scored by.
        fraud
            The label.
        at
            Event time of the transaction in seconds since 1970.
        look
            Ratio and relative amount as scored, ``None`` where they were unknown.
        terminal_id
            Where the transaction was made, if known.
        correction
            Whether the opposite label was learned before; nothing else is checked.
        """
        if terminal_id is not None or look is not None:
            risk = None
            if terminal_id is not None:
                risk = self.risks.get(terminal_id)
                if risk is None:
                    risk = self.risks[terminal_id] = EntityRisk()
                self._changed[terminal_id] = None
            ratio, relative_amount = look or (0.0, 0.0)
            note = correct_label if correction else note_label
            note(risk, self.tables, at, ratio, relative_amount, fraud)
        self.model.learn_keys(keys if self._kept is None else only_kept(keys, self._kept), fraud)
        self.learned = learned = self.learned + 1
        if learned % TYPICAL_EVERY == 0:
            self._sample(keys, learned // TYPICAL_EVERY)

    def _sample(self, keys: Sequence[int], samples: int) -> None:
        weights = self.model.weights
        typical = self.typical
        window = min(samples, TYPICAL_WINDOW)
        for key in keys:
            term = TERM_OF[key]
            if term in RARE_TERMS:
                continue  # a typical transaction has none
            typical[term] += (weights[key] - typical[term]) / window

    def remember(self, example: TrainingExample) -> None:
        """Note the label of an example without learning it: after a restart, so as not to learn it again."""
        self._note(example, example.label is LabelValue.FRAUD)

    def skip(self, example: TrainingExample, offset: int) -> None:
        """Pass over an example of the training log as left out: it is not learned now and not later."""
        if offset > self.training_offset:
            self.training_offset = offset
            self.remember_left_out(example)

    def remember_left_out(self, example: TrainingExample) -> None:
        """Note the label of an example that was left out: its transaction counts as labelled as before."""
        known = self._labels.get(example.source)
        self._note(example, known[0] if known is not None else _as_fraud(example.replaces))

    def _note(self, example: TrainingExample, learned: bool | None) -> None:
        """Note a label as seen, and what is learned of its transaction; ``None`` for nothing."""
        known = self._labels.get(example.source)
        position = example.label_position
        if known is not None and _is_old(position, known[1]):
            return
        others = () if known is None else tuple(p for p in known[1] if p.partition != position.partition)
        self._labels[example.source] = (learned, (position, *others))
        self._labels.move_to_end(example.source)
        if len(self._labels) > self._remembered_labels:
            self._labels.popitem(last=False)

    def take_changed(self) -> dict[str, tuple[int | float, ...]]:
        """Return the rows of all terminal risks changed since the last call: they go out with a snapshot."""
        changed = {terminal_id: self.risks[terminal_id].to_row() for terminal_id in self._changed}
        self._changed.clear()
        return changed

    def snapshot(self, created_at: datetime) -> Snapshot:
        """Return the learned state as the next version. It shares nothing with the learner."""
        self.version += 1
        return self.state(created_at)

    def state(self, created_at: datetime) -> Snapshot:
        """Return the learned state under the version given out last. It shares nothing with the learner."""
        model = self.model
        keys = tuple(compress(range(KEYS), model.squares))
        return Snapshot(
            version=self.version,
            training_offset=self.training_offset,
            created_at=created_at,
            learned=self.learned,
            intercept=model.intercept,
            keys=keys,
            weights=tuple(map(model.weights.__getitem__, keys)),
            gradients=tuple(map(model.gradients.__getitem__, keys)),
            squares=tuple(map(model.squares.__getitem__, keys)),
            tables=LookTables.from_row(self.tables.to_row()),
            typical=tuple(self.typical),
            design=self.design,
        )

    def with_model(self, weights: Snapshot) -> Self:
        """Return a learner with the weights and constants of another model that has come to the same offset.

        What labels have taught about looks and terminals stays, and so do version and counts. Both share
        that: learn with one of them only from now on.

        Raises
        ------
        ValueError
            The other model has learned up to another offset: what lies between would be lost or learned
            twice.
        """
        if weights.training_offset != self.training_offset:
            fault = (
                f"expected a model of training offset {self.training_offset}, got {weights.training_offset}"
            )
            raise ValueError(fault)
        made = copy(self)
        made._changed = {}
        made._take_weights(weights)
        return made

    def _take_weights(self, snapshot: Snapshot) -> None:
        self.design = snapshot.design
        self._kept = snapshot.design.kept_keys()
        self.model = model = snapshot.design.model()
        model.intercept = snapshot.intercept
        for key, weight, gradient, square in zip(
            snapshot.keys, snapshot.weights, snapshot.gradients, snapshot.squares, strict=True
        ):
            model.weights[key] = weight
            model.gradients[key] = gradient
            model.squares[key] = square
        self.typical = list(snapshot.typical)

    @classmethod
    def restore(
        cls, snapshot: Snapshot, risks: Mapping[str, object], remembered_labels: int = REMEMBERED_LABELS
    ) -> Self:
        """Continue from a snapshot and the rows of all terminal risks as they were published with it.

        Feed the examples up to the snapshot's offset to :meth:`remember`, as far back as repeated labels
        are to be told.

        Raises
        ------
        InvalidMessage
            A row is not that of an :class:`~fraudstream.core.risk.EntityRisk`.
        """
        learner = cls(remembered_labels)
        learner._take_weights(snapshot)
        learner.tables = LookTables.from_row(snapshot.tables.to_row())
        learner.risks = {terminal_id: EntityRisk.from_row(row) for terminal_id, row in risks.items()}
        learner.version = snapshot.version
        learner.training_offset = snapshot.training_offset
        learner.learned = snapshot.learned
        return learner


def _as_fraud(label: LabelValue | None) -> bool | None:
    return None if label is None else label is LabelValue.FRAUD


def _is_old(position: LabelPosition, known: Sequence[LabelPosition]) -> bool:
    return any(position.partition == seen.partition and position.offset <= seen.offset for seen in known)
