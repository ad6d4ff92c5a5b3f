"""Why a score is what it is: exact, additive, in words.

The log odds are the intercept plus one weight a key, or shares of two where it leans. That, minus what its
term adds at the mean over recent examples, is what this transaction adds to or takes from a typical one;
terms of one family are summed into one reason.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from fraudstream.core.ftrl import weigh, worth
from fraudstream.core.history import CardHistory
from fraudstream.core.messages import Reason, Transaction
from fraudstream.core.observation import Observation
from fraudstream.core.reason_words import WORDS
from fraudstream.core.risk import EntityRisk
from fraudstream.core.terms import (
    FAMILIES,
    FAMILY_OF,
    LEANING_TERMS,
    TERM_OF,
)

MOST_REASONS = 3

LEAST_CONTRIBUTION = 0.1
"""In logits: less moves the odds by about a tenth and says nothing to a person."""


def contributions(weights: list[float], typical: Sequence[float], keys: tuple[int, ...]) -> list[float]:
    """Return what each family, in the order of ``FAMILIES``, adds to the log odds of a typical transaction.

    Their sum is the logit minus the intercept minus the typical weights of the terms present, up to rounding.
    """
    return _contributions(weights, typical, keys, weigh(weights, keys)[1])


def _contributions(
    weights: list[float], typical: Sequence[float], keys: tuple[int, ...], share: float
) -> list[float]:
    sums = [0.0] * len(FAMILIES)
    for key in keys:
        term = TERM_OF[key]
        sums[FAMILY_OF[term]] += worth(weights, key, share) - typical[term]
    return sums


Weigh = Callable[[list[float], tuple[int, ...], Sequence[float]], tuple[float, list[float]]]


@lru_cache
def _weigher(first: int, count: int) -> Weigh:
    """Write out the sums of a transaction that has so many plain terms in a row, from the term table.

    The first result adds the weights in the order of the keys, as every logit is added; the list is one
    family each, less what is usual.
    """
    every = range(first, first + count)
    members: list[list[str]] = [[] for _ in FAMILIES]
    for index in every:
        members[FAMILY_OF[index]].append(f"w{index}")
    parts = [f"{' + '.join(found)} - u[{family}]" if found else "0.0" for family, found in enumerate(members)]
    source = [
        "def weigh(weights, keys, u):",
        f"    {', '.join(f'k{i}' for i in every)}, = keys",
        *(f"    w{i} = weights[k{i}]" for i in every),
        f"    return {' + '.join(f'w{i}' for i in every)}, [{', '.join(parts)}]",
    ]
    scope: dict[str, Weigh] = {}
    exec("\n".join(source), {"__builtins__": {}}, scope)  # noqa: S102  names and numbers of the term table only
    return scope["weigh"]


class Explainer:
    """Weighs transactions and finds the reasons of their scores, under one model.

    Parameters
    ----------
    weights
        Of every key.
    typical
        What each term adds to the log odds, at the mean over recent examples.
    """

    def __init__(self, weights: list[float], typical: Sequence[float]) -> None:
        self._weights = weights
        self._typical = tuple(typical)
        #: How to weigh a run of plain terms, and what its families usually add, by first term and number.
        self._runs: dict[tuple[int, int], tuple[Weigh | None, list[float]]] = {}

    def weigh(self, keys: tuple[int, ...]) -> tuple[float, list[float]]:
        """Return what some keys add to the log odds, and what each family adds to a typical transaction.

        The first is that of :func:`~fraudstream.core.ftrl.logit_of` to the last bit.
        """
        if keys:
            first, count = TERM_OF[keys[0]], len(keys)
            # Terms rise, each at most once: so many between first and last are all of them. That is nearly
            # every transaction, and written out it takes half the time.
            if TERM_OF[keys[-1]] - first == count - 1:
                run = self._runs.get((first, count)) or self._add_run(first, count)
                if run[0] is not None:
                    return run[0](self._weights, keys, run[1])
        plain, share, leaning = weigh(self._weights, keys)
        return plain + leaning, _contributions(self._weights, self._typical, keys, share)

    def _add_run(self, first: int, count: int) -> tuple[Weigh | None, list[float]]:
        usual = [0.0] * len(FAMILIES)
        for term in range(first, first + count):
            usual[FAMILY_OF[term]] += self._typical[term]
        is_plain = LEANING_TERMS.isdisjoint(range(first, first + count))
        run = self._runs[first, count] = _weigher(first, count) if is_plain else None, usual
        return run


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
