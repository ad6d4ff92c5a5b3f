"""From columns to what a world yields: transactions and labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np

from fraudstream.core.messages import Label, LabelValue, Transaction
from fraudstream.simulation.config import FraudKind, WorldConfig
from fraudstream.simulation.labels import NEVER, SOURCES, Labels
from fraudstream.simulation.payments import COUNTRIES, HOME, Payments
from fraudstream.simulation.population import BANKS, CARD_TYPES, GENDERS, GROUPS, Integers, Population

TAP_LIMIT_STEPS = 10
"""Up to how many of the currency's steps people tap rather than insert their card."""

ENTRY_MODES = ("chip", "tap", "online")


class SimulatedTransaction(msgspec.Struct, frozen=True, gc=False):
    """One transaction and the truth about it, which no message carries.

    ``labelled_at`` is when its label comes, None when it never does; ``kind`` is the story of the fraud, None
    when genuine.
    """

    transaction: Transaction
    truth: LabelValue
    kind: FraudKind | None
    labelled_at: datetime | None


class SimulatedLabel(msgspec.Struct, frozen=True, gc=False):
    """One label, at the time it becomes known; it may be wrong."""

    label: Label


Event = SimulatedTransaction | SimulatedLabel
"""What a world yields."""


@dataclass(frozen=True)
class Day:
    """What happens in 24 hours: payments by time, the label of each, and the labels that become known.

    ``first`` is the running number of its first payment, ``terminal_number`` names the terminal of each.
    ``labels`` has a row for each payment, ``known`` one for each label due on this day, of this day's
    payments or earlier ones, by time.
    """

    first: int
    payments: Payments
    terminal_number: Integers
    labels: Labels
    known: Labels


def moment(event: Event) -> datetime:
    """Return when an event happens: the event time of a transaction, the time a label becomes known."""
    return event.label.labelled_at if isinstance(event, SimulatedLabel) else event.transaction.event_time


def instant(time_ms: int) -> datetime:
    """Return the instant so many milliseconds after 1970, aware and UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def transaction_name(number: int) -> str:
    """Return the ``transaction_id`` of a running number."""
    return f"t{number:09d}"


def card_name(number: int) -> str:
    """Return the ``card_id`` of a card number of the simulation: a token, unlike any real number."""
    return f"card-{number:06d}"


def transactions_of(day: Day, people: Population, config: WorldConfig) -> Iterator[SimulatedTransaction]:
    """Yield the day's payments as messages, by time. Must be used up before the population is renewed."""
    payments = day.payments
    codes = [plan.code for plan in config.currencies]
    homes = [plan.country for plan in config.currencies]
    kinds: list[FraudKind | None] = [pattern.kind for pattern in config.frauds]
    kinds.append(None)  # the last place is what GENUINE, -1, picks
    steps = np.array([plan.step_minor for plan in config.currencies])[people.card_currency[payments.card]]
    entry = np.where(payments.remote, 2, payments.amount_minor <= TAP_LIMIT_STEPS * steps)
    # Lists, because picking from an array costs ten times as much for each of a dozen fields.
    currency, bank, card_type = (
        people.card_currency.tolist(),
        people.card_bank.tolist(),
        people.card_type.tolist(),
    )
    gender, age = people.card_gender.tolist(), people.card_age.tolist()
    place, group = people.terminal_currency.tolist(), people.terminal_group.tolist()
    for (
        number,
        time_ms,
        card,
        card_number,
        shop,
        shop_number,
        amount,
        abroad,
        shipped,
        mode,
        pattern,
        due_ms,
    ) in zip(
        range(day.first, day.first + len(payments)),
        payments.time_ms.tolist(),
        payments.card.tolist(),
        payments.card_number.tolist(),
        payments.terminal.tolist(),
        day.terminal_number.tolist(),
        payments.amount_minor.tolist(),
        payments.country.tolist(),
        payments.shipping.tolist(),
        entry.tolist(),
        payments.pattern.tolist(),
        day.labels.due_ms.tolist(),
        strict=True,
    ):
        home = homes[currency[card]]
        online = ENTRY_MODES[mode] == "online"
        shipping = (home if shipped == HOME else COUNTRIES[shipped]) if online else None
        kind = kinds[pattern]
        yield SimulatedTransaction(
            transaction=Transaction(
                transaction_id=transaction_name(number),
                event_time=instant(time_ms),
                amount_minor=amount,
                currency=codes[currency[card]],
                card_id=card_name(card_number),
                terminal_id=f"terminal-{shop_number:05d}",
                merchant_group=GROUPS[group[shop]].name,
                transaction_type="online" if online else "pos",
                entry_mode=ENTRY_MODES[mode],
                card_type=CARD_TYPES[card_type[card]],
                transaction_country=homes[place[shop]] if abroad == HOME else COUNTRIES[abroad],
                shipping_country=shipping,
                residence_country=home,
                bank=BANKS[bank[card]],
                age=float(age[card]),
                gender=GENDERS[gender[card]],
            ),
            truth=LabelValue.FRAUD if kind else LabelValue.GENUINE,
            kind=kind,
            labelled_at=None if due_ms == NEVER else instant(due_ms),
        )


def labels_of(known: Labels) -> Iterator[SimulatedLabel]:
    """Yield labels as messages, in their order."""
    for due_ms, number, card_number, fraud, source in zip(
        known.due_ms.tolist(),
        known.transaction.tolist(),
        known.card_number.tolist(),
        known.fraud.tolist(),
        known.source.tolist(),
        strict=True,
    ):
        yield SimulatedLabel(
            Label(
                label=LabelValue.FRAUD if fraud else LabelValue.GENUINE,
                source=SOURCES[source],
                labelled_at=instant(due_ms),
                transaction_id=transaction_name(number),
                card_id=card_name(card_number),
            )
        )
