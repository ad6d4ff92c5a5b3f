"""The messages on every topic, as frozen values.

Unknown fields are ignored and new fields are optional, so that old and new producers run together. Decoding lives in
``wire_formats`` (transactions, which come in many forms) and ``codec`` (everything this system writes itself).
"""

from datetime import datetime
from enum import StrEnum

import msgspec


class LabelValue(StrEnum):
    """The truth about one transaction."""

    FRAUD = "fraud"
    GENUINE = "genuine"


class LabelSource(StrEnum):
    """Who says so."""

    ANALYST = "analyst"
    CHARGEBACK = "chargeback"
    CUSTOMER = "customer"
    PRESUMED = "presumed"


class Decision(StrEnum):
    """What a score leads to, in rising order of severity."""

    APPROVE = "approve"
    REVIEW = "review"
    DECLINE = "decline"


class Position(msgspec.Struct, frozen=True, order=True):
    """Where a transaction stands in its source log: its identity.

    ``epoch`` names one life of the topic; within one epoch and partition offsets only rise.

    >>> str(Position(1, 0, 42))
    '1-0-42'
    """

    epoch: int
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.partition}-{self.offset}"


class Transaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One payment, as accepted, in canonical form.

    ``amount_minor`` counts the currency's minor unit (pence, cents); ``event_time`` is aware and UTC. ``hour`` is the hour
    of day at the place of use where the producer states it apart from the time (0 to 23). ``label`` is the truth where
    it travels inside the message: never a feature. ``attributes`` are further fields, kept for display, never scored.
    """

    transaction_id: str
    event_time: datetime
    amount_minor: int | None = None
    currency: str | None = None
    card_id: str | None = None
    customer_id: str | None = None
    terminal_id: str | None = None
    merchant_group: str | None = None
    transaction_type: str | None = None
    entry_mode: str | None = None
    card_type: str | None = None
    transaction_country: str | None = None
    shipping_country: str | None = None
    residence_country: str | None = None
    bank: str | None = None
    age: float | None = None
    gender: str | None = None
    hour: int | None = None
    label: LabelValue | None = None
    attributes: dict[str, str] | None = None


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """What a label needs later of the moment of scoring, and cannot recompute.

    ``ratio``: amount over the card's mean; ``relative_amount``: amount over the running mean of its currency; ``spike``:
    weight this transaction added to the card's recent spikes (``model.md`` calls them r, a and w).
    """

    ratio: float
    relative_amount: float
    spike: float


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One additive contribution to a score.

    ``contribution`` is in logits, relative to a typical transaction: positive speaks for fraud.
    """

    name: str
    text: str
    contribution: float


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """The immutable result of scoring one transaction.

    ``keys`` are the sparse features as scored, one integer a term, each worth 1. ``flags`` may hold ``degraded``: scored
    by the prior because the worker had no model yet.
    """

    source: Position
    transaction: Transaction
    event_time: datetime
    keys: tuple[int, ...]
    features: Features | None
    score: float
    decision: Decision
    reasons: tuple[Reason, ...]
    rules: tuple[str, ...] = ()
    model_version: int
    scored_at: datetime
    flags: tuple[str, ...] = ()


class LabelPosition(msgspec.Struct, frozen=True, order=True):
    """Where a label stands in the labels log; partition -1 and below are labels this system derived itself."""

    partition: int
    offset: int


class Label(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The truth about one transaction, as somebody reported it.

    Names its transaction by ``position`` (exact) or ``transaction_id``; ``card_id`` and ``event_time`` tell apart
    transactions that share an id. ``source`` is who says so in kind, ``labelled_by`` by name.
    """

    label: LabelValue
    source: LabelSource
    labelled_at: datetime
    transaction_id: str | None = None
    position: Position | None = None
    card_id: str | None = None
    event_time: datetime | None = None
    labelled_by: str | None = None


class TrainingExample(msgspec.Struct, frozen=True, kw_only=True):
    """Features as scored, with the label that came for them.

    ``replaces`` is the label learned before for the same transaction, when this one corrects it.
    """

    source: Position
    label_position: LabelPosition
    label: LabelValue
    label_source: LabelSource
    labelled_at: datetime
    event_time: datetime
    terminal_id: str | None
    keys: tuple[int, ...]
    features: Features | None
    score: float
    model_version: int
    labelled_by: str | None = None
    replaces: LabelValue | None = None
