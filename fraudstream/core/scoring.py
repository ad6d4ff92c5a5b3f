"""From an accepted transaction to its classification: see, score, explain, decide, remember.

One worker owns a source partition and with it a :class:`PartitionState`; the serving model is read, never
written.
"""

from datetime import datetime
from typing import Final

from mypy_extensions import mypyc_attr

from fraudstream.core.crosses import cross_keys
from fraudstream.core.features import observe
from fraudstream.core.ftrl import probability
from fraudstream.core.history import MEAN_WINDOW, CardHistory, CurrencyMeans, place_of
from fraudstream.core.messages import Classification, Decision, Features, Position, Transaction
from fraudstream.core.observation import Observation
from fraudstream.core.policy import BEYOND_BUDGET, Judgement, Policy
from fraudstream.core.reasons import reasons
from fraudstream.core.review_budget import ReviewBudget
from fraudstream.core.risk import UNKNOWN, EntityRisk
from fraudstream.core.serving import ServingModel

DEGRADED = "degraded"

LARGEST_AMOUNT_MINOR: Final = 10**15
"""Amounts above count as this one: far beyond the last bin of every grid, and safe to compute with."""


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class PartitionState:
    """What one source partition remembers: cards' histories, currencies' running means, the review budget.

    Parameters
    ----------
    partition_count
        Of the source topic: its partitions share the window of the running means and the review budget.
    cards, means
        What a changelog held of this partition; both are kept and changed in place. A transaction without a
        currency belongs to the currency ``""``.
    review
        The threshold of the review budget, as a changelog held it.
    """

    __slots__ = (
        "_touched_cards",
        "_touched_means",
        "_touched_review",
        "cards",
        "means",
        "partition_count",
        "review",
        "window",
    )

    def __init__(
        self,
        partition_count: int = 1,
        cards: dict[str, CardHistory] | None = None,
        means: dict[str, CurrencyMeans] | None = None,
        review: ReviewBudget | None = None,
    ) -> None:
        self.partition_count = partition_count
        self.window = MEAN_WINDOW / partition_count
        self.cards: dict[str, CardHistory] = {} if cards is None else cards
        self.means: dict[str, CurrencyMeans] = {} if means is None else means
        self.review = review
        self._touched_cards: list[str] = []
        self._touched_means: set[str] = set()
        self._touched_review = False

    def see(
        self, transaction: Transaction, at: float, serving: ServingModel
    ) -> tuple[Observation, CardHistory | None, EntityRisk | None]:
        """Return the transaction as seen, with history and risk of the card and terminal it names.

        ``at``: its event time in seconds since 1970. Changes nothing but this: a card or currency never seen
        is given its empty history.
        """
        minor = transaction.amount_minor
        card_id = transaction.card_id
        terminal_id = transaction.terminal_id
        history = risk = means = amount = place = None
        if card_id is not None:
            history = self.cards.get(card_id)
            if history is None:
                history = self.cards[card_id] = CardHistory()
        if terminal_id is not None:
            risk = serving.risk.get(terminal_id, UNKNOWN)
            if history is not None:
                place = place_of(terminal_id)
        if minor is not None and (history is not None or risk is not None):
            amount = (
                (minor if minor < LARGEST_AMOUNT_MINOR else LARGEST_AMOUNT_MINOR) / 100 if minor > 0 else 0.0
            )
            means = self.means.get(transaction.currency or "")
            if means is None:
                means = self.means[transaction.currency or ""] = CurrencyMeans.starting_with(amount)
        return observe(at, amount, means, history, risk, serving.tables, place), history, risk

    def fold(
        self, transaction: Transaction, offset: int, observation: Observation, history: CardHistory | None
    ) -> None:
        """Let the transaction enter its card's history and its currency's means, each only once."""
        if history is not None and offset > history.applied:
            observation.fold_into(history, offset)
            if not history.touched:
                history.touched = True
                self._touched_cards.append(transaction.card_id or "")
        if observation.amount is not None:
            currency = transaction.currency or ""
            means = self.means[currency]
            if offset > means.applied:
                means.fold(
                    offset, observation.at, observation.amount, observation.deviation_squared, self.window
                )
                self._touched_means.add(currency)

    def judge(
        self, policy: Policy, transaction: Transaction, offset: int, at: float, score: float
    ) -> Judgement:
        """Decide on a score by a policy, and let its review budget take note, each transaction only once.

        Every partition spends an equal share of the budget.
        """
        if policy.budget is None:
            return policy.judge(score, transaction)
        review = self.review
        if review is None:
            review = self.review = ReviewBudget.starting_at(policy.review_at)
        judged = policy.judge(score, transaction, review.is_exceeded_by(score))
        if offset > review.applied:
            review.fold(offset, at, judged.alert, score, policy.budget / self.partition_count)
            self._touched_review = True
        return judged

    def take_review(self) -> ReviewBudget | None:
        """Return the review budget if it moved since the last call: a checkpoint must keep it."""
        moved, self._touched_review = self._touched_review, False
        return self.review if moved else None

    def take_touched(self) -> tuple[dict[str, CardHistory], dict[str, CurrencyMeans]]:
        """Return histories and means changed since the last call: what a checkpoint must keep."""
        cards = {card_id: self.cards[card_id] for card_id in self._touched_cards}
        for history in cards.values():
            history.touched = False
        means = {currency: self.means[currency] for currency in self._touched_means}
        self._touched_cards = []
        self._touched_means = set()
        return cards, means


