"""Is a model sane? It scores a fixed set of made-up transactions before anybody is scored by it.

A snapshot may be whole to the last bit and yet be nonsense: learned from poisoned labels, or put together
wrongly. Some probes look like everyday transactions, the others like fraud, each kind in one way; a model
that has learned enough and scores every kind below the everyday ones, or that suddenly scores all of them
otherwise than the last good one, is refused.
"""

from collections.abc import Sequence
from math import isfinite

import msgspec

from fraudstream.core.assembling import assemble
from fraudstream.core.ftrl import logit_of
from fraudstream.core.snapshot import Snapshot
from fraudstream.core.terms import BINS, KEYS, Needs
from fraudstream.errors import InvalidSnapshot

ENOUGH_LABELS = 5_000
ENOUGH_FRAUDS = 100
"""Labels, and frauds among them, from which on a model has to tell fraud from genuine: a model of fewer may
still be led by chance."""

MOST_BELOW = 1.0
"""Log odds by which the highest kind of fraud-like probes may lie below the everyday ones. In sound models of
five data sets it lay at most 0.25 below, soon after the first hundred frauds, and far above later; learned
from labels turned around it lies below by more than this."""

MOST_MOVE = 3.0
"""Log odds that the mean of the probes may move between versions that lie up to :data:`MOVE_LABELS` apart,
and again as much for each further so many: a factor of twenty in the odds of every transaction. A thousand
labels were seen to move it by up to 2."""

MOVE_LABELS = 1_000

_ALL = Needs.AMOUNT | Needs.CARD | Needs.TERMINAL
_BINS_OF = {found.name: found.size for found in BINS}
_USUAL = {"hour_share": 7, "pace_coarse": 3}
"""An hour when as many pay as at any, a card used as often as ever."""


def _keys(**bins: int) -> tuple[int, ...]:
    """Return the keys of a transaction with these bins; those not named are usual, or 0."""
    bins = _USUAL | bins
    assert all(bins[name] < _BINS_OF[name] for name in bins)  # noqa: S101 - a fault of ours
    return assemble(_ALL.value, *(bins.get(found.name, found.usual or 0) for found in BINS))


def _amount(half_octaves: int) -> dict[str, int]:
    """Return the bins of an amount so far above its currency's mean, which is the card's usual too."""
    return {
        "amount_fine": 193 + 16 * half_octaves,
        "amount_coarse": 9 + half_octaves,
        "ratio_coarse": 3 + half_octaves,
        "ratio_fine": 17 + 2 * half_octaves,
        "ratio_here": 9 + half_octaves,
        "ratio_here_fine": 17 + 2 * half_octaves,
        "ratio_here_coarse": 4 + half_octaves // 2,
    }


def _genuine() -> list[tuple[int, ...]]:
    """Return everyday transactions: ordinary amounts of known cards at terminals without fraud."""
    return [
        _keys(
            surprise=3 + octave // 2,
            count=count,
            since_spike=9,
            since_genuine=quiet,
            genuine_run=run,
            last_label=1,
            **_amount(octave),
        )
        for octave in (-2, -1, 0, 1)
        for count in (5, 8)
        for quiet, run in ((1, 6), (5, 5), (9, 4))
    ]


def _outsized() -> list[tuple[int, ...]]:
    """Return amounts far above the card's usual, at terminals without fraud."""
    return [
        _keys(
            surprise=surprise,
            count=count,
            since_spike=9,
            since_genuine=quiet,
            genuine_run=run,
            last_label=1,
            **_amount(2 * octave),
        )
        for octave, surprise in ((2, 9), (2, 11), (3, 11), (3, 13))
        for count in (5, 8)
        for quiet, run in ((1, 6), (5, 5), (9, 4))
    ]


def _repeated() -> list[tuple[int, ...]]:
    """Return large amounts on cards that just had others."""
    return [
        _keys(
            surprise=surprise,
            count=count,
            heat=heat,
            since_spike=since,
            since_genuine=5,
            genuine_run=5,
            last_label=1,
            **_amount(2 * octave),
        )
        for octave, surprise in ((1, 7), (2, 10), (3, 13))
        for count in (5, 8)
        for heat, since in ((6, 3), (7, 2), (8, 1), (9, 1))
    ]


