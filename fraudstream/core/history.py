"""What is known of one card, and of amounts in one currency, before a transaction.

Both belong to the source partition: one worker writes them, in offset order, and their changelog carries
the highest offset folded in, so that a replayed record changes nothing. Sums are kept in units of the
running mean, so inflation cancels.
"""

from math import floor
from typing import Final, Self
from zlib import crc32

from fraudstream.core.rows import values_from
from fraudstream.errors import InvalidMessage

MEAN_WINDOW: Final = 20_000
"""Transactions the mean of a currency looks back on, over all partitions: at 5,000 it is noisy, at 100,000
drift costs 0.008 of average precision."""

MEAN_CAP: Final = 4.0
"""An amount counts at most this many means, or a few large ones would drag the mean along (3 to 5 score
alike)."""

LEAST_MEAN: Final = 1e-4
"""Major units below which no mean falls, so that zero amounts for ever lead to no division by zero."""

SPIKE_DECAY_DAYS: Final = 7.0
"""Days in which a spike fades to 1/e; 4 and 14 score alike."""

NEVER: Final = -1e9
"""A time before every transaction, in seconds since 1970."""

AMOUNT_CAP: Final = 2.0
"""An amount enters its card's sum as at most this many times the card's usual, so that one spike does not
hide the next."""

DEVIATION_CAP: Final = 2.0
"""Standard deviations a log amount may lie from its card's mean when it enters: an outlier widens the
spread only so far."""

VARIANCE_PRIOR: Final = 3.0
"""Transactions the currency's variance counts for in a card's own."""

_VARIANCE_WARMUP: Final = 100

WEEK_HOURS: Final = 168

RHYTHM_WINDOWS: Final = 5
"""Windows of the running mean after which counts by hour of week are halved: about 100,000 transactions."""

RECENT_DAYS: Final = 1.0
STEADY_DAYS: Final = 30.0
"""Days in which a transaction fades to 1/e of its weight in a card's recent and in its usual pace."""


LAST_PLACES: Final = 16
"""Uses of a card whose terminals are remembered: to hold where somebody returns to, and forget a journey."""

KNOWN_PLACES: Final = 4
"""Uses after which it shows whether a card returns to its terminals."""

SELDOM: Final = 2.0**0.5
"""Once in so many uses, at least, a card must turn up somewhere new for that to be worth a key."""

PLACE_DECAY: Final = 0.98
"""Weight that a use keeps at the next one, in how often a card turns up somewhere new: it looks back on
fifty."""


FIRST_PLACE: Final = 0x10000
MOST_PLACE: Final = 0x1FFFF
"""Places are these characters: none is half of another, so that any encoding takes them."""


def place_of(terminal_id: str) -> str:
    """Return the character by which a card remembers a terminal, one of 65,536.

    A terminal it never used is taken for one of 16 others once in 4,096 times.
    """
    return chr(FIRST_PLACE + (crc32(terminal_id.encode("utf-8", "surrogatepass")) & 0xFFFF))


def hour_of_week(at: float) -> int:
    """Return the hour of the week of a time in seconds since 1970, UTC: 0 is the first one of a Thursday."""
    return floor(at) // 3600 % WEEK_HOURS


_MEANS_ROW = tuple[int, float, int, float, list[int], int]


class CurrencyMeans:  # noqa: PLW1641  it changes, so it has no hash
    """Running mean and spread of the amounts in one currency, and when it is paid in, within one partition.

    ``applied``: highest source offset folded in, -1 before the first. ``mean``: capped running mean, in
    major units. ``seen``: transactions folded in, plus 1. ``variance``: of log amounts around each card's
    own mean. ``hours``: transactions by hour of week, ``timed`` of them, old ones halved time and again.
    """

    __slots__ = (
        "applied",
        "hours",
        "mean",
        "seen",
        "timed",
        "variance",
    )

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        applied: int,
        mean: float,
        seen: int,
        variance: float,
        hours: list[int] | None = None,
        timed: int = 0,
    ) -> None:
        self.applied = applied
        self.mean = mean
        self.seen = seen
        self.variance = variance
        self.hours = [0] * WEEK_HOURS if hours is None else hours
        self.timed = timed

    @classmethod
    def starting_with(cls, amount: float) -> Self:
        """Begin with the first amount seen in a currency; an amount below 0.01 begins at 0.01."""
        return cls(-1, max(amount, 0.01), 1, 0.5)

    def fold(self, offset: int, at: float, amount: float, deviation_squared: float, window: float) -> None:
        """Let one amount, and its squared deviation from its card's mean log amount, move mean and spread.

        ``at`` is its time in seconds since 1970.
        """
        seen = self.seen
        mean = self.mean
        cap = MEAN_CAP * mean
        mean += ((amount if amount < cap else cap) - mean) / (seen + 1 if seen + 1 < window else window)
        self.mean = mean if mean > LEAST_MEAN else LEAST_MEAN
        warm = seen + _VARIANCE_WARMUP
        self.variance += (deviation_squared - self.variance) / (warm if warm < window else window)
        self.seen = seen + 1
        self.applied = offset
        self.hours[hour_of_week(at)] += 1
        self.timed += 1
        if self.timed >= RHYTHM_WINDOWS * window:
            self.hours = [count // 2 for count in self.hours]
            self.timed = sum(self.hours)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CurrencyMeans) and self.to_row() == other.to_row()

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        return type(self), self.to_row()

    def __repr__(self) -> str:
        return f"CurrencyMeans{self.to_row()}"

    def to_row(self) -> tuple[int | float | list[int], ...]:
        """Return the fields in order, as plain numbers."""
        return (
            self.applied,
            self.mean,
            self.seen,
            self.variance,
            self.hours,
            self.timed,
        )

    @classmethod
    def from_row(cls, row: object) -> Self:
        """Rebuild what :meth:`to_row` gave; anything else is an ``InvalidMessage``."""
        built = cls(*values_from(row, _MEANS_ROW, cls.__name__))
        if len(built.hours) != WEEK_HOURS:
            fault = f"expected {WEEK_HOURS} hours of a week, got {len(built.hours)}"
            raise InvalidMessage(fault)
        return built


