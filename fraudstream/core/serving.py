"""The model a worker scores with, kept up to date by what the learner broadcasts."""

from fraudstream.core.learner import PRIOR_LOGIT
from fraudstream.core.look_tables import LookTables
from fraudstream.core.risk import EntityRisk
from fraudstream.core.snapshot import Snapshot
from fraudstream.core.terms import KEYS, TERMS
from fraudstream.core.weighing import Explainer


class ServingModel:
    """Weights, look tables and terminal risks of one model version.

    Starts as version 0: no weights, the prior for every transaction, marked ``degraded`` in classifications.

    Attributes
    ----------
    version
        Of the snapshot served, 0 before the first.
    training_offset
        Offset of the last training example in it, -1 before the first.
    risk
        What labels have taught about each terminal; absent without labels.
    """

    def __init__(self) -> None:
        self.version = 0
        self.training_offset = -1
        self.intercept = PRIOR_LOGIT
        self.weights: list[float] = [0.0] * KEYS
        self.tables = LookTables()
        self.explainer = Explainer(self.weights, (0.0,) * len(TERMS))
        self.risk: dict[str, EntityRisk] = {}

    def apply_snapshot(self, snapshot: Snapshot) -> bool:
        """Serve a newer snapshot from the next transaction on; return whether it was newer.

        Idempotent and atomic: a snapshot of the same or an older version changes nothing.
        """
        if snapshot.version <= self.version:
            return False
        weights = [0.0] * KEYS
        for key, weight in zip(snapshot.keys, snapshot.weights, strict=True):
            weights[key] = weight
        self.version = snapshot.version
        self.training_offset = snapshot.training_offset
        self.intercept = snapshot.intercept
        self.weights = weights
        self.tables = snapshot.tables
        self.explainer = Explainer(weights, snapshot.typical)
        return True

    def apply_risk(self, terminal_id: str, row: object | None) -> None:
        """Take over the newest risk of a terminal, or forget it where the row is ``None``. Idempotent.

        Raises
        ------
        InvalidMessage
            The row is not that of an :class:`~fraudstream.core.risk.EntityRisk`; what was known stays.
        """
        if row is None:
            self.risk.pop(terminal_id, None)
        else:
            self.risk[terminal_id] = EntityRisk.from_row(row)
