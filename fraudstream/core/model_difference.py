"""How two model versions differ: in what they have learned, and in how they score."""

import msgspec

from fraudstream.core.learning import Learner
from fraudstream.core.probes import EVERY, FRAUD, GENUINE
from fraudstream.core.terms import TERM_OF, TERMS

MOST_KEYS = 20
"""Weights shown, those that differ most first."""


class KeyDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One weight in both versions."""

    term: str
    key: int
    before: float
    after: float


class TermDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One term: how many of its weights differ, and by how much at most and at the mean."""

    term: str
    family: str
    keys: int
    largest: float
    mean: float


class ModelDifference(msgspec.Struct, frozen=True, kw_only=True):
    """What the second of two versions has that the first has not.

    ``learned``, ``labels``, ``frauds`` are differences of counts; ``intercept`` of log odds. ``terminals``
    counts those whose risk differs. ``probes``: mean score, in log odds, of each kind of probe, before and
    after. ``terms`` and ``keys``: what differs most, first.
    """

    learned: int
    labels: int
    frauds: int
    intercept: float
    terminals: int
    probes: dict[str, tuple[float, float]]
    terms: tuple[TermDifference, ...]
    keys: tuple[KeyDifference, ...]

    @property
    def is_none(self) -> bool:
        """Whether both versions score everything alike."""
        return not (self.keys or self.terminals or self.intercept)


def difference(before: Learner, after: Learner, most_keys: int = MOST_KEYS) -> ModelDifference:
    """Compare two versions weight by weight and terminal by terminal."""
    old, new = before.model.weights, after.model.weights
    moved = {key: new[key] - old[key] for key in range(len(old)) if new[key] != old[key]}
    terms = []
    for at, term in enumerate(TERMS):
        steps = [abs(step) for key, step in moved.items() if TERM_OF[key] == at]
        if steps:
            terms.append(
                TermDifference(
                    term=term.name,
                    family=term.family,
                    keys=len(steps),
                    largest=max(steps),
                    mean=sum(steps) / len(steps),
                )
            )
    largest = sorted(moved, key=lambda key: (-abs(moved[key]), key))[:most_keys]
    terminals = before.risks.keys() | after.risks.keys()
    return ModelDifference(
        learned=after.learned - before.learned,
        labels=after.tables.labels - before.tables.labels,
        frauds=after.tables.frauds - before.tables.frauds,
        intercept=after.model.intercept - before.model.intercept,
        terminals=sum(before.risks.get(one) != after.risks.get(one) for one in terminals),
        probes={
            kind: (_mean(before, probes), _mean(after, probes))
            for kind, probes in {"everyday": GENUINE, **FRAUD, "all": EVERY}.items()
        },
        terms=tuple(sorted(terms, key=lambda one: (-one.largest, one.term))),
        keys=tuple(
            KeyDifference(term=TERMS[TERM_OF[key]].name, key=key, before=old[key], after=new[key])
            for key in largest
        ),
    )


def _mean(learner: Learner, probes: tuple[tuple[int, ...], ...]) -> float:
    return sum(map(learner.model.logit_keys, probes)) / len(probes)
