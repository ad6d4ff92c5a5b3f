"""What a score leads to: a review budget, thresholds or costs, and above them named lists and rules."""

from collections.abc import Collection
from typing import NamedTuple

import msgspec

from fraudstream.core.cost import ANY, Costs
from fraudstream.core.lists import NamedList
from fraudstream.core.messages import Decision, Transaction
from fraudstream.errors import InvalidInput

REVIEW_AT = 0.1
"""On the Fraud Detection Handbook's stream (9,600 transactions a day, 87 of them fraud): 83 alerts a day,
of which 81 % are fraud, 80 % of all there is. 0.05 gives 97 alerts for one more fraud, 0.3 gives 71 for two
fewer."""

DECLINE_AT = 0.9
"""On that stream 996 of 1,000 transactions declined are fraud."""

_SEVERITY = {decision: rank for rank, decision in enumerate(Decision)}
_LISTS_BY = (Decision.DECLINE, Decision.APPROVE, Decision.REVIEW)
"""Precedence among lists: who blocks is right before who trusts."""


BEYOND_BUDGET = "beyond_budget"
"""Flag of a transaction declined for its score, of which no person is told: the day's budget of alerts goes
to higher ones."""


def is_alert(decision: Decision, flags: Collection[str]) -> bool:
    """Whether a classification is one that a person must see."""
    return decision is not Decision.APPROVE and BEYOND_BUDGET not in flags


class AmountRule(msgspec.Struct, frozen=True, kw_only=True):
    """Raise the decision of every transaction of at least such an amount, whatever its score.

    ``currency`` ``None`` means amounts without a currency. A rule never lowers a decision.
    """

    name: str
    decision: Decision
    amount_minor: int
    currency: str | None

    def fires(self, transaction: Transaction) -> bool:
        """Whether the rule speaks about this transaction."""
        amount = transaction.amount_minor
        return amount is not None and amount >= self.amount_minor and transaction.currency == self.currency


class Judgement(NamedTuple):
    """What a policy makes of one transaction.

    ``rules``: names of the lists and rules that fired, in order of precedence. ``alert``: whether a person
    must see it.
    """

    decision: Decision
    rules: tuple[str, ...]
    alert: bool


_APPROVED = Judgement(Decision.APPROVE, (), alert=False)
_REVIEWED = Judgement(Decision.REVIEW, (), alert=True)
_DECLINED = Judgement(Decision.DECLINE, (), alert=True)
_DECLINED_UNSEEN = Judgement(Decision.DECLINE, (), alert=False)
_BY_DECISION = {one.decision: one for one in (_APPROVED, _REVIEWED, _DECLINED)}


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What turns a score into a decision.

    The score leads to a decision in one of three ways:

    * ``budget``, alerts a day: what exceeds the threshold of a
      :class:`~fraudstream.core.review_budget.ReviewBudget` is reviewed. From ``decline_at`` on a transaction
      is declined in any case, and is an alert if it exceeds that threshold too.
    * ``costs`` by currency, and under ``default`` those of every other: the decision whose expected cost is
      lowest, the milder of equals. A transaction without an amount, or of a currency without costs, goes by
      the thresholds.
    * else thresholds: a score of at least ``review_at`` is reviewed, of at least ``decline_at`` declined.

    Above the score, in this precedence: lists that decline, lists that approve, then lists and rules that
    raise the decision, never lower it. Everything that fires is recorded in this order, also where the score
    alone, or an earlier one, led as far.

    Raises
    ------
    InvalidInput
        The thresholds are not in order within [0, 1], the budget is not above 0, both budget and costs are
        given, or two lists or rules share a name.

    Examples
    --------
    >>> Policy(review_at=0.3, decline_at=0.9).of_score(0.3)
    <Decision.REVIEW: 'review'>
    """

    review_at: float = REVIEW_AT
    decline_at: float = DECLINE_AT
    rules: tuple[AmountRule, ...] = ()
    lists: tuple[NamedList, ...] = ()
    budget: float | None = None
    costs: dict[str, Costs] | None = None

    def __post_init__(self) -> None:
        """Refuse a policy that contradicts itself; put lists into their precedence."""
        if not 0.0 <= self.review_at <= self.decline_at <= 1.0:
            fault = f"expected 0 <= review_at <= decline_at <= 1, got {self.review_at} and {self.decline_at}"
            raise InvalidInput(fault)
        if self.budget is not None and not 0.0 < self.budget < float("inf"):
            fault = f"expected a budget of more than 0 alerts a day, got {self.budget}"
            raise InvalidInput(fault)
        if self.budget is not None and self.costs is not None:
            fault = "expected budget or costs, got both: they are two ways to find one threshold"
            raise InvalidInput(fault)
        names = [one.name for one in self.lists] + [rule.name for rule in self.rules]
        if len(set(names)) != len(names):
            fault = f"expected rules of differing names, got {names}"
            raise InvalidInput(fault)
        ordered = sorted(self.lists, key=lambda one: _LISTS_BY.index(one.decision))
        msgspec.structs.force_setattr(self, "lists", tuple(ordered))

    def of_score(self, score: float) -> Decision:
        """Return what the score alone leads to by the thresholds."""
        if score < self.review_at:
            return Decision.APPROVE
        return Decision.REVIEW if score < self.decline_at else Decision.DECLINE

    def judge(self, score: float, transaction: Transaction, stands_out: bool | None = None) -> Judgement:
        """Return the decision, what fired, and whether a person must see it.

        Parameters
        ----------
        score
            Estimated probability of fraud.
        transaction
            As accepted.
        stands_out
            Whether the score exceeds the threshold of the review budget; ``None`` without a budget.
        """
        if stands_out is None:
            decision = self.of_score(score) if self.costs is None else self._cheapest(score, transaction)
            judged = _BY_DECISION[decision]
        elif score >= self.decline_at:
            judged = _DECLINED if stands_out else _DECLINED_UNSEEN
        else:
            judged = _REVIEWED if stands_out else _APPROVED
        return self._overruled(judged, transaction) if self.rules or self.lists else judged

    def decide(self, score: float, transaction: Transaction) -> tuple[Decision, tuple[str, ...]]:
        """Return decision and names of what fired, where no review budget is kept."""
        return self.judge(score, transaction)[:2]

    def _overruled(self, judged: Judgement, transaction: Transaction) -> Judgement:
        settled: Decision | None = None
        raised = judged.decision
        fired = []
        for one in self.lists:
            if one.speaks(transaction):
                fired.append(one.name)
                if one.decision is not Decision.REVIEW:
                    settled = settled or one.decision
                elif raised is Decision.APPROVE:
                    raised = Decision.REVIEW
        for rule in self.rules:
            if rule.fires(transaction):
                fired.append(rule.name)
                if _SEVERITY[rule.decision] > _SEVERITY[raised]:
                    raised = rule.decision
        if settled is not None:
            return Judgement(settled, tuple(fired), settled is Decision.DECLINE)
        return Judgement(raised, tuple(fired), judged.alert or raised is not judged.decision)

    def _cheapest(self, score: float, transaction: Transaction) -> Decision:
        assert self.costs is not None  # noqa: S101 - the caller asked
        amount = transaction.amount_minor
        costs = self.costs.get(transaction.currency or "") or self.costs.get(ANY)
        if amount is None or costs is None:
            return self.of_score(score)
        return min(
            Decision,
            key=lambda decision: (
                score * costs.loss(decision, True, amount)
                + (1.0 - score) * costs.loss(decision, False, amount)
            ),
        )