def keys_of(transaction: Transaction, observation: Observation) -> tuple[int, ...]:
    """Return all keys a transaction is scored by, rising: those of its state and those of its crosses."""
    keys = observation.keys
    if (
        transaction.entry_mode is None
        and transaction.hour is None
        and transaction.transaction_country is None
        and transaction.residence_country is None
    ):
        # No cross can have all its fields: the common case of a card stream, told in a tenth of the time.
        return keys
    crosses = cross_keys(transaction)
    if not crosses:
        return keys
    keys += crosses
    # Terms appended to the table stand behind the crosses.
    return keys if len(keys) == len(crosses) or observation.keys[-1] < crosses[0] else tuple(sorted(keys))


def classify(  # noqa: PLR0913, PLR0917
    transaction: Transaction,
    position: Position,
    scored_at: datetime,
    state: PartitionState,
    serving: ServingModel,
    policy: Policy,
) -> Classification:
    """Score one transaction, decide on it, and let it enter the state of its partition.

    Exact under replay: a history or mean whose applied offset is at or above ``position.offset`` stays as
    it is. Such a transaction is then seen by newer state than at first; its first classification is the one
    that counts, and the caller publishes no other.

    Parameters
    ----------
    transaction
        As accepted. Missing fields drop the terms that need them.
    position
        Where it stands in its source log; offsets of one state must come in rising order, replays aside.
    scored_at
        Now, aware and UTC.
    state
        Of the transaction's partition; changed.
    serving
        The model to score with; not changed.
    policy
        What the score leads to.
    """
    observation, history, risk = state.see(transaction, transaction.event_time.timestamp(), serving)
    keys = keys_of(transaction, observation)
    logit, parts = serving.explainer.weigh(keys)
    score = probability(logit + serving.intercept)
    told = reasons(parts, transaction, observation, history, risk)
    state.fold(transaction, position.offset, observation, history)
    decision, rules, alert = state.judge(policy, transaction, position.offset, observation.at, score)
    flags: tuple[str, ...] = () if serving.version else (DEGRADED,)
    if decision is Decision.DECLINE and not alert:
        flags = (*flags, BEYOND_BUDGET)
    return Classification(
        source=position,
        transaction=transaction,
        event_time=transaction.event_time,
        keys=keys,
        features=None
        if observation.amount is None
        else Features(
            ratio=observation.ratio, relative_amount=observation.relative_amount, spike=observation.spike
        ),
        score=score,
        decision=decision,
        reasons=told,
        rules=rules,
        model_version=serving.version,
        scored_at=scored_at,
        flags=flags,
    )
