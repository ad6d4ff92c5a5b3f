"""Why a score is what it is: exact, additive, in words.

The log odds are the intercept plus one weight a key. Each weight minus its term's typical weight (the mean
over recent examples) is what this transaction adds to or takes from a typical one; terms of one family are
summed into one reason.
"""

from collections.abc import Callable, Iterable, Sequence

from fraudstream.core.features import Observation
from fraudstream.core.history import CardHistory
from fraudstream.core.messages import Reason, Transaction
from fraudstream.core.reason_words import WORDS
from fraudstream.core.risk import EntityRisk
from fraudstream.core.terms import (
    FAMILIES,
    FAMILY_OF,
    KEYS,
    SIZES,
    STARTS,
    STATE_TERMS,
    TERM_OF,
    TERMS,
)

MOST_REASONS = 3

LEAST_CONTRIBUTION = 0.1
"""In logits: less moves the odds by about a tenth and says nothing to a person."""


def contributions(weights: Sequence[float], typical: Sequence[float], keys: Iterable[int]) -> list[float]:
    """Return what each family, in the order of ``FAMILIES``, adds to the log odds of a typical transaction.

    Their sum is the logit minus the intercept minus the typical weights of the terms present, up to rounding.
    """
    sums = [0.0] * len(FAMILIES)
    for key in keys:
        term = TERM_OF[key]
        sums[FAMILY_OF[term]] += weights[key] - typical[term]
    return sums


Weigh = Callable[[Sequence[float], tuple[int, ...]], tuple[float, ...]]


_COMMON = tuple(term for term in STATE_TERMS if not term.is_rare)
_RARE = frozenset(index for index, term in enumerate(TERMS) if term.is_rare)


def _weigher() -> Weigh:
    """Write out the sums of a transaction with all common terms and no crosses, from the term table.

    The first result adds the weights in the order of the keys, as every logit is added; the others are one
    family each.
    """
    every = range(len(_COMMON))
    members: dict[str, list[str]] = {}
    for index in every:
        members.setdefault(_COMMON[index].family, []).append(f"w{index}")
    source = [
        "def weigh(weights, keys):",
        f"    {', '.join(f'k{i}' for i in every)} = keys",
        *(f"    w{i} = weights[k{i}]" for i in every),
        f"    return {' + '.join(f'w{i}' for i in every)}, "
        + ", ".join(" + ".join(members[family]) for family in FAMILIES if family in members),
    ]
    scope: dict[str, Weigh] = {}
    exec("\n".join(source), {"__builtins__": {}}, scope)  # noqa: S102  names and numbers of the term table only
    return scope["weigh"]


_weigh_state = _weigher()
_LAST_FROM = STARTS[_COMMON[-1].name]
_LAST_TO = _LAST_FROM + SIZES[_COMMON[-1].name]


class Explainer:
    """Weighs transactions and finds the reasons of their scores, under one model.

    Parameters
    ----------
    weights
        Of every key.
    typical
        Mean weight of each term over recent examples.
    """

    def __init__(self, weights: Sequence[float], typical: Sequence[float]) -> None:
        self._weights = weights
        # A typical transaction has no rare term.
        self._typical = tuple(0.0 if term in _RARE else mean for term, mean in enumerate(typical))
        usual = contributions([0.0] * KEYS, self._typical, [STARTS[term.name] for term in _COMMON])
        self._usual = tuple(-amount for amount in usual)

    def weigh(self, keys: tuple[int, ...]) -> tuple[float, list[float]]:
        """Return the sum of the weights of some keys, and what each family adds to a typical one.

        The sum is added up in the order of the keys, so it is the same to the last bit wherever it is
        computed.
        """
        if len(keys) == len(_COMMON) and _LAST_FROM <= keys[-1] < _LAST_TO:
            total, amount, card, spikes, terminal, meeting = _weigh_state(self._weights, keys)
            usual = self._usual
            return total, [
                amount - usual[0],
                card - usual[1],
                spikes - usual[2],
                terminal - usual[3],
                meeting - usual[4],
            ]
        weights = self._weights
        total = 0.0
        for key in keys:
            total += weights[key]
        return total, contributions(weights, self._typical, keys)


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
                name=FAMILIES[family],
                text=WORDS[family](transaction, observation, history, risk),
                contribution=int(amount * 1000.0) / 1000.0,
            )
            for _, family, amount in ranked[:MOST_REASONS]
        ]
    )
