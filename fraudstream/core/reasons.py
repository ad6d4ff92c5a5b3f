"""Why a score is what it is: exact, additive, in words.

A reason is what the terms of one family add to the log odds of a typical transaction:
:mod:`fraudstream.core.weighing`.
"""

from collections.abc import Sequence

from fraudstream.core.history import CardHistory
from fraudstream.core.messages import Reason, Transaction
from fraudstream.core.observation import Observation
from fraudstream.core.reason_words import WORDS
from fraudstream.core.risk import EntityRisk
from fraudstream.core.terms import FAMILIES

MOST_REASONS = 3

LEAST_CONTRIBUTION = 0.1
"""In logits: less moves the odds by about a tenth and says nothing to a person."""


def reasons(
    parts: Sequence[float],
    transaction: Transaction,
    observation: Observation,
    history: CardHistory | None,
    risk: EntityRisk | None,
) -> tuple[Reason, ...]:
    """Return at most three reasons, the largest contribution first, whether it speaks for fraud or against.

    ``parts`` are the contributions of the families; ``history`` and ``risk`` as they were before the
    transaction entered.
    """
    ranked = [
        (amount if amount > 0.0 else -amount, family, amount)
        for family, amount in enumerate(parts)
        if amount >= LEAST_CONTRIBUTION or amount <= -LEAST_CONTRIBUTION
    ]
    ranked.sort(reverse=True)
    return tuple(
        [
            Reason(
                FAMILIES[family],
                WORDS[family](transaction, observation, history, risk),
                int(amount * 1000.0) / 1000.0,
            )
            for _, family, amount in ranked[:MOST_REASONS]
        ]
    )
