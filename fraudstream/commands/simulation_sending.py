"""Sends a simulated world to the topics, at the pace of its clock."""

import asyncio
import time
from collections.abc import Callable

import numpy as np

from fraudstream.commands.replay_rows import Row
from fraudstream.commands.replay_sending import Sender
from fraudstream.simulation.events import SimulatedLabel, SimulatedTransaction
from fraudstream.simulation.messages import Spoiler, label_message, transaction_message
from fraudstream.simulation.pace import Pace
from fraudstream.topics import Topics

TICK_SECONDS = 0.25
"""How often what is due is sent: a person hardly sees it, and records travel together.

The embedded cluster hands out one batch of a partition at a time: single records would lag behind the world.
"""


class WorldSender:
    """Sends what is due, and some broken messages among it. Counts what it hands to the brokers.

    Parameters
    ----------
    broken_share
        Broken messages for each sound transaction, 0 to 1; they come in addition.
    seed
        Of the broken messages: which transactions they follow, and what is wrong with them.
    """

    def __init__(
        self, sender: Sender, topics: Topics, pace: Pace, broken_share: float = 0.0, seed: int = 1
    ) -> None:
        self._sender = sender
        self._transactions, self._labels = topics.transactions.name, topics.labels.name
        self.pace = pace
        self._broken_share = broken_share
        self._random = np.random.default_rng([seed, 5])
        self._spoiler = Spoiler(self._random)
        self.transactions = self.broken = self.labels = 0

    @property
    def sent(self) -> int:
        """How many messages went to the transactions topic, broken ones included."""
        return self.transactions + self.broken

    async def run(
        self,
        stop: asyncio.Event,
        seconds: float | None = None,
        may_send: Callable[[], bool] = lambda: True,
        about_to_send: Callable[[SimulatedTransaction], None] = lambda event: None,
        counted: Callable[[], None] = lambda: None,
    ) -> None:
        """Send until told to stop, the events end, or the seconds are over; then wait for the brokers.

        While ``may_send`` says no, the world's clock stands still. ``about_to_send`` is called with each
        sound transaction before it leaves, ``counted`` when the counts have changed, before what they count
        leaves.

        Raises
        ------
        StoreUnavailable
            A message could not be delivered; which ones were is then unknown.
        """
        began = last = time.monotonic()
        while not (stop.is_set() or self.pace.ended):
            now = time.monotonic()
            if seconds is not None and now - began >= seconds:
                break
            if may_send():
                await self._send_due(now - last, about_to_send, counted)
            last = now
            await asyncio.sleep(TICK_SECONDS)
        await self._sender.flush()

    async def _send_due(
        self,
        passed: float,
        about_to_send: Callable[[SimulatedTransaction], None],
        counted: Callable[[], None],
    ) -> None:
        transactions, labels, broken = [], [], 0
        for event in self.pace.advance(passed):
            if isinstance(event, SimulatedLabel):
                key, value = label_message(event)
                labels.append(Row(value, key))
                continue
            about_to_send(event)
            key, value = transaction_message(event)
            transactions.append(Row(value, key))
            if self._broken_share and self._random.random() < self._broken_share:
                key, value = self._spoiler.spoil(event)
                transactions.append(Row(value, key))
                broken += 1
        self.transactions += len(transactions) - broken
        self.broken += broken
        self.labels += len(labels)
        counted()
        if transactions:
            await self._sender.send(self._transactions, transactions)
        if labels:
            await self._sender.send(self._labels, labels)