_HISTORY_ROW = tuple[
    int,
    int,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    str,
    float,
    float,
    float,
]


class CardHistory:  # noqa: PLW1641  it changes, so it has no hash
    """What is known of one card before its next transaction.

    ``applied``: highest source offset folded in, -1 before the first. ``count``: transactions. ``amounts``:
    their sum, each capped and in units of the currency's mean of its moment. ``heat``, ``heat_at``: weight
    of recent spikes and the time of the last one. ``log_sum``, ``log_squares``: of log relative amounts,
    the latter around the mean of the moment. ``recent``, ``steady``: transactions, fading within a day and
    within a month, as of ``seen_at``, the newest one; ``since``: the first one. ``places``: terminals of the
    last uses, oldest first, each a character by :func:`place_of`; ``placed``, ``moved``: uses at any terminal
    and at one not among the last, both fading by use. ``astray``: uses at new terminals, fading within a
    day, as of ``seen_at``. ``touched``: whether a checkpoint is to keep it anew; no part of its row.
    """

    __slots__ = (
        "amounts",
        "applied",
        "astray",
        "count",
        "heat",
        "heat_at",
        "log_squares",
        "log_sum",
        "moved",
        "placed",
        "places",
        "recent",
        "seen_at",
        "since",
        "steady",
        "touched",
    )

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        applied: int = -1,
        count: int = 0,
        amounts: float = 0.0,
        heat: float = 0.0,
        heat_at: float = NEVER,
        log_sum: float = 0.0,
        log_squares: float = 0.0,
        recent: float = 0.0,
        steady: float = 0.0,
        seen_at: float = NEVER,
        since: float = NEVER,
        places: str = "",
        placed: float = 0.0,
        moved: float = 0.0,
        astray: float = 0.0,
    ) -> None:
        self.applied = applied
        self.count = count
        self.amounts = amounts
        self.heat = heat
        self.heat_at = heat_at
        self.log_sum = log_sum
        self.log_squares = log_squares
        self.recent = recent
        self.steady = steady
        self.seen_at = seen_at
        self.since = since
        self.places = places
        self.placed = placed
        self.moved = moved
        self.astray = astray
        self.touched = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CardHistory) and self.to_row() == other.to_row()

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        return type(self), self.to_row()

    def __repr__(self) -> str:
        return f"CardHistory{self.to_row()}"

    def visit(self, place: str, *, new: bool) -> None:
        """Remember a use at a place, ``new`` if it is not among the last ones. Not idempotent."""
        self.placed = self.placed * PLACE_DECAY + 1.0
        self.moved = self.moved * PLACE_DECAY + new
        self.places = (self.places + place)[-LAST_PLACES:]

    def to_row(self) -> tuple[int | float | str, ...]:
        """Return the fields in order, as plain numbers and one text."""
        return (
            self.applied,
            self.count,
            self.amounts,
            self.heat,
            self.heat_at,
            self.log_sum,
            self.log_squares,
            self.recent,
            self.steady,
            self.seen_at,
            self.since,
            self.places,
            self.placed,
            self.moved,
            self.astray,
        )

    @classmethod
    def from_row(cls, row: object) -> Self:
        """Rebuild what :meth:`to_row` gave; anything else is an ``InvalidMessage``."""
        built = cls(*values_from(row, _HISTORY_ROW, cls.__name__))
        places = built.places
        if len(places) > LAST_PLACES or not all(FIRST_PLACE <= ord(place) <= MOST_PLACE for place in places):
            fault = f"expected at most {LAST_PLACES} places of a CardHistory, got {places[:40]!r}"
            raise InvalidMessage(fault)
        return built
