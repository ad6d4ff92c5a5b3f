"""The only learner: turns training examples into weights, look tables and terminal risks.

Everything here depends on the examples and their order alone, bit for bit: a learner restored from its
snapshot and given the same examples reaches the same state.
"""

from collections.abc import Mapping
from copy import copy
from datetime import datetime
from itertools import compress
from typing import Final, Self

from mypy_extensions import mypyc_attr

from fraudstream.core.ftrl import weigh, worth
from fraudstream.core.known_labels import KnownLabels, as_fraud
from fraudstream.core.label_sources import STANDINGS
from fraudstream.core.label_trust import LabelTrust, Quarantine
from fraudstream.core.learning_outcomes import HeldExample, Limits, Outcome
from fraudstream.core.look_tables import LookTables
from fraudstream.core.messages import LabelValue, TrainingExample
from fraudstream.core.model_design import ModelDesign, only_kept
from fraudstream.core.risk import EntityRisk, coldest, correct_label, note_label
from fraudstream.core.snapshot import Snapshot
from fraudstream.core.terms import KEYS, RARE_TERMS, TERM_OF, TERMS

REMEMBERED_LABELS = 200_000
"""Transactions whose label is remembered, to tell a second label from a first: about 80 MB. A label that
comes again after so many others is learned again, unless its example says what it replaces."""

TYPICAL_WINDOW: Final = 500
"""Samples the typical weights look back on."""

