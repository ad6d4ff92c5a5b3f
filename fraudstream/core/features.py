"""What is seen of a transaction before it enters any state.

That is the keys it is scored by, and the steps that entering its card's history will take.

Values are cut on fixed logarithmic grids, so there is nothing to warm up or to fit: an edge lies at every
``2**(k / steps)``.
"""

from bisect import bisect_right
from math import exp, floor, log, log2, sqrt
from typing import Final

from fraudstream.core.assembling import assemble
from fraudstream.core.history import (
    AMOUNT_CAP,
    DEVIATION_CAP,
    KNOWN_PLACES,
    RECENT_DAYS,
    SELDOM,
    SPIKE_DECAY_DAYS,
    STEADY_DAYS,
    VARIANCE_PRIOR,
    WEEK_HOURS,
    CardHistory,
    CurrencyMeans,
    hour_of_week,
)
from fraudstream.core.look_tables import LookTables
from fraudstream.core.looks import BLAME_LIFT, RATIO_LOOK_FROM, known_rate, look
from fraudstream.core.observation import Observation
from fraudstream.core.price_levels import COMMON_LEVEL, level_bin, price_level
from fraudstream.core.risk import EntityRisk

LEAST_SPIKE: Final = 0.02
"""Excess fraud rate below which a large amount is no spike; .005 and .1 score alike."""

PACE_PRIOR: Final = 0.25
"""Transactions that a card's recent pace and its usual one start from."""

_RATES: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_DAY: Final = 86400.0


def grid(value: float, low: int, high: int, steps: int) -> int:
    """Return the bin of a value on a grid of ``steps`` bins an octave from ``2**low`` to ``2**high``.

    Bin 0 is everything below, the last bin everything from ``2**high`` on.

    >>> grid(0.4, -1, 4, 2), grid(0.5, -1, 4, 2), grid(1.0, -1, 4, 2), grid(99.0, -1, 4, 2)
    (0, 1, 3, 11)
    """
    if value < 2.0**low:
        return 0
    return min(floor(steps * log2(value)) - steps * low + 1, steps * (high - low) + 1)


_AGE_BINS: Final = tuple(grid(float(days), 0, 7, 2) for days in range(129))
_AGE_LAST: Final = len(_AGE_BINS) - 1


_NEW_CARD: Final = CardHistory()


