"""Computing a past decision again, from what was stored of it and from the model version that scored it.

Everything in a learned state takes part: the weights give the score, the typical weights the
contributions, the look tables the weight of a spike, and the terminal's risk its keys and its words. So a
decision that comes out equal says that the whole state was made again as it was.
"""

from datetime import datetime

import msgspec

from fraudstream.core.code_version import code_version
from fraudstream.core.features import excess_rate, observe
from fraudstream.core.ftrl import probability, weigh, worth
from fraudstream.core.history import CardHistory
from fraudstream.core.learning import Learner
from fraudstream.core.messages import Classification, Reason
from fraudstream.core.observation import Observation
from fraudstream.core.reasons import reasons
from fraudstream.core.risk import UNKNOWN
from fraudstream.core.terms import (
    FAMILIES,
    PLACE,
    RHYTHM,
    SPIKES,
    TERM_OF,
    TERMINAL,
    TERMS,
    bins_of,
)
from fraudstream.core.weighing import Explainer

MOST_TERMS = 5
"""Terms an explanation names, those whose weight is farthest from the usual first."""


def _seen(relative_amount: float, ratio: float, spike: float) -> Observation:
    """Return an observation of which no more is known."""
    return Observation((), 0.0, None, relative_amount, ratio, spike, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)


_NOTHING = _seen(0.0, 0.0, 0.0)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that comes out otherwise than it was stored."""

    what: str
    stored: str
    recomputed: str


class TermWeight(msgspec.Struct, frozen=True, kw_only=True):
    """What one term of a decision added, its weight or shares of two, and how far that is from the usual."""

    term: str
    key: int
    weight: float
    contribution: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A past decision, computed again.

    Attributes
    ----------
    position, transaction_id, scored_at, model_version
        Which one.
    learned_by
        The program that learned the version, see :func:`~fraudstream.core.code_version.code_version`; empty
        for the prior. Another one may come to other numbers.
    equal
        Whether everything computed again is what was stored, to the last bit; else ``differences`` says
        what is not.
    logit, intercept, score
        As computed again: the log odds are the intercept and what each key adds.
    decision, rules, flags
        As stored: they also rest on the policy of that day, which is not part of the model.
    reasons
        As computed again. How long ago a card's outsized amount was, and how often the card was used, rest on
        its history of that moment, which is not kept: these words are the stored ones.
    families
        What each family of terms added to the log odds of a typical transaction, zeros left out.
    terms
        The terms that added or took most.
    """

    position: str
    transaction_id: str
    scored_at: datetime
    model_version: int
    learned_by: str
    equal: bool
    differences: tuple[Difference, ...]
    logit: float
    intercept: float
    score: float
    decision: str
    rules: tuple[str, ...]
    flags: tuple[str, ...]
    reasons: tuple[Reason, ...]
    families: dict[str, float]
    terms: tuple[TermWeight, ...]

    def text(self) -> str:
        """Return it in words, a few lines."""
        when = f"{self.scored_at:%Y-%m-%d %H:%M:%S} UTC"
        lines = [
            f"{self.position}  transaction {self.transaction_id}, scored {when}"
            f" by model version {self.model_version}",
            f"  score {self.score:.4f}, decision {self.decision}; log odds {self.logit:+.3f},"
            f" {self.intercept:+.3f} of them given to any transaction",
        ]
        if self.rules:
            lines.append(f"  rules that fired: {', '.join(self.rules)}")
        for reason in self.reasons:
            way = "for fraud" if reason.contribution > 0.0 else "against fraud"
            lines.append(f"  {abs(reason.contribution):.2f} {way}: {reason.text}")
        if not self.reasons:
            lines.append("  nothing about it is far from a typical transaction")
        if self.equal:
            lines.append("  computed again: equal to the last bit")
        for one in self.differences:
            lines.append(f"  DIFFERS in {one.what}: stored {one.stored}, computed again {one.recomputed}")
        if not self.equal and self.learned_by not in {"", code_version()}:
            lines.append(
                f"  the version was learned by program {self.learned_by}, this one is {code_version()}"
            )
        return "\n".join(lines)


