"""What a simulated world is made of, as frozen values that refuse nonsense when they are built."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from fraudstream.errors import InvalidInput


class AmountShape(StrEnum):
    """How the amounts of one card scatter around its own level; ``spread`` means the same in all of them.

    ``LOGNORMAL`` leans to the right, ``GAMMA`` less so, ``PARETO`` has a tail that now and then is a hundred
    times the level, ``TIERS`` knows a few price points only.
    """

    LOGNORMAL = "lognormal"
    GAMMA = "gamma"
    PARETO = "pareto"
    TIERS = "tiers"


class FraudKind(StrEnum):
    """A story of fraud; what it does to payments is in :class:`FraudPattern`."""

    TERMINAL_COMPROMISE = "terminal_compromise"
    CARD_LEAK = "card_leak"
    LARGE_AMOUNT = "large_amount"
    CARD_TESTING = "card_testing"
    FOREIGN_SPREE = "foreign_spree"


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvalidInput(message)


@dataclass(frozen=True, kw_only=True)
class CurrencyPlan:
    """One currency of a world and the people who pay in it.

    Parameters
    ----------
    code, country
        ISO 4217 and ISO 3166-1 alpha-2.
    share
        Weight of its cards among all cards (above 0).
    median_minor
        Middle amount in the currency's minor unit. It carries the scale: yen have no decimals, so 900 is 900
        yen.
    step_minor
        What round amounts are multiples of.
    """

    code: str = "GBP"
    country: str = "GB"
    share: float = 1.0
    median_minor: int = 2_000
    step_minor: int = 500

    def __post_init__(self) -> None:
        _require(
            len(self.code) == 3 and self.code.isupper(), f"a currency has three letters, got {self.code!r}"
        )
        _require(len(self.country) == 2, f"a country has two letters, got {self.country!r}")
        _require(self.share > 0, f"the share of {self.code} must be above 0, got {self.share}")
        _require(
            self.median_minor >= 1, f"the median of {self.code} must be at least 1, got {self.median_minor}"
        )
        _require(self.step_minor >= 1, f"the step of {self.code} must be at least 1, got {self.step_minor}")


@dataclass(frozen=True, kw_only=True)
class AmountShift:
    """From one day on, everybody's amounts are multiplied: a drift that no label announces."""

    day: float
    factor: float

    def __post_init__(self) -> None:
        _require(self.factor > 0, f"the factor of an amount shift must be above 0, got {self.factor}")


@dataclass(frozen=True, kw_only=True)
class AmountPlan:
    """How large payments are.

    Parameters
    ----------
    spread
        Scatter of one card's amounts around its level, in units of the natural logarithm for ``LOGNORMAL``
        (0.6: two thirds lie within a factor of 1.8); the other shapes are matched to a similar width.
    card_spread
        Scatter of the cards' levels around the currency's median, same unit.
    round_share
        Share of payments rounded to the currency's step, 0 to 1.
    inflation_per_day
        Relative growth of all amounts in a day; negative shrinks them.
    shifts
        Sudden changes.
    """

    shape: AmountShape = AmountShape.LOGNORMAL
    spread: float = 0.6
    card_spread: float = 0.5
    round_share: float = 0.15
    inflation_per_day: float = 0.0
    shifts: tuple[AmountShift, ...] = ()

    def __post_init__(self) -> None:
        _require(0 < self.spread <= 2, f"the spread of amounts must be in (0, 2], got {self.spread}")
        _require(0 <= self.card_spread <= 2, f"the spread of cards must be in [0, 2], got {self.card_spread}")
        _require(
            0 <= self.round_share <= 1,
            f"the share of round amounts must be in [0, 1], got {self.round_share}",
        )
        _require(
            -0.1 <= self.inflation_per_day <= 0.1,
            f"inflation per day must be in [-0.1, 0.1], got {self.inflation_per_day}",
        )


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """When people pay.

    Parameters
    ----------
    hours
        24 weights, one for each hour of the day in UTC; only their ratios count.
    weekdays
        7 weights, Monday first.
    personal_shift_hours
        Standard deviation of each card's own shift of the day: night workers exist.
    """

    hours: tuple[float, ...] = (
        *(0.5, 0.3, 0.2, 0.15, 0.2, 0.5, 1.2, 2.4, 3.4, 3.6, 3.9, 4.6),
        *(5.6, 5.0, 4.3, 4.1, 4.6, 5.6, 6.0, 5.2, 3.8, 2.6, 1.7, 0.9),
    )
    weekdays: tuple[float, ...] = (0.95, 0.95, 1.0, 1.0, 1.15, 1.2, 0.75)
    personal_shift_hours: float = 1.5

    def __post_init__(self) -> None:
        for name, weights, count in (("hours", self.hours, 24), ("weekdays", self.weekdays, 7)):
            _require(len(weights) == count, f"{name} needs {count} weights, got {len(weights)}")
            _require(
                min(weights) >= 0 and sum(weights) > 0, f"{name} needs weights of 0 or more, some above 0"
            )
        _require(self.personal_shift_hours >= 0, "the personal shift of the day cannot be negative")