def observe(  # noqa: PLR0912, PLR0913, PLR0915, PLR0917  one pass over every value, each computed once: the hot path
    at: float,
    amount: float | None,
    means: CurrencyMeans | None,
    history: CardHistory | None,
    risk: EntityRisk | None,
    tables: LookTables,
    place: str | None = None,
) -> Observation:
    """See a transaction as it is before it enters any state. Changes nothing.

    Grids are written out below as ``floor(steps * octave) + 1 - steps * low``; a test holds each against
    :func:`grid`.

    Parameters
    ----------
    at
        Event time in seconds since 1970, UTC.
    amount
        In major units, not negative; ``None`` where unknown, as is ``means`` then.
    means
        Of the amount's currency, in the transaction's partition.
    history
        Of its card, empty for a new one; ``None`` without a card.
    risk
        Of its terminal, :data:`~fraudstream.core.risk.UNKNOWN` without labels; ``None`` without a terminal.
    tables
        What labels have taught about looks.
    place
        Of its terminal, by :func:`~fraudstream.core.history.place_of`; ``None`` without a terminal.
    """
    fields = 0
    ratio = relative = spike = heat = amount_step = log_step = squared = pace = recent = steady = 0.0
    hour_share = 1.0
    amount_fine = amount_coarse = ratio_coarse = ratio_fine = surprise = count = heat_bin = since_spike = 0
    hour_rarity = pace_bin = novelty_bin = pace_fine = share_bin = astray_bin = ratio_here = (
        ratio_here_fine
    ) = 0
    newness = here_coarse = 0
    novelty = level = astray = ratio_octave = 0.0
    new_here = False
    level_at = COMMON_LEVEL
    since_genuine = episode_age = days = fraud_run = genuine_run = rate_short = rate_long = last_label = 0

    if history is not None:
        fields = 2
        seen = history.count
        count = seen.bit_length() if seen < 512 else 10
        waited = (at - history.heat_at) / _DAY
        heat = history.heat
        if heat:
            if waited > 0.0:
                heat *= exp(-waited / SPIKE_DECAY_DAYS)
            if heat >= 0.015625:
                heat_bin = floor(log2(heat)) + 7 if heat < 8.0 else 10
        if waited >= 64.0:
            since_spike = 9
        elif waited >= 0.25:
            since_spike = floor(log2(waited)) + 3
        recent = history.recent
        steady = history.steady
        astray = history.astray
        span = 0.0
        if recent:
            gone = (at - history.seen_at) / _DAY
            if gone > 0.0:
                fading = exp(gone / -RECENT_DAYS)
                recent *= fading
                astray *= fading
                steady *= exp(gone / -STEADY_DAYS)
            age = (at - history.since) / _DAY
            if age > 0.0:
                span = STEADY_DAYS * (1.0 - exp(age / -STEADY_DAYS))
        pace = (recent + PACE_PRIOR) / ((steady + 1.0) / (span + 1.0) + PACE_PRIOR)
        if pace >= 2.0:
            pace_bin = floor(2.0 * log2(pace)) - 1 if pace < 16.0 else 7
            pace_fine = pace_bin + 6
        elif pace >= 0.25:
            pace_fine = floor(2.0 * log2(pace)) + 5
        if astray >= 0.25:
            astray_bin = floor(2.0 * log2(astray)) + 5 if astray < 8.0 else 11
        if place is not None and place not in history.places:
            new_here = True
            if len(history.places) >= KNOWN_PLACES:
                novelty = (history.placed + 2.0) / (history.moved + 1.0)
                newness = floor(2.0 * log2(novelty)) + 1 if novelty < 16.0 else 9
            if novelty >= SELDOM:
                novelty_bin = newness - 1 if newness < 8 else 7

    if means is not None and amount is not None:
        fields += 1
        mean = means.mean
        hour_share = (means.hours[hour_of_week(at)] + 1) * WEEK_HOURS / (means.timed + WEEK_HOURS)
        if hour_share >= 0.015625:
            share_bin = floor(log2(hour_share)) + 7 if hour_share < 4.0 else 9
            hour_rarity = share_bin if share_bin < 6 else 6
        relative = amount / mean
        if relative >= 0.015625:
            octave = log2(relative)
            amount_fine = floor(32.0 * octave) + 193 if relative < 64.0 else 385
            if relative >= 0.0625:
                amount_coarse = floor(2.0 * octave) + 9 if relative < 32.0 else 19
        card = _NEW_CARD if history is None else history
        seen = card.count
        usual = mean * (card.amounts + 1.0) / (seen + 1)
        centre = card.log_sum / (seen + 1)
        spread = sqrt((card.log_squares + VARIANCE_PRIOR * means.variance) / (seen + VARIANCE_PRIOR))
        deviation = log((amount if amount > 0.01 else 0.01) / mean) - centre
        if history is not None:
            ratio = amount / usual
            if ratio >= 0.0625:
                ratio_octave = log2(ratio)
                ratio_fine = floor(4.0 * ratio_octave) + 17 if ratio < 32.0 else 37
                if ratio >= 0.5:
                    ratio_coarse = floor(2.0 * ratio_octave) + 3 if ratio < 16.0 else 11
                    if ratio >= 1.0:
                        spike = excess_rate(ratio, tables)
            surprised = deviation / spread
            if surprised >= 5.0:
                surprise = 13
            elif surprised >= -1.0:
                surprise = floor((surprised + 1.0) / 0.5) + 1
            amount_step = (amount if ratio < AMOUNT_CAP else AMOUNT_CAP * usual) / mean
        limit = DEVIATION_CAP * spread
        if deviation > limit:
            deviation = limit
        elif deviation < -limit:
            deviation = -limit
        log_step = centre + deviation
        squared = deviation * deviation

    if risk is not None:
        fields += 4
        last_label = risk.last_label
        quiet = (at - risk.genuine_at) / _DAY
        if quiet >= 64.0:
            since_genuine = 25
        elif quiet >= 1.0:
            since_genuine = floor(4.0 * log2(quiet)) + 1
        old = floor(at / _DAY) - floor(risk.episode_from / _DAY)
        if old > 0:
            days = old if old < 60 else 60
            episode_age = _AGE_BINS[old] if old < _AGE_LAST else 15
        run = risk.fraud_run
        fraud_run = run.bit_length() if run < 32 else 6
        run = risk.genuine_run
        genuine_run = run.bit_length() if run < 32 else 6
        if risk.frauds_long:  # without any fraud both rates lie below the first edge
            rate_short = bisect_right(_RATES, risk.rate_short())
            rate_long = bisect_right(_RATES, risk.rate_long())
        if risk.levels:
            level = price_level(risk.levels, risk.level_sum, tables.levels, tables.level_sum)
            if level >= 0.25 or level < -0.25:
                level_at = level_bin(level)
        if ratio >= 0.0625:
            octave = ratio_octave - level
        elif ratio:
            octave = log2(ratio) - level
        else:
            octave = -5.0
        if octave >= 5.0:
            ratio_here, ratio_here_fine, here_coarse = 19, 37, 8
        elif octave >= -4.0:
            ratio_here = floor(2.0 * octave) + 9
            ratio_here_fine = floor(4.0 * octave) + 17
            here_coarse = floor(octave) + 4 if octave < 4.0 else 8

    keys = assemble(
        fields,
        amount_fine,
        amount_coarse,
        ratio_coarse,
        ratio_fine,
        surprise,
        count,
        heat_bin,
        since_spike,
        since_genuine,
        episode_age,
        days,
        fraud_run,
        genuine_run,
        rate_short,
        rate_long,
        last_label,
        hour_rarity,
        pace_bin,
        novelty_bin,
        share_bin,
        pace_fine,
        astray_bin,
        level_at,
        ratio_here,
        ratio_here_fine,
        here_coarse,
        newness,
        (pace_fine + 1) >> 1,
    )
    return Observation(
        keys,
        at,
        amount,
        relative,
        ratio,
        spike,
        heat,
        amount_step,
        log_step,
        squared,
        pace,
        hour_share,
        recent,
        steady,
        place,
        new_here,
        novelty,
        level,
        astray,
    )


def excess_rate(ratio: float, tables: LookTables) -> float:
    """Return by how much the known fraud rate of a ratio exceeds twice the overall rate.

    An excess below :data:`LEAST_SPIKE` is none.
    """
    rate = (tables.frauds + 0.5) / (tables.labels + 100.0)
    at = look(ratio, RATIO_LOOK_FROM)
    excess = known_rate(tables.ratio_labels[at], tables.ratio_frauds[at], ratio, rate) - BLAME_LIFT * rate
    return excess if excess >= LEAST_SPIKE else 0.0
