"""History through the stream's own code: what is noted of each transaction, column by column."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import msgspec

from fraudstream.core.crosses import PRICES, price_class
from fraudstream.core.label_delay import KnownLabel, LabelDelay
from fraudstream.core.messages import Decision, Reason, Transaction
from fraudstream.core.policy import Policy
from fraudstream.core.prequential import OfflinePass
from fraudstream.errors import InvalidInput

MOST_VALUES = 1000
"""Values of one segment told apart; further ones count as :data:`OTHER`."""

OTHER = "other"
NO_VALUE = ""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DECISIONS = (Decision.APPROVE, Decision.REVIEW, Decision.DECLINE)
_RANKS = {decision: rank for rank, decision in enumerate(DECISIONS)}

_FIELDS = frozenset(
    {
        *(
            "currency",
            "merchant_group",
            "transaction_type",
            "entry_mode",
            "card_type",
            "bank",
            "gender",
            "age",
        ),
        *(
            "transaction_country",
            "shipping_country",
            "residence_country",
            "card_id",
            "customer_id",
            "terminal_id",
        ),
    }
)


class Entry(NamedTuple):
    """One row: the transaction with the label that will come, if any, its partition, the truth if known.

    ``known``: labels with times of their own, in place of the transaction's; ``None`` without such.
    """

    transaction: Transaction
    partition: int
    fraud: bool | None
    known: tuple[KnownLabel, ...] | None = None


class Rival(Protocol):
    """Another estimator, tried on the same keys and the same labels at the same times."""

    @property
    def name(self) -> str:
        """What its table is headed."""
        ...

    def score(self, keys: Sequence[int]) -> float:
        """Return its estimate that a transaction with these keys is fraud."""
        ...

    def learn(self, keys: Sequence[int], fraud: bool) -> None:
        """Learn one label."""
        ...


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """A fraud that was approved, or a genuine transaction that was not."""

    row: int
    transaction_id: str
    event_time: datetime
    card_id: str | None
    terminal_id: str | None
    amount_minor: int | None
    currency: str | None
    fraud: bool
    decision: Decision
    score: float
    reasons: tuple[Reason, ...]


class Segment:
    """A column of small numbers that stand for the values of one segment."""

    def __init__(self, value_of: Callable[[Transaction], object]) -> None:
        self._value_of = value_of
        self._codes: dict[object, int] = {}
        self.codes = array("h")

    def extend(self, entries: Sequence[Entry]) -> None:
        """Take the next transactions."""
        value_of, codes = self._value_of, self._codes
        for entry in entries:
            value = value_of(entry[0])
            code = codes.get(value)
            if code is None:
                code = len(codes)
                if code >= MOST_VALUES:
                    value = OTHER
                    code = codes.get(value, code)
                codes[value] = code
            self.codes.append(code)

    @property
    def values(self) -> tuple[str, ...]:
        """The value each number stands for; :data:`NO_VALUE` where the field was missing."""
        return tuple(NO_VALUE if value is None else str(value) for value in self._codes)


def amount_class(transaction: Transaction) -> str | None:
    """Return the amount's class in words, by the edges that the model's crosses use.

    >>> amount_class(Transaction(transaction_id="1", event_time=_EPOCH, amount_minor=1_250))
    '10 to 20'
    """
    at = price_class(transaction.amount_minor, transaction.currency)
    if at is None:
        return None
    if at == 0:
        return f"under {PRICES[0]}"
    return f"{PRICES[at - 1]} to {PRICES[at]}" if at < len(PRICES) else f"from {PRICES[-1]}"


def hour_of(transaction: Transaction) -> int:
    """Return the hour of day: as the producer states it, else that of the event time in UTC."""
    return transaction.event_time.hour if transaction.hour is None else transaction.hour


def _part_of_day(transaction: Transaction) -> str:
    return ("0 to 7 h", "7 to 12 h", "12 to 18 h", "18 to 24 h")[
        sum(hour_of(transaction) >= h for h in (7, 12, 18))
    ]


_DERIVED: dict[str, Callable[[Transaction], object]] = {
    "amount": amount_class,
    "part_of_day": _part_of_day,
    "hour": hour_of,
    "weekday": lambda transaction: transaction.event_time.strftime("%A"),
}

SEGMENTS = tuple(sorted(_FIELDS | _DERIVED.keys()))
"""What transactions can be told apart by."""


def segment(name: str) -> Segment:
    """Return an empty column for a segment of :data:`SEGMENTS`.

    Raises
    ------
    InvalidInput
        There is no such segment.
    """
    if name in _DERIVED:
        return Segment(_DERIVED[name])
    if name in _FIELDS:
        return Segment(lambda transaction: getattr(transaction, name))
    fault = f"there is no segment {name!r}: expected one of {', '.join(SEGMENTS)}"
    raise InvalidInput(fault)


class Backtest:
    """One pass over history, with everything noted that measures need.

    Attributes
    ----------
    scores, decisions, alerts, frauds, times, amounts, hours
        One entry a transaction: score; rank of the decision; 1 where a person must see it; 1 fraud, 0
        genuine, -1 unknown; event time in seconds since 1970; minor units, -1 where unknown; hour of day.
    cards, currencies
        Numbers that stand for a card (-1 without) and for a currency of ``currency_names``.
    rival_scores
        Scores of each rival.
    mistakes
        Every one, in order.
    """

    def __init__(
        self,
        policy: Policy,
        delay: LabelDelay,
        partitions: int = 1,
        rivals: Sequence[Rival] = (),
        segments: Mapping[str, Segment] | None = None,
    ) -> None:
        self.scores = array("d")
        self.decisions = array("b")
        self.alerts = array("b")
        self.frauds = array("b")
        self.times = array("d")
        self.amounts = array("q")
        self.hours = array("b")
        self.cards = array("l")
        self.currencies = array("h")
        self.currency_names: dict[str, int] = {}
        self.rivals = tuple(rivals)
        self.rival_scores = [array("d") for _ in self.rivals]
        self.segments = dict(segments or {})
        self.mistakes: list[Mistake] = []
        self._card_numbers: dict[str, int] = {}
        self._policy = policy
        self._by_thresholds = not (policy.rules or policy.lists or policy.budget or policy.costs)
        self._partition = 0
        self._fraud: bool | None = None
        self._decision, self._score = Decision.APPROVE, 0.0
        self.run = OfflinePass(delay, partitions, self)

    def score(self, entries: Sequence[Entry]) -> None:
        """Score the next transactions, each after learning every label due before it."""
        score = self.run.score
        keep = self.scores.append
        for transaction, partition, fraud, known in entries:
            self._fraud = fraud
            self._partition = partition
            keep(score(transaction, partition, known))

    def note(self, entries: Sequence[Entry]) -> None:
        """Note what else measures need of the transactions given to :meth:`score` last."""
        cards, currencies = self._card_numbers, self.currency_names
        if self._by_thresholds:
            review_at, decline_at = self._policy.review_at, self._policy.decline_at
            recent = self.scores[len(self.decisions) :]
            self.decisions.extend([(score >= review_at) + (score >= decline_at) for score in recent])
            self.alerts.extend([score >= review_at for score in recent])
        self.frauds.extend([-1 if fraud is None else int(fraud) for _, _, fraud, _ in entries])
        for one, _, _, _ in entries:
            self.times.append((one.event_time - _EPOCH).total_seconds())
            self.amounts.append(-1 if one.amount_minor is None else min(one.amount_minor, 10**15))
            self.hours.append(hour_of(one))
            self.cards.append(-1 if one.card_id is None else cards.setdefault(one.card_id, len(cards)))
            self.currencies.append(currencies.setdefault(one.currency or "", len(currencies)))
        for column in self.segments.values():
            column.extend(entries)

    def scored(self, transaction: Transaction, keys: tuple[int, ...], score: float) -> bool:
        """Decide on a transaction and let rivals score it; ask for reasons where the decision is wrong."""
        # By thresholds alone, note() decides all at once.
        acted = score >= self._policy.review_at if self._by_thresholds else self._judge(transaction, score)
        if self.rivals:
            for rival, scores in zip(self.rivals, self.rival_scores, strict=True):
                scores.append(rival.score(keys))
        fraud = self._fraud
        if fraud is None or fraud is acted:
            return False
        self._score = score
        return True

    def _judge(self, transaction: Transaction, score: float) -> bool:
        """Decide as the partition's worker would, its review budget following; return whether it acts."""
        at = (transaction.event_time - _EPOCH).total_seconds()
        state = self.run.states[self._partition]
        decision, _, alert = state.judge(self._policy, transaction, len(self.decisions), at, score)
        self._decision = decision
        self.decisions.append(_RANKS[decision])
        self.alerts.append(alert)
        return decision is not Decision.APPROVE

    def explained(self, transaction: Transaction, told: tuple[Reason, ...]) -> None:
        """Keep a mistake with its reasons."""
        self.mistakes.append(
            Mistake(
                row=len(self.scores),
                transaction_id=transaction.transaction_id,
                event_time=transaction.event_time,
                card_id=transaction.card_id,
                terminal_id=transaction.terminal_id,
                amount_minor=transaction.amount_minor,
                currency=transaction.currency,
                fraud=bool(self._fraud),
                decision=self._policy.of_score(self._score) if self._by_thresholds else self._decision,
                score=self._score,
                reasons=told,
            )
        )

    def learned(self, keys: tuple[int, ...], fraud: bool) -> None:
        """Let every rival learn a label that was just learned."""
        for rival in self.rivals:
            rival.learn(keys, fraud)
