"""How much one label speaks for a source that lies, beside all others and the scores.

An honest source may choose what it labels, by score (analysts look at alerts) or by truth (chargebacks are
always frauds). So each label is weighed in two ways, which choice by score and choice by truth each leave as
they are: how probable is the label at this score, and how probable is the score under this label. Only the
*smaller* log likelihood ratio counts. Under either kind of honest choice its expected exponential is at most
1: what a bound on false alarms needs.
"""

from math import log

import msgspec

HONEST_INVENTED, LYING_INVENTED = 0.005, 0.02
"""Share of genuine transactions an honest and a lying source call fraud."""

HONEST_HIDDEN, LYING_HIDDEN = 0.1, 0.5
"""Share of frauds an honest and a lying source call genuine."""

HONEST_MIXTURE, LYING_MIXTURE = (0.002, 0.4), (0.006, 0.7)
"""Share of wrong ones among labels genuine and fraud: one genuine transaction in 200 called fraud is already
two fifths of all labels fraud where fraud is rare."""

MOST_WEIGHT = 1.4
"""Nats one label adds at most."""

SCORES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95)
BINS = len(SCORES) + 1

RATE_PRIOR, SHAPE_PRIOR = 20.0, 20.0
"""Labels that the model's own opinion counts for, at one score and over all: it speaks of scores where other
sources are silent."""

ENOUGH_GENUINE, ENOUGH_FRAUD = 200.0, 30.0
"""Labels that all other sources must have given before one can contradict them. The model alone accuses
nobody: while it is new, or late, it is wrong and a single source right."""

LEAST_SCORE, MOST_SCORE = 5e-4, 1.0 - 5e-4
"""Scores below and above count as these: a model is never so sure."""


def _zeros() -> list[float]:
    return [0.0] * BINS


class Shown(msgspec.Struct, array_like=True):
    """Labels by the score of their transaction, fading with :data:`HALF_LIFE_DAYS`, and their totals."""

    genuine: list[float] = msgspec.field(default_factory=_zeros)
    fraud: list[float] = msgspec.field(default_factory=_zeros)
    genuines: float = 0.0
    frauds: float = 0.0

    def add(self, at: int, genuine: float, fraud: float) -> None:
        """Count labels of one bin."""
        self.genuine[at] += genuine
        self.fraud[at] += fraud
        self.genuines += genuine
        self.frauds += fraud

    def fade(self, factor: float) -> None:
        """Let everything count less."""
        self.genuine = [one * factor for one in self.genuine]
        self.fraud = [one * factor for one in self.fraud]
        self.genuines *= factor
        self.frauds *= factor

    def take_out(self, other: "Shown") -> None:
        """Forget what another one holds; it was added here before."""
        self.genuine = [max(a - b, 0.0) for a, b in zip(self.genuine, other.genuine, strict=True)]
        self.fraud = [max(a - b, 0.0) for a, b in zip(self.fraud, other.fraud, strict=True)]
        self.genuines, self.frauds = sum(self.genuine), sum(self.fraud)


def weigh(  # noqa: PLR0913, PLR0917
    others: Shown, expected: Shown, own: Shown, place: int, score: float, fraud: bool
) -> tuple[float, float]:
    """Return by how much a label speaks for a source that invents frauds, and for one that hides them.

    In nats, at most :data:`MOST_WEIGHT`; 0 while the others have not said enough.

    Parameters
    ----------
    others, expected, own
        What all sources have shown, what scores promised of the same transactions, and this source's part.
    place, score, fraud
        Bin and score of the label's transaction, and the label.
    """
    genuines, frauds = others.genuines - own.genuines, others.frauds - own.frauds
    if genuines < ENOUGH_GENUINE or frauds < ENOUGH_FRAUD:
        return 0.0, 0.0
    frauds_here = max(others.fraud[place] - own.fraud[place], 0.0)
    genuine_here = max(others.genuine[place] - own.genuine[place], 0.0)
    p = (frauds_here + RATE_PRIOR * score) / (frauds_here + genuine_here + RATE_PRIOR)
    q = 1.0 - p
    as_fraud = _share(frauds_here, frauds, expected.fraud[place], expected.frauds)
    as_genuine = _share(genuine_here, genuines, expected.genuine[place], expected.genuines)
    if fraud:
        honest = p * (1.0 - HONEST_HIDDEN) + q * HONEST_INVENTED
        invents = log((p * (1.0 - HONEST_HIDDEN) + q * LYING_INVENTED) / honest)
        hides = log((p * (1.0 - LYING_HIDDEN) + q * HONEST_INVENTED) / honest)
        mixed = _mixture(as_fraud, as_genuine, True)
        return min(invents, mixed, MOST_WEIGHT), min(hides, 0.0)
    honest = q * (1.0 - HONEST_INVENTED) + p * HONEST_HIDDEN
    invents = log((q * (1.0 - LYING_INVENTED) + p * HONEST_HIDDEN) / honest)
    hides = log((q * (1.0 - HONEST_INVENTED) + p * LYING_HIDDEN) / honest)
    return min(invents, 0.0), min(hides, _mixture(as_genuine, as_fraud, False), MOST_WEIGHT)


def _share(here: float, everywhere: float, expected_here: float, expected: float) -> float:
    """Return the share of a label's transactions that score so, never 0."""
    prior = (expected_here + 1.0 / BINS) / (expected + 1.0)
    return (here + SHAPE_PRIOR * prior) / (max(everywhere, 0.0) + SHAPE_PRIOR)


def _mixture(right: float, wrong: float, fraud: bool) -> float:
    honest, lying = HONEST_MIXTURE[fraud], LYING_MIXTURE[fraud]
    return log(((1.0 - lying) * right + lying * wrong) / ((1.0 - honest) * right + honest * wrong))
