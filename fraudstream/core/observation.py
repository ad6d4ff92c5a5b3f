"""One transaction as seen: the numbers behind its keys, and what entering its card's history will change."""

from fraudstream.core.history import SELDOM, CardHistory


class Observation:
    """One transaction as seen before it enters any state, and the steps that entering will take.

    ``keys``: what it is scored by, crosses aside. ``at``: event time in seconds; ``amount``: in major
    units. ``ratio``: amount over the card's usual; ``relative_amount``: over the currency's mean; 0 where
    unknown. ``spike``: weight this transaction adds to the card's recent spikes, ``heat`` what they weigh
    without it. ``pace``: how often the card is used of late over how often it usually is; ``hour_share``:
    transactions of this hour of the week over those of a mean hour, 1 where unknown. ``recent`` and
    ``steady``: what the card's fading counts have come to. ``place``: the terminal as cards remember it;
    ``new_here``: whether that is none of its last ones; ``novelty``: once in how many uses that happens to
    the card, 0 where it is not new; ``level``: the terminal's price level in octaves; ``astray``: what the
    card's uses at new terminals have faded to.
    """

    __slots__ = (
        "amount",
        "amount_step",
        "astray",
        "at",
        "deviation_squared",
        "heat",
        "hour_share",
        "keys",
        "level",
        "log_step",
        "new_here",
        "novelty",
        "pace",
        "place",
        "ratio",
        "recent",
        "relative_amount",
        "spike",
        "steady",
    )

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        keys: tuple[int, ...],
        at: float,
        amount: float | None,
        relative_amount: float,
        ratio: float,
        spike: float,
        heat: float,
        amount_step: float,
        log_step: float,
        deviation_squared: float,
        pace: float,
        hour_share: float,
        recent: float,
        steady: float,
        place: str | None = None,
        new_here: bool = False,
        novelty: float = 0.0,
        level: float = 0.0,
        astray: float = 0.0,
    ) -> None:
        self.keys = keys
        self.at = at
        self.amount = amount
        self.relative_amount = relative_amount
        self.ratio = ratio
        self.spike = spike
        self.heat = heat
        self.amount_step = amount_step
        self.log_step = log_step
        self.deviation_squared = deviation_squared
        self.pace = pace
        self.hour_share = hour_share
        self.recent = recent
        self.steady = steady
        self.place = place
        self.new_here = new_here
        self.novelty = novelty
        self.level = level
        self.astray = astray

    def fold_into(self, history: CardHistory, offset: int) -> None:
        """Enter the card's history. Not idempotent: callers compare offset and ``applied`` first."""
        history.applied = offset
        if not history.count:
            history.since = self.at
        history.count += 1
        history.recent = self.recent + 1.0
        history.steady = self.steady + 1.0
        history.seen_at = max(history.seen_at, self.at)
        history.amounts += self.amount_step
        history.log_sum += self.log_step
        history.log_squares += self.deviation_squared
        if self.spike:
            history.heat = self.heat + self.spike
            history.heat_at = max(history.heat_at, self.at)
        if self.place is not None:
            history.visit(self.place, new=self.new_here)
        history.astray = self.astray + (1.0 if self.novelty >= SELDOM else 0.0)