def _at_bad_terminals() -> list[tuple[int, ...]]:
    """Return ordinary amounts at terminals in the midst of frauds."""
    return [
        _keys(
            surprise=3 + octave // 2,
            count=count,
            since_spike=9,
            since_genuine=9,
            episode_age=age,
            episode_days=days,
            fraud_run=run,
            rate_short=rate,
            rate_long=rate,
            last_label=2,
            **_amount(octave),
        )
        for octave in (-1, 0, 1)
        for count in (5, 8)
        for age, days, run, rate in ((2, 2, 2, 9), (5, 5, 3, 11), (7, 9, 3, 6), (6, 8, 4, 11))
    ]


GENUINE = tuple(_genuine())
FRAUD = {
    "outsized": tuple(_outsized()),
    "repeated": tuple(_repeated()),
    "terminal": tuple(_at_bad_terminals()),
}
"""Probes by what makes them look like fraud. A world need not have every kind of fraud: a sound model has
learned one of them at least."""

EVERY = GENUINE + tuple(probe for probes in FRAUD.values() for probe in probes)


def probe_logits(snapshot: Snapshot, probes: Sequence[tuple[int, ...]]) -> list[float]:
    """Return the log odds a snapshot gives to some probes."""
    weights = [0.0] * KEYS
    for key, weight in zip(snapshot.keys, snapshot.weights, strict=True):
        weights[key] = weight
    return [logit_of(weights, probe) + snapshot.intercept for probe in probes]


class Sanity(msgspec.Struct, frozen=True):
    """A snapshot that passed, as later ones are compared with it.

    ``labels`` are those counted in its look tables; ``mean`` is that of all probes, in log odds.
    """

    version: int
    learned: int
    labels: int
    mean: float


def check_sanity(snapshot: Snapshot, last_good: Sanity | None) -> Sanity:
    """Refuse a snapshot that scores the probes as no sound model would; return what it was seen to do.

    Only what labels have taught is asked for: a model of few labels, or one that has never seen a card and
    a terminal, gives all probes nearly the same score and passes.

    Parameters
    ----------
    snapshot
        The one in question.
    last_good
        What this returned for the one served now; ``None`` when there is none to compare with, or when
        somebody asked for another state on purpose.

    Raises
    ------
    InvalidSnapshot
        A score is not finite; or after enough labels every kind of fraud-like probes scores below everyday
        ones, or all probes score alike; or they moved too far since the last good snapshot.
    """
    genuine = probe_logits(snapshot, GENUINE)
    kinds = {kind: probe_logits(snapshot, probes) for kind, probes in FRAUD.items()}
    every = [*genuine, *(logit for logits in kinds.values() for logit in logits)]
    if not all(map(isfinite, every)):
        fault = f"the model snapshot {snapshot.version} scores a probe as no number"
        raise InvalidSnapshot(fault)
    tables = snapshot.tables
    if tables.labels >= ENOUGH_LABELS and tables.frauds >= ENOUGH_FRAUDS:
        if min(every) == max(every):
            fault = f"the model snapshot {snapshot.version} scores all probes alike: {every[0]:.3f} log odds"
            raise InvalidSnapshot(fault)
        high, kind = max((_mean(logits), kind) for kind, logits in kinds.items())
        if high < (low := _mean(genuine)) - MOST_BELOW:
            fault = (
                f"the model snapshot {snapshot.version} scores every kind of fraud-like probes ({kind}, the"
                f" highest: {high:.3f} log odds) below everyday ones ({low:.3f})"
            )
            raise InvalidSnapshot(fault)
    mean = _mean(every)
    if last_good is not None and last_good.labels >= ENOUGH_LABELS:
        steps = 1 + abs(snapshot.learned - last_good.learned) // MOVE_LABELS
        moved = abs(mean - last_good.mean)
        if moved > MOST_MOVE * steps:
            fault = (
                f"the model snapshot {snapshot.version} moves the probes by {moved:.3f} log odds since"
                f" version {last_good.version}, more than {MOST_MOVE * steps:.0f}"
            )
            raise InvalidSnapshot(fault)
    return Sanity(snapshot.version, snapshot.learned, tables.labels, mean)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