@dataclass(frozen=True, kw_only=True)
class LabelPlan:
    """How the truth becomes known.

    Parameters
    ----------
    median_delay, delay_spread, least_delay
        Delays are log-normal around the median with that spread (natural logarithm), and never below the
        least.
    never_share
        Share of payments whose label never comes, 0 to 1.
    missed_share
        Share of the labels of frauds that wrongly say genuine.
    accused_share
        Share of the labels of genuine payments that wrongly say fraud.
    """

    median_delay: timedelta = timedelta(days=4)
    delay_spread: float = 0.5
    least_delay: timedelta = timedelta(minutes=10)
    never_share: float = 0.05
    missed_share: float = 0.0
    accused_share: float = 0.0

    def __post_init__(self) -> None:
        _require(
            self.median_delay > timedelta(0),
            f"the median label delay must be above 0, got {self.median_delay}",
        )
        _require(
            self.least_delay >= timedelta(0), f"the least label delay cannot be negative: {self.least_delay}"
        )
        _require(
            0 <= self.delay_spread <= 3,
            f"the spread of label delays must be in [0, 3], got {self.delay_spread}",
        )
        for share in ("never_share", "missed_share", "accused_share"):
            value = getattr(self, share)
            _require(0 <= value <= 1, f"{share} must be in [0, 1], got {value}")


@dataclass(frozen=True, kw_only=True)
class FraudPattern:
    """One kind of fraud, and when it happens.

    Parameters
    ----------
    incidents_per_day
        Mean number of new incidents a day, anywhere in the world.
    length
        Mean length of an incident; each draws its own, between a third and three times that.
    share
        ``TERMINAL_COMPROMISE``: share of the terminal's payments that are fraud, with the amounts their cards
        always pay.
    payments
        The other kinds: mean number of fraudulent payments an incident adds (at least 1).
    multiplier
        ``CARD_LEAK`` and ``FOREIGN_SPREE``: of the card's level; ``LARGE_AMOUNT``: of the currency's median;
        ``CARD_TESTING``: of the currency's median too, far below 1.
    from_day, to_day
        Incidents begin from the one (inclusive) up to the other (exclusive; never ends when None), in days
        since the world's start; what has begun runs its course.
    """

    kind: FraudKind
    incidents_per_day: float
    length: timedelta
    share: float = 1.0
    payments: float = 1.0
    multiplier: float = 1.0
    from_day: float = 0.0
    to_day: float | None = None

    def __post_init__(self) -> None:
        name = self.kind.value
        _require(self.incidents_per_day >= 0, f"{name}: incidents per day cannot be negative")
        _require(
            timedelta(0) < self.length <= timedelta(days=365), f"{name}: the length must be in (0, 365 days]"
        )
        _require(0 < self.share <= 1, f"{name}: the share must be in (0, 1], got {self.share}")
        _require(self.payments >= 1, f"{name}: an incident has at least one payment, got {self.payments}")
        _require(self.multiplier > 0, f"{name}: the multiplier must be above 0, got {self.multiplier}")
        _require(self.from_day >= 0, f"{name}: from_day cannot be negative")
        _require(
            self.to_day is None or self.to_day > self.from_day,
            f"{name}: to_day must be after from_day, got {self.to_day} and {self.from_day}",
        )


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """A whole world. Two worlds of equal configuration and seed yield the same events, byte for byte.

    Parameters
    ----------
    start
        First instant, aware; converted to UTC.
    cards, terminals
        How many are in use at any one time.
    payments_per_card_day
        Mean over cards; cards differ widely around it.
    card_turnover, terminal_turnover
        Share that is replaced by new ones each day, 0 to 1.
    """

    seed: int = 1
    start: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    cards: int = 2_000
    terminals: int = 400
    payments_per_card_day: float = 2.0
    card_turnover: float = 0.0
    terminal_turnover: float = 0.0
    currencies: tuple[CurrencyPlan, ...] = (CurrencyPlan(),)
    amounts: AmountPlan = field(default_factory=AmountPlan)
    rhythm: Rhythm = field(default_factory=Rhythm)
    labels: LabelPlan = field(default_factory=LabelPlan)
    frauds: tuple[FraudPattern, ...] = ()

    def __post_init__(self) -> None:
        _require(self.start.tzinfo is not None, "the start of a world needs a time zone")
        _require(self.seed >= 0, f"a seed cannot be negative, got {self.seed}")
        for name in ("cards", "terminals"):
            _require(
                1 <= getattr(self, name) <= 10_000_000,
                f"{name} must be in [1, 10000000], got {getattr(self, name)}",
            )
        _require(
            0 < self.payments_per_card_day <= 10_000,
            f"payments per card and day must be in (0, 10000], got {self.payments_per_card_day}",
        )
        for name in ("card_turnover", "terminal_turnover"):
            _require(0 <= getattr(self, name) <= 1, f"{name} must be in [0, 1], got {getattr(self, name)}")
        _require(bool(self.currencies), "a world needs a currency")
        _require(self.terminals >= len(self.currencies), "a world needs a terminal for each currency")
        codes = [plan.code for plan in self.currencies]
        _require(len(set(codes)) == len(codes), f"each currency once, got {', '.join(codes)}")

    @property
    def payments_per_day(self) -> float:
        """Return the mean number of genuine payments a day, over a whole week."""
        return self.cards * self.payments_per_card_day
