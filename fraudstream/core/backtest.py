"""History through the stream's own code: what is noted of each transaction, column by column."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Final

from fraudstream.core.backtest_entries import Entry, Mistake, Rival
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.messages import Decision, Reason, Transaction
from fraudstream.core.policy import Policy
from fraudstream.core.prequential import OfflinePass
from fraudstream.core.segments import Segment, hour_of

DECISIONS = (Decision.APPROVE, Decision.REVIEW, Decision.DECLINE)

_APPROVE: Final = Decision.APPROVE
_REVIEW: Final = Decision.REVIEW


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
        self._decision = Decision.APPROVE
        self._score = 0.0
        self.run = OfflinePass(delay, partitions, self)

    def score(self, entries: Sequence[Entry]) -> None:
        """Score the next transactions, each after learning every label due before it."""
        for transaction, partition, fraud, known in entries:
            self._fraud = fraud
            self._partition = partition
            self.scores.append(self.run.score(transaction, partition, known))

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
            self.times.append(one.event_time.timestamp())
            self.amounts.append(-1 if one.amount_minor is None else min(one.amount_minor, 10**15))
            self.hours.append(hour_of(one))
            self.cards.append(-1 if one.card_id is None else cards.setdefault(one.card_id, len(cards)))
            self.currencies.append(currencies.setdefault(one.currency or "", len(currencies)))
        for column in self.segments.values():
            column.extend(entries)

    def scored(self, transaction: Transaction, at: float, keys: tuple[int, ...], score: float) -> bool:
        """Decide on a transaction and let rivals score it; ask for reasons where the decision is wrong."""
        # By thresholds alone, note() decides all at once.
        acted = (
            score >= self._policy.review_at if self._by_thresholds else self._judge(transaction, at, score)
        )
        if self.rivals:
            for rival, scores in zip(self.rivals, self.rival_scores, strict=True):
                scores.append(rival.score(keys))
        fraud = self._fraud
        if fraud is None or fraud is acted:
            return False
        self._score = score
        return True

    def _judge(self, transaction: Transaction, at: float, score: float) -> bool:
        """Decide as the partition's worker would, its review budget following; return whether it acts."""
        state = self.run.states[self._partition]
        decision, _, alert = state.judge(self._policy, transaction, len(self.decisions), at, score)
        self._decision = decision
        self.decisions.append(0 if decision is _APPROVE else 1 if decision is _REVIEW else 2)
        self.alerts.append(alert)
        return decision is not _APPROVE

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