TYPICAL_EVERY: Final = 8
"""Examples to one sample of the typical weights: a mean over the last 4,000 examples at an eighth of the
cost."""


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Learner:
    """Learns from one example after another and gives out snapshots and changed risks.

    Attributes
    ----------
    model
        The weights, up to date.
    tables, risks
        What labels have taught about looks and terminals, up to date.
    typical
        What each term adds to the log odds, at the mean over recent examples.
    version
        Of the last snapshot given out, 0 before the first.
    training_offset
        Offset of the last example seen, -1 before the first.
    learned
        Examples learned, corrections included.
    design
        Name and constants of the model.
    trust
        Which sources are believed, up to date.
    forgotten
        Terminals forgotten since this object was made.
    limits
        What bounds it from the next example on.
    """

    def __init__(
        self,
        remembered_labels: int = REMEMBERED_LABELS,
        limits: Limits = Limits(),  # noqa: B008  frozen
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
        self.trust = LabelTrust()
        self.forgotten = 0
        self._labels = KnownLabels(remembered_labels)
        self.limits = limits
        self._held: list[HeldExample] = []
        self._quarantines: list[Quarantine] = []

    def learn(self, example: TrainingExample, offset: int) -> Outcome:
        """Learn one example of the training log.

        Idempotent: an offset seen before, a label seen before and the same label given once more change
        nothing. A label that contradicts the one learned for its transaction corrects it, if its source's
        word stands against the earlier one's: the weights learn the example again, and the counts are put
        right as far as :func:`~fraudstream.core.risk.correct_label` can. A label of a source that is not
        believed (see :mod:`~fraudstream.core.label_trust`) is held back: :meth:`take_held` gives it out.
        """
        if offset <= self.training_offset:
            return Outcome.REPLAYED
        self.training_offset = offset
        known = self._labels.get(example.source)
        if known is not None and known.is_old(example):
            return Outcome.REPEATED
        at = example.event_time.timestamp()
        reason, quarantine = self.trust.judge(example, at, offset, self.limits.labels_per_day)
        if quarantine is not None:
            self._quarantines.append(quarantine)
        if reason is not None:
            self._held.append(HeldExample(example, offset, reason))
        before = as_fraud(example.replaces) if known is None else known.fraud
        if not self._labels.enter(example, held=reason is not None):
            return Outcome.OVERRULED
        if reason is not None:
            return Outcome.HELD
        fraud = example.label is LabelValue.FRAUD
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
            at,
            None if features is None else (features.ratio, features.relative_amount),
            example.terminal_id,
            correction=before is not None,
            weight=STANDINGS[example.label_source].weight,
        )
        return Outcome.LEARNED if before is None else Outcome.CORRECTED

    def take(  # noqa: PLR0913
        self,
        keys: tuple[int, ...],
        fraud: bool,
        at: float,
        look: tuple[float, float] | None,
        terminal_id: str | None,
        *,
        correction: bool = False,
        weight: float = 1.0,
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
        weight
            Length of the step of the weights, 1 for a whole one.
        """
        if terminal_id is not None or look is not None:
            risk = None
            if terminal_id is not None:
                risk = self.risks.get(terminal_id)
                if risk is None:
                    risk = self.risks[terminal_id] = EntityRisk()
                self._changed[terminal_id] = None
            ratio, relative_amount = look or (0.0, 0.0)
            if correction:
                correct_label(risk, self.tables, at, ratio, relative_amount, fraud)
            else:
                note_label(risk, self.tables, at, ratio, relative_amount, fraud)
            if len(self.risks) > self.limits.terminals:
                self._forget_terminals()
        self.model.learn_keys(keys if self._kept is None else only_kept(keys, self._kept), fraud, weight)
        self.learned = learned = self.learned + 1
        if learned % TYPICAL_EVERY == 0:
            self._sample(keys, learned // TYPICAL_EVERY)

    def _sample(self, keys: tuple[int, ...], samples: int) -> None:
        weights = self.model.weights
        _, share, _ = weigh(weights, keys)
        typical = self.typical
        window = min(samples, TYPICAL_WINDOW)
        for key in keys:
            term = TERM_OF[key]
            if term in RARE_TERMS:
                continue  # a typical transaction has none
            typical[term] += (worth(weights, key, share) - typical[term]) / window

    def _forget_terminals(self) -> None:
        """Forget the coldest terminals, a sixteenth at once, so that it costs little a label."""
        for terminal_id in coldest(self.risks, len(self.risks) - self.limits.terminals * 15 // 16):
            del self.risks[terminal_id]
            self._changed[terminal_id] = None
            self.forgotten += 1

    def skip(self, example: TrainingExample, offset: int, *, distrusted: bool = False) -> None:
        """Pass over an example of the training log as left out: it is not learned now and not later.

        ``distrusted``: because of its source, which is in quarantine from then on.
        """
        if offset <= self.training_offset:
            return
        self.training_offset = offset
        if distrusted:
            self.trust.exclude(example, offset)
        self.remember(example, offset, left_out=True)

    def remember(self, example: TrainingExample, offset: int, *, left_out: bool = False) -> None:
        """Note the label of an example without learning it: after a restart, so as not to learn it again.

        ``offset`` is where it stands in the training log: it tells whether it was held back. One that was
        ``left_out`` leaves its transaction labelled as before.
        """
        known = self._labels.get(example.source)
        if known is None or not known.is_old(example):
            self._labels.enter(example, held=left_out or self.trust.was_held(example, offset))

    def take_held(self) -> list[HeldExample]:
        """Return the examples held back since the last call: they are kept with the snapshot."""
        held, self._held = self._held, []
        return held

    def take_quarantines(self) -> list[Quarantine]:
        """Return the sources put into quarantine since the last call: somebody must be told."""
        found, self._quarantines = self._quarantines, []
        return found

    def take_changed(self) -> dict[str, tuple[int | float, ...] | None]:
        """Return the rows of all terminal risks changed since the last call: they go out with a snapshot.

        ``None`` stands for a terminal that was forgotten.
        """
        risks = self.risks
        changed = {
            terminal_id: risks[terminal_id].to_row() if terminal_id in risks else None
            for terminal_id in self._changed
        }
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
            squares=tuple(map(model.squares.__getitem__, keys)),
            tables=LookTables.from_row(self.tables.to_row()),
            typical=tuple(self.typical),
            trust=self.trust.to_bytes(),
            design=self.design,
        )

    def with_model(self, weights: Snapshot) -> Self:
        """Return a learner with the weights and constants of another model that has come to the same offset.

        What labels have taught about looks, terminals and sources stays, and so do version and counts. Both
        share that: learn with one of them only from now on. What is still to be told stays with this one.

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
        made._changed, made._held, made._quarantines = {}, [], []
        made._take_weights(weights)
        return made

    def _take_weights(self, snapshot: Snapshot) -> None:
        self.design = snapshot.design
        self._kept = snapshot.design.kept_keys()
        self.model = model = snapshot.design.model()
        model.intercept = snapshot.intercept
        for key, weight, square in zip(snapshot.keys, snapshot.weights, snapshot.squares, strict=True):
            model.weights[key] = weight
            model.squares[key] = square
        self.typical = list(snapshot.typical)

    @classmethod
    def restore(
        cls,
        snapshot: Snapshot,
        risks: Mapping[str, object],
        remembered_labels: int = REMEMBERED_LABELS,
        limits: Limits = Limits(),  # noqa: B008  frozen
    ) -> Self:
        """Continue from a snapshot and the rows of all terminal risks as they were published with it.

        Feed the examples up to the snapshot's offset to :meth:`remember`, as far back as repeated labels
        are to be told.

        Raises
        ------
        InvalidMessage
            A row is not that of an :class:`~fraudstream.core.risk.EntityRisk`, or the accounts of sources are
            none.
        """
        learner = cls(remembered_labels, limits)
        learner._take_weights(snapshot)
        learner.tables = LookTables.from_row(snapshot.tables.to_row())
        learner.risks = {terminal_id: EntityRisk.from_row(row) for terminal_id, row in risks.items()}
        learner.version = snapshot.version
        learner.training_offset = snapshot.training_offset
        learner.learned = snapshot.learned
        learner.trust = LabelTrust.from_bytes(snapshot.trust)
        return learner
