"""Who pays and where: cards and terminals as columns, one row each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fraudstream.simulation.config import WorldConfig

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MerchantGroup:
    """One line of trade: its share of terminals, what people spend there, how many are online."""

    name: str
    share: float
    amount_factor: float
    online_share: float


GROUPS = (
    MerchantGroup("groceries", 0.26, 0.9, 0.05),
    MerchantGroup("restaurant", 0.18, 0.8, 0.03),
    MerchantGroup("fashion", 0.12, 1.7, 0.45),
    MerchantGroup("fuel", 0.08, 1.9, 0.0),
    MerchantGroup("transport", 0.10, 0.4, 0.30),
    MerchantGroup("electronics", 0.06, 3.5, 0.55),
    MerchantGroup("entertainment", 0.09, 0.7, 0.60),
    MerchantGroup("household", 0.07, 1.6, 0.35),
    MerchantGroup("travel", 0.04, 5.0, 0.80),
)

CARD_TYPES = ("visa", "mastercard", "amex")
CARD_TYPE_SHARES = (0.52, 0.4, 0.08)
BANKS = ("Alder Bank", "Birch Union", "Cedar Mutual", "Dogwood", "Elm & Sons", "Fir Savings")
GENDERS = ("F", "M", None)
GENDER_SHARES = (0.48, 0.48, 0.04)

FAVOURITES = 6
"""How many terminals a card returns to."""

HABIT = 0.78
"""Share of payments made at one of them: most of where a card pays is known after a week."""

ACTIVITY_SHAPE = 1.6
"""Gamma shape of how often cards pay: the busiest tenth pays about three times as often as the middle."""


class Population:
    """The cards and terminals in use.

    A slot keeps its row number; what fills it may be replaced by :meth:`renew`.
    ``card_number`` and ``terminal_number`` name what fills a slot now: numbers are never used twice.
    """

    def __init__(self, config: WorldConfig, random: np.random.Generator) -> None:
        self._config = config
        self._random = random
        self._shares = np.array([plan.share for plan in config.currencies])
        self._shares /= self._shares.sum()
        cards, terminals = config.cards, config.terminals

        self.terminal_number: Integers = np.arange(terminals, dtype=np.int64)
        # Each currency gets one terminal for certain, so that its cards have somewhere to pay.
        certain = np.arange(len(self._shares))
        drawn = random.choice(len(self._shares), size=terminals - len(certain), p=self._shares)
        self.terminal_currency: Integers = np.concatenate([certain, drawn]).astype(np.int64)
        self.terminal_group: Integers = np.zeros(terminals, dtype=np.int64)
        self.terminal_online: Flags = np.zeros(terminals, dtype=np.bool_)
        self.popularity: Floats = np.zeros(terminals)
        self._fill_terminals(np.arange(terminals))
        self._sort_by_currency()

        self.card_number: Integers = np.arange(cards, dtype=np.int64)
        self.card_currency: Integers = np.zeros(cards, dtype=np.int64)
        self.card_level: Floats = np.ones(cards)
        self.card_activity: Floats = np.ones(cards)
        self.card_shift_seconds: Floats = np.zeros(cards)
        self.card_type: Integers = np.zeros(cards, dtype=np.int64)
        self.card_bank: Integers = np.zeros(cards, dtype=np.int64)
        self.card_gender: Integers = np.zeros(cards, dtype=np.int64)
        self.card_age: Integers = np.zeros(cards, dtype=np.int64)
        self.favourites: Integers = np.zeros((cards, FAVOURITES), dtype=np.int64)
        self._fill_cards(np.arange(cards))
        self._next_card, self._next_terminal = cards, terminals

    def renew(self) -> tuple[Integers, Integers]:
        """Replace a day's share of cards and terminals by new ones; return the slots of both that changed."""
        config, random = self._config, self._random
        cards = np.flatnonzero(random.random(config.cards) < config.card_turnover)
        terminals = np.flatnonzero(random.random(config.terminals) < config.terminal_turnover)
        if len(terminals):
            self.terminal_number[terminals] = np.arange(
                self._next_terminal, self._next_terminal + len(terminals)
            )
            self._next_terminal += len(terminals)
            self._fill_terminals(terminals)
            self._sort_by_currency()
        if len(cards):
            self.card_number[cards] = np.arange(self._next_card, self._next_card + len(cards))
            self._next_card += len(cards)
            self._fill_cards(cards)
        return cards, terminals

    def choose_terminals(self, cards: Integers, random: np.random.Generator) -> Integers:
        """Return where each of these cards pays this time: mostly a favourite, else any of its currency."""
        rank = np.minimum(random.geometric(0.4, len(cards)) - 1, FAVOURITES - 1)
        usual = self.favourites[cards, rank]
        return np.where(
            random.random(len(cards)) < HABIT, usual, self.any_terminals(self.card_currency[cards], random)
        )

    def any_terminals(self, currencies: Integers, random: np.random.Generator) -> Integers:
        """Return a terminal for each currency asked for, popular ones more often."""
        wanted = random.random(len(currencies))
        chosen = np.zeros(len(currencies), dtype=np.int64)
        for currency, (slots, reached) in enumerate(self._by_currency):
            here = np.flatnonzero(currencies == currency)
            place = np.searchsorted(reached, wanted[here], side="right")
            chosen[here] = slots[np.minimum(place, len(slots) - 1)]
        return chosen

    def _fill_terminals(self, slots: Integers) -> None:
        """Draw what the terminals of these slots are like; their country stays."""
        random = self._random
        shares = np.array([group.share for group in GROUPS])
        self.terminal_group[slots] = random.choice(len(GROUPS), size=len(slots), p=shares / shares.sum())
        online = np.array([group.online_share for group in GROUPS])[self.terminal_group[slots]]
        self.terminal_online[slots] = random.random(len(slots)) < online
        self.popularity[slots] = np.exp(random.normal(0.0, 1.0, len(slots)))

    def _sort_by_currency(self) -> None:
        """Prepare :meth:`any_terminals`: for each currency its slots and their cumulated popularity."""
        self._by_currency: list[tuple[Integers, Floats]] = []
        for currency in range(len(self._shares)):
            slots = np.flatnonzero(self.terminal_currency == currency)
            reached = np.cumsum(self.popularity[slots])
            self._by_currency.append((slots, reached / reached[-1]))

    def _fill_cards(self, slots: Integers) -> None:
        """Draw what the cards of these slots are like."""
        random, count = self._random, len(slots)
        self.card_currency[slots] = random.choice(len(self._shares), size=count, p=self._shares)
        self.card_level[slots] = np.exp(random.normal(0.0, self._config.amounts.card_spread, count))
        self.card_activity[slots] = random.gamma(ACTIVITY_SHAPE, 1 / ACTIVITY_SHAPE, count)
        self.card_shift_seconds[slots] = random.normal(
            0.0, 3600 * self._config.rhythm.personal_shift_hours, count
        )
        self.card_type[slots] = random.choice(len(CARD_TYPES), size=count, p=CARD_TYPE_SHARES)
        self.card_bank[slots] = random.integers(len(BANKS), size=count)
        self.card_gender[slots] = random.choice(len(GENDERS), size=count, p=GENDER_SHARES)
        self.card_age[slots] = np.clip(random.normal(44, 15, count), 18, 95).astype(np.int64)
        for column in range(FAVOURITES):
            self.favourites[slots, column] = self.any_terminals(self.card_currency[slots], random)
