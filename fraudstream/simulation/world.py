"""A seeded world that yields transactions and their late labels in the order of event time."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from fraudstream.simulation.amounts import growth, scatter, to_minor
from fraudstream.simulation.config import WorldConfig
from fraudstream.simulation.events import Day, Event, labels_of, transactions_of
from fraudstream.simulation.frauds import DAY_MS, Frauds
from fraudstream.simulation.labels import NEVER, Labels, draw_labels
from fraudstream.simulation.payments import GENUINE, HOME, Payments
from fraudstream.simulation.population import GROUPS, Population


class World:
    """Everything that happens, from the start and for ever.

    Each call of :meth:`days` or :meth:`events` begins anew with the same generators: equal configurations
    yield equal events, byte for byte on one platform and version of NumPy.

    Examples
    --------
    >>> world = World(WorldConfig(cards=50, terminals=10))
    >>> first = next(world.events())
    >>> first.transaction.transaction_id, first.truth
    ('t000000000', <LabelValue.GENUINE: 'genuine'>)
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self._start_ms = round(config.start.timestamp() * 1000)
        self._hours = np.cumsum(config.rhythm.hours) / sum(config.rhythm.hours)
        self._steps = np.array([plan.step_minor for plan in config.currencies], dtype=np.int64)
        self._medians = np.array([plan.median_minor for plan in config.currencies], dtype=np.float64)
        self._group_factors = np.array([group.amount_factor for group in GROUPS])

    def days(self) -> Iterator[Day]:
        """Yield one day after another as columns, without end."""
        for day, _ in self._days():
            yield day

    def events(self) -> Iterator[Event]:
        """Yield transactions and labels by event time, without end; at one instant transactions first."""
        for day, people in self._days():
            transactions = transactions_of(day, people, self.config)
            labels = labels_of(day.known)
            times = np.concatenate([day.payments.time_ms, day.known.due_ms])
            is_label = np.repeat([False, True], [len(day.payments), len(day.known)])
            for label_next in is_label[np.argsort(times, kind="stable")].tolist():
                yield next(labels) if label_next else next(transactions)

    def _days(self) -> Iterator[tuple[Day, Population]]:
        config = self.config
        streams = (np.random.default_rng([config.seed, stream]) for stream in range(4))
        births, habits, crimes, reports = streams
        people = Population(config, births)
        frauds = Frauds(config, people, crimes)
        waiting = Labels.none()
        first = 0
        for number in itertools.count():
            if number:
                frauds.forget(*people.renew())
            ends_ms = self._start_ms + (number + 1) * DAY_MS
            frauds.begin(number)
            genuine = frauds.corrupt(self._genuine(number, people, habits))
            payments = Payments.join([genuine, frauds.due(ends_ms)])
            payments = payments.take(np.argsort(payments.time_ms, kind="stable"))
            labels = draw_labels(config.labels, payments, first, reports)
            waiting = Labels.join([waiting, labels.take(labels.due_ms != NEVER)])
            due = waiting.due_ms < ends_ms
            known, waiting = waiting.take(due), waiting.take(~due)
            known = known.take(np.argsort(known.due_ms, kind="stable"))
            shops = people.terminal_number[payments.terminal]
            yield Day(first, payments, shops, labels, known), people
            first += len(payments)

    def _genuine(self, number: int, people: Population, random: np.random.Generator) -> Payments:
        """Return the payments honest people make on a day, in no order."""
        config = self.config
        begins_ms = self._start_ms + number * DAY_MS
        weekdays = config.rhythm.weekdays
        weekday = datetime.fromtimestamp(begins_ms / 1000, UTC).weekday()
        busy = config.payments_per_card_day * weekdays[weekday] * len(weekdays) / sum(weekdays)
        card = np.repeat(np.arange(config.cards), random.poisson(people.card_activity * busy))
        count = len(card)
        hour = np.searchsorted(self._hours, random.random(count), side="right")
        second = (hour + random.random(count)) * 3600 + people.card_shift_seconds[card]
        since_ms = ((second * 1000).astype(np.int64) - begins_ms) % DAY_MS
        terminal = people.choose_terminals(card, random)
        currency = people.card_currency[card]
        level = self._medians[currency] * people.card_level[card]
        level = level * self._group_factors[people.terminal_group[terminal]]
        level = level * growth(config.amounts, number + since_ms / DAY_MS)
        amounts = level * scatter(config.amounts, count, random)
        return Payments(
            time_ms=begins_ms + since_ms,
            card=card,
            card_number=people.card_number[card],
            terminal=terminal,
            amount_minor=to_minor(config.amounts, amounts, self._steps[currency], random),
            country=np.full(count, HOME),
            shipping=np.full(count, HOME),
            remote=people.terminal_online[terminal],
            pattern=np.full(count, GENUINE),
        )
