"""Worlds that are ready to use: one to watch, four that differ in everything a model might lean on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fraudstream.errors import InvalidInput
from fraudstream.simulation.config import (
    AmountPlan,
    AmountShape,
    AmountShift,
    CurrencyPlan,
    FraudKind,
    FraudPattern,
    LabelPlan,
    Rhythm,
    WorldConfig,
)

DEMO_SPEEDUP = 1_800
"""Seconds of event time in one second of a demo.

Half an hour: six five-minute windows fill and close in it, and a label that takes three quarters of an hour
comes after a second and a half.
"""

DEMO_PAYMENTS_PER_CARD_DAY = 8.0
"""Lively cards: each has a history within a minute of watching, a day and a quarter of event time."""

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def demo_world(seed: int = 1, rate: float = 300.0) -> WorldConfig:
    """Return a world for watching, with every kind of fraud from its first hour and about 3 % of it.

    Parameters
    ----------
    rate
        Transactions a second on average while event time runs ``DEMO_SPEEDUP`` times as fast as the clock;
        the world has as many cards as that takes. A night is about a third as busy as an afternoon.

    Raises
    ------
    InvalidInput
        The rate is below 1 or above 20,000.
    """
    if not 1 <= rate <= 20_000:
        msg = f"the rate of a demo must be in [1, 20000] transactions a second, got {rate:g}"
        raise InvalidInput(msg)
    payments_per_day = rate * DAY.total_seconds() / DEMO_SPEEDUP
    cards = max(round(payments_per_day / DEMO_PAYMENTS_PER_CARD_DAY), 20)
    size = payments_per_day / 14_400

    def pattern(kind: FraudKind, incidents: float, length: timedelta, **shape: float) -> FraudPattern:
        return FraudPattern(kind=kind, incidents_per_day=incidents * size, length=length, **shape)

    return WorldConfig(
        seed=seed,
        start=datetime(2024, 3, 4, 8, tzinfo=UTC),
        cards=cards,
        terminals=max(cards // 7, 10),
        payments_per_card_day=DEMO_PAYMENTS_PER_CARD_DAY,
        currencies=(
            CurrencyPlan(code="GBP", country="GB", share=0.6, median_minor=1_900, step_minor=500),
            CurrencyPlan(code="EUR", country="DE", share=0.3, median_minor=2_300, step_minor=500),
            CurrencyPlan(code="JPY", country="JP", share=0.1, median_minor=1_700, step_minor=500),
        ),
        rhythm=Rhythm(
            hours=(
                *(2.2, 1.8, 1.6, 1.5, 1.6, 1.9, 2.4, 3.0, 3.5, 3.8, 4.1, 4.4),
                *(4.6, 4.4, 4.2, 4.2, 4.4, 4.7, 4.8, 4.5, 4.0, 3.5, 3.0, 2.6),
            ),
            weekdays=(1.0, 1.0, 1.0, 1.0, 1.05, 1.1, 0.85),
        ),
        labels=LabelPlan(
            median_delay=45 * MINUTE,
            delay_spread=0.4,
            least_delay=10 * MINUTE,
            never_share=0.04,
            missed_share=0.02,
            accused_share=0.0005,
        ),
        frauds=(
            pattern(FraudKind.TERMINAL_COMPROMISE, 15, 6 * HOUR, share=0.85),
            pattern(FraudKind.CARD_LEAK, 20, 3 * HOUR, payments=6, multiplier=5),
            pattern(FraudKind.LARGE_AMOUNT, 60, MINUTE, multiplier=60),
            pattern(FraudKind.CARD_TESTING, 4, 20 * MINUTE, payments=20, multiplier=0.04),
            pattern(FraudKind.FOREIGN_SPREE, 16, 2 * HOUR, payments=5, multiplier=3),
        ),
    )


def high_street(seed: int = 1, cards: int = 4_000) -> WorldConfig:
    """Return world A: pounds, log-normal, by day; few and long stories; labels after four days, most come."""
    size = cards / 4_000
    return WorldConfig(
        seed=seed,
        cards=cards,
        terminals=max(cards // 2, 1),
        payments_per_card_day=1.8,
        amounts=AmountPlan(shape=AmountShape.LOGNORMAL, spread=0.65, card_spread=0.45),
        labels=LabelPlan(median_delay=4 * DAY, delay_spread=0.5, least_delay=6 * HOUR, never_share=0.05),
        frauds=(
            FraudPattern(
                kind=FraudKind.TERMINAL_COMPROMISE, incidents_per_day=1.1 * size, length=9 * DAY, share=0.75
            ),
            FraudPattern(
                kind=FraudKind.CARD_LEAK,
                incidents_per_day=1.6 * size,
                length=5 * DAY,
                payments=7,
                multiplier=3.5,
            ),
            FraudPattern(
                kind=FraudKind.LARGE_AMOUNT, incidents_per_day=4 * size, length=MINUTE, multiplier=25
            ),
        ),
    )


def warehouse(seed: int = 1, cards: int = 4_000) -> WorldConfig:
    """Return world B: hundreds of dollars, heavy tails, weekdays; short stories; late labels, 30 % never."""
    size = cards / 4_000
    return WorldConfig(
        seed=seed,
        start=datetime(2024, 2, 5, 5, tzinfo=UTC),
        cards=cards,
        terminals=max(cards // 5, 1),
        payments_per_card_day=1.2,
        currencies=(CurrencyPlan(code="USD", country="US", median_minor=41_000, step_minor=2_500),),
        amounts=AmountPlan(shape=AmountShape.PARETO, spread=0.8, card_spread=0.9, round_share=0.3),
        rhythm=Rhythm(
            hours=(*(0.0,) * 11, 1.0, 3.0, 5.0, 6.0, 6.0, 4.0, 5.0, 6.0, 6.0, 5.0, 3.0, 1.0, 0.2),
            weekdays=(1.2, 1.2, 1.2, 1.2, 1.1, 0.25, 0.1),
            personal_shift_hours=0.7,
        ),
        labels=LabelPlan(median_delay=10 * DAY, delay_spread=0.3, least_delay=2 * DAY, never_share=0.3),
        frauds=(
            FraudPattern(
                kind=FraudKind.TERMINAL_COMPROMISE, incidents_per_day=1.8 * size, length=2 * DAY, share=0.6
            ),
            FraudPattern(
                kind=FraudKind.CARD_LEAK,
                incidents_per_day=2.5 * size,
                length=36 * HOUR,
                payments=5,
                multiplier=8,
            ),
            FraudPattern(
                kind=FraudKind.FOREIGN_SPREE,
                incidents_per_day=1.5 * size,
                length=10 * HOUR,
                payments=4,
                multiplier=1.5,
            ),
        ),
    )


def night_market(seed: int = 1, cards: int = 4_000) -> WorldConfig:
    """Return world C: yen at price points, by night, dearer from day 40; tested cards, wrong labels."""
    size = cards / 4_000
    return WorldConfig(
        seed=seed,
        cards=cards,
        terminals=max(cards // 3, 1),
        payments_per_card_day=2.6,
        card_turnover=0.004,
        currencies=(CurrencyPlan(code="JPY", country="JP", median_minor=780, step_minor=100),),
        amounts=AmountPlan(
            shape=AmountShape.TIERS,
            spread=0.45,
            card_spread=0.3,
            round_share=0.4,
            shifts=(AmountShift(day=40, factor=1.6),),
        ),
        rhythm=Rhythm(
            hours=(
                *(4.0, 3.0, 2.0, 1.0, 0.6, 0.5, 0.8, 1.2, 1.5, 1.5, 2.0, 3.0),
                *(2.5, 2.0, 1.5, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 6.0, 6.0, 5.0),
            ),
            weekdays=(0.7, 0.7, 0.8, 1.0, 1.5, 1.6, 0.7),
        ),
        labels=LabelPlan(
            median_delay=6 * DAY,
            delay_spread=0.9,
            least_delay=DAY,
            never_share=0.15,
            missed_share=0.05,
            accused_share=0.001,
        ),
        frauds=(
            FraudPattern(
                kind=FraudKind.TERMINAL_COMPROMISE, incidents_per_day=2.2 * size, length=5 * DAY, share=0.35
            ),
            FraudPattern(
                kind=FraudKind.CARD_TESTING,
                incidents_per_day=1.2 * size,
                length=25 * MINUTE,
                payments=30,
                multiplier=0.15,
            ),
            FraudPattern(
                kind=FraudKind.CARD_LEAK,
                incidents_per_day=2 * size,
                length=3 * DAY,
                payments=6,
                multiplier=2.2,
            ),
        ),
    )


def turning_tide(seed: int = 1, cards: int = 4_000) -> WorldConfig:
    """Return world D: euros that inflate, cards and terminals that change, frauds that come and go."""
    size = cards / 4_000
    return WorldConfig(
        seed=seed,
        start=datetime(2024, 6, 3, tzinfo=UTC),
        cards=cards,
        terminals=max(cards // 4, 1),
        payments_per_card_day=1.5,
        card_turnover=0.01,
        terminal_turnover=0.003,
        currencies=(CurrencyPlan(code="EUR", country="DE", median_minor=3_300, step_minor=1_000),),
        amounts=AmountPlan(
            shape=AmountShape.GAMMA, spread=0.7, card_spread=0.6, round_share=0.1, inflation_per_day=0.004
        ),
        labels=LabelPlan(median_delay=2 * DAY, delay_spread=0.7, least_delay=HOUR, never_share=0.1),
        frauds=(
            FraudPattern(
                kind=FraudKind.TERMINAL_COMPROMISE,
                incidents_per_day=0.5 * size,
                length=21 * DAY,
                share=0.9,
                to_day=45,
            ),
            FraudPattern(
                kind=FraudKind.LARGE_AMOUNT,
                incidents_per_day=9 * size,
                length=MINUTE,
                multiplier=12,
                to_day=30,
            ),
            FraudPattern(
                kind=FraudKind.CARD_LEAK,
                incidents_per_day=3 * size,
                length=4 * DAY,
                payments=6,
                multiplier=4,
                from_day=25,
            ),
            FraudPattern(
                kind=FraudKind.FOREIGN_SPREE,
                incidents_per_day=4 * size,
                length=8 * HOUR,
                payments=4,
                multiplier=1.0,
                from_day=50,
            ),
        ),
    )


WORLDS: dict[str, Callable[..., WorldConfig]] = {
    "A": high_street,
    "B": warehouse,
    "C": night_market,
    "D": turning_tide,
}
"""The worlds detection is measured on, by name."""


def world_config(name: str, seed: int = 1, cards: int | None = None) -> WorldConfig:
    """Return the configuration of a preset: ``demo`` or one of :data:`WORLDS`.

    Parameters
    ----------
    cards
        How large to make one of :data:`WORLDS`; terminals and frauds follow, so that shares stay as they are.

    Raises
    ------
    InvalidInput
        There is no such world; or a number of cards for ``demo``, whose rate sets it.
    """
    if name == "demo":
        if cards is not None:
            msg = "the demo world has as many cards as its rate takes: choose another world to set them"
            raise InvalidInput(msg)
        return demo_world(seed)
    if name in WORLDS:
        return WORLDS[name](seed) if cards is None else WORLDS[name](seed, cards)
    msg = f"there is no world {name!r}: expected demo, {', '.join(WORLDS)}"
    raise InvalidInput(msg)
