"""When and how the truth about payments becomes known."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from fraudstream.core.messages import LabelSource
from fraudstream.simulation.config import LabelPlan
from fraudstream.simulation.payments import GENUINE, Payments
from fraudstream.simulation.population import Flags, Integers

NEVER = np.iinfo(np.int64).max
"""When a label comes that never comes."""

SOURCES = (LabelSource.ANALYST, LabelSource.CHARGEBACK, LabelSource.CUSTOMER)
ANALYST, CHARGEBACK, CUSTOMER = range(len(SOURCES))

CHARGEBACK_SHARE = 0.6
"""Share of fraud labels that arrive as a chargeback; the others are customers who call."""


@dataclass(frozen=True)
class Labels:
    """Columns of equal length: when each label becomes known, what about, and what it says.

    ``transaction`` is the running number of the transaction it names, ``source`` a place in :data:`SOURCES`.
    """

    due_ms: Integers
    transaction: Integers
    card_number: Integers
    fraud: Flags
    source: Integers

    def __len__(self) -> int:
        return len(self.due_ms)

    def take(self, rows: Integers | Flags) -> "Labels":
        """Return these rows, in this order."""
        return Labels(*(getattr(self, one.name)[rows] for one in fields(self)))

    @classmethod
    def join(cls, parts: Sequence["Labels"]) -> "Labels":
        """Return all rows of all parts, one part after another."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    @classmethod
    def none(cls) -> "Labels":
        """Return no rows."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, empty, np.zeros(0, dtype=np.bool_), empty)


def draw_labels(plan: LabelPlan, payments: Payments, first: int, random: np.random.Generator) -> Labels:
    """Return the label of each payment, in their order; those that never come are due ``NEVER``.

    ``first`` is the running number of the first payment.
    """
    count = len(payments)
    fraud = payments.pattern != GENUINE
    median_ms, least_ms = (one.total_seconds() * 1000 for one in (plan.median_delay, plan.least_delay))
    delay_ms = np.maximum(median_ms * np.exp(random.normal(0.0, plan.delay_spread, count)), least_ms)
    never = random.random(count) < plan.never_share
    wrong = random.random(count) < np.where(fraud, plan.missed_share, plan.accused_share)
    said = fraud ^ wrong
    reported = np.where(random.random(count) < CHARGEBACK_SHARE, CHARGEBACK, CUSTOMER)
    return Labels(
        due_ms=np.where(never, NEVER, payments.time_ms + delay_ms.astype(np.int64)),
        transaction=np.arange(first, first + count),
        card_number=payments.card_number,
        fraud=said,
        source=np.where(said, reported, ANALYST),
    )
