"""What fraudsters do: incidents of each pattern, and the payments they add or turn into fraud."""

import numpy as np

from fraudstream.simulation.amounts import growth, scatter, to_minor
from fraudstream.simulation.config import FraudKind, FraudPattern, WorldConfig
from fraudstream.simulation.payments import COUNTRIES, GENUINE, HOME, Payments
from fraudstream.simulation.population import Floats, Integers, Population

DAY_MS = 86_400_000

REMOTE_SHARE = {FraudKind.CARD_LEAK: 0.85, FraudKind.LARGE_AMOUNT: 0.4, FraudKind.CARD_TESTING: 1.0}
"""Share of fraudulent payments made without the card, by kind; a foreign spree carries a copy of it."""

FOREIGN_SHIPPING_SHARE = 0.5
"""Share of a leaked card's remote payments that are shipped abroad."""

TESTING_SPREAD = 0.35
"""Scatter of the small amounts that test cards, natural logarithm: programs vary them little."""


class Frauds:
    """The incidents of one world, drawn day by day from a generator of their own.

    Genuine payments never depend on it: the same world with other frauds has the same genuine payments,
    except that compromised terminals turn some of them into frauds.
    """

    def __init__(self, config: WorldConfig, people: Population, random: np.random.Generator) -> None:
        self._config = config
        self._people = people
        self._random = random
        self._medians = np.array([plan.median_minor for plan in config.currencies], dtype=np.float64)
        self._steps = np.array([plan.step_minor for plan in config.currencies], dtype=np.int64)
        self._start_ms = round(config.start.timestamp() * 1000)
        self._compromised: list[tuple[Integers, Integers]] = [
            (np.zeros(config.terminals, dtype=np.int64), np.zeros(config.terminals, dtype=np.int64))
            for _ in config.frauds
        ]
        self._waiting = Payments.none()

    def begin(self, day: int) -> None:
        """Draw the incidents that begin on that day."""
        for place, pattern in enumerate(self._config.frauds):
            first, last = max(pattern.from_day, day), min(pattern.to_day or np.inf, day + 1.0)
            if last <= first:
                continue
            count = int(self._random.poisson(pattern.incidents_per_day * (last - first)))
            begins = self._start_ms + (self._random.uniform(first, last, count) * DAY_MS).astype(np.int64)
            lengths = self._lengths(pattern, count)
            if pattern.kind is FraudKind.TERMINAL_COMPROMISE:
                since, until = self._compromised[place]
                slots = self._random.integers(self._config.terminals, size=count)
                since[slots], until[slots] = begins, begins + lengths
            elif count:
                added = self._added_payments(place, pattern, begins, lengths)
                self._waiting = Payments.join([self._waiting, added])

    def due(self, until_ms: int) -> Payments:
        """Return the added payments made before ``until_ms``, and forget them."""
        now = self._waiting.time_ms < until_ms
        taken, self._waiting = self._waiting.take(now), self._waiting.take(~now)
        return taken

    def corrupt(self, payments: Payments) -> Payments:
        """Return the payments with those at compromised terminals turned into frauds, share by share."""
        marked = payments.pattern.copy()
        for place, pattern in enumerate(self._config.frauds):
            if pattern.kind is FraudKind.TERMINAL_COMPROMISE:
                since, until = self._compromised[place]
                there = payments.terminal
                inside = (payments.time_ms >= since[there]) & (payments.time_ms < until[there])
                struck = inside & (self._random.random(len(payments)) < pattern.share) & (marked == GENUINE)
                marked[struck] = place
        columns = dict(vars(payments), pattern=marked)
        return Payments(**columns)

    def forget(self, cards: Integers, terminals: Integers) -> None:
        """Drop what was to happen to cards and terminals that were replaced."""
        if len(cards):
            self._waiting = self._waiting.take(~np.isin(self._waiting.card, cards))
        for _, until in self._compromised:
            until[terminals] = 0

    def _lengths(self, pattern: FraudPattern, count: int) -> Integers:
        """Draw how long each incident lasts, in milliseconds: a third to three times the mean."""
        mean_ms = pattern.length.total_seconds() * 1000
        factors = np.clip(self._random.gamma(3.0, 1 / 3.0, count), 1 / 3, 3.0)
        return np.maximum(factors * mean_ms, 1.0).astype(np.int64)

    def _added_payments(
        self, place: int, pattern: FraudPattern, begins: Integers, lengths: Integers
    ) -> Payments:
        """Return the payments of these incidents, of any time from now on."""
        random, people, kind = self._random, self._people, pattern.kind
        sizes = 1 + random.poisson(pattern.payments - 1, len(begins))
        incident = np.repeat(np.arange(len(begins)), sizes)
        count = len(incident)
        time_ms = begins[incident] + (random.random(count) * lengths[incident]).astype(np.int64)
        if kind in {FraudKind.CARD_LEAK, FraudKind.FOREIGN_SPREE}:
            card = random.integers(self._config.cards, size=len(begins))[incident]
        else:
            card = random.integers(self._config.cards, size=count)
        currency = people.card_currency[card]
        terminal = people.any_terminals(currency, random)
        if kind is FraudKind.CARD_TESTING:
            # A program tries its cards at one shop; each incident has its own.
            terminal = terminal[np.searchsorted(incident, np.arange(len(begins)))][incident]
        remote = random.random(count) < REMOTE_SHARE.get(kind, 0.0)
        abroad = random.integers(len(COUNTRIES), size=count)
        if kind is FraudKind.FOREIGN_SPREE:
            country = random.integers(len(COUNTRIES), size=len(begins))[incident]
        else:
            country = np.full(count, HOME)
        ships_abroad = (
            remote & (kind is FraudKind.CARD_LEAK) & (random.random(count) < FOREIGN_SHIPPING_SHARE)
        )
        return Payments(
            time_ms=time_ms,
            card=card,
            card_number=people.card_number[card],
            terminal=terminal,
            amount_minor=self._amounts(pattern, time_ms, card),
            country=country,
            shipping=np.where(ships_abroad, abroad, HOME),
            remote=remote,
            pattern=np.full(count, place),
        )

    def _amounts(self, pattern: FraudPattern, time_ms: Integers, card: Integers) -> Integers:
        """Return what these fraudulent payments take."""
        random, people, plan = self._random, self._people, self._config.amounts
        currency = people.card_currency[card]
        level: Floats = self._medians[currency] * pattern.multiplier
        level = level * growth(plan, (time_ms - self._start_ms) / DAY_MS)
        if pattern.kind in {FraudKind.CARD_LEAK, FraudKind.FOREIGN_SPREE}:
            level = level * people.card_level[card]
        if pattern.kind is FraudKind.CARD_TESTING:
            factors = np.exp(random.normal(0.0, TESTING_SPREAD, len(card)))
        else:
            factors = scatter(plan, len(card), random)
        return to_minor(plan, level * factors, self._steps[currency], random)