def explain(stored: Classification, learner: Learner, learned_by: str = "") -> Explanation:
    """Compute a decision again and compare it with what was stored.

    Parameters
    ----------
    stored
        As archived.
    learner
        As it stood at the decision's model version; not changed.
    learned_by
        The program that learned that version.
    """
    model = learner.model
    total, parts = Explainer(model.weights, learner.typical).weigh(stored.keys)
    logit = total + model.intercept
    score = probability(logit)
    told = _reasons(stored, learner, parts)
    differences = [
        *_different("model version", stored.model_version, learner.version),
        *_different("score", stored.score, score),
        *_different_reasons(stored.reasons, told),
        *_different_spike(stored, learner),
        *_different("keys of the terminal", *_terminal_keys(stored, learner)),
    ]
    return Explanation(
        position=str(stored.source),
        transaction_id=stored.transaction.transaction_id,
        scored_at=stored.scored_at,
        model_version=stored.model_version,
        learned_by=learned_by,
        equal=not differences,
        differences=tuple(differences),
        logit=logit,
        intercept=model.intercept,
        score=score,
        decision=stored.decision.value,
        rules=stored.rules,
        flags=stored.flags,
        reasons=told,
        families={name: part for name, part in zip(FAMILIES, parts, strict=False) if part},
        terms=_terms(stored.keys, learner),
    )


def _different(what: str, stored: object, recomputed: object) -> list[Difference]:
    if stored == recomputed:
        return []
    return [Difference(what=what, stored=repr(stored), recomputed=repr(recomputed))]


def _different_reasons(stored: tuple[Reason, ...], told: tuple[Reason, ...]) -> list[Difference]:
    if stored == told:
        return []
    before, after = (tuple((one.name, one.contribution, one.text) for one in some) for some in (stored, told))
    return _different("reasons", before, after)


def _reasons(stored: Classification, learner: Learner, parts: list[float]) -> tuple[Reason, ...]:
    """Return the reasons in the words of that moment, as far as its state is kept."""
    features, transaction = stored.features, stored.transaction
    seen = _NOTHING
    if features is not None:
        seen = _seen(features.relative_amount, features.ratio, features.spike)
    bins = bins_of(stored.keys)
    history = None
    if transaction.card_id is not None:
        history = CardHistory(count=bins.get("count", 0))
    risk = None
    if transaction.terminal_id is not None:
        risk = learner.risks.get(transaction.terminal_id, UNKNOWN)
    told = reasons(parts, transaction, seen, history, risk)
    kept = {one.name: one.text for one in stored.reasons if one.name in {SPIKES, RHYTHM, PLACE}}
    return tuple(
        msgspec.structs.replace(one, text=kept[one.name]) if one.name in kept else one for one in told
    )


def _different_spike(stored: Classification, learner: Learner) -> list[Difference]:
    features = stored.features
    if features is None or stored.transaction.card_id is None:
        return []
    spike = excess_rate(features.ratio, learner.tables) if features.ratio >= 1.0 else 0.0
    return _different("weight of the spike", features.spike, spike)


def _terminal_keys(stored: Classification, learner: Learner) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the keys that rest on the terminal's risk alone, as stored and as they come out now."""
    terminal_id = stored.transaction.terminal_id
    if terminal_id is None:
        return (), ()
    at = stored.event_time.timestamp()
    risk = learner.risks.get(terminal_id, UNKNOWN)
    again = observe(at, None, None, None, risk, learner.tables).keys
    kept = [key for key in stored.keys if TERMS[TERM_OF[key]].family == TERMINAL]
    return tuple(kept), again


def _terms(keys: tuple[int, ...], learner: Learner) -> tuple[TermWeight, ...]:
    weights, typical = learner.model.weights, learner.typical
    _, share, _ = weigh(weights, keys)
    found = [
        TermWeight(
            term=TERMS[TERM_OF[key]].name,
            key=key,
            weight=added,
            contribution=added - typical[TERM_OF[key]],
        )
        for key, added in ((key, worth(weights, key, share)) for key in keys)
    ]
    return tuple(sorted(found, key=lambda one: (-abs(one.contribution), one.key))[:MOST_TERMS])
