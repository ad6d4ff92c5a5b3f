"""Which sources of labels are believed: limits a day, and quarantine of those that contradict all others.

Each source has an account. For each of its labels the account asks how much better the label fits a source
that lies than an honest one, given the score its transaction had and what all *other* sources say of such
scores. Two sums of these log likelihood ratios are kept, each never below 0 (Page's CUSUM): one for sources
that invent frauds, one for sources that hide them. A sum that reaches :data:`THRESHOLD` quarantines its
source.

What makes it robust:

* An honest source may choose what it labels, by score or by truth (:mod:`~fraudstream.core.label_evidence`).
* Honest errors are allowed for: up to one genuine transaction in 200 called fraud, one fraud in ten called
  genuine.
* No single label weighs more than 1.4 nats, so it takes fifteen or more.
* The model alone accuses nobody: others must have said enough before anyone can contradict them.
* Under either kind of honest choice, the expected exponential of each step is at most 1, so an honest source
  is quarantined at most once in ``exp(THRESHOLD)``, half a billion, labels on average (Lorden 1971).
* Names cost an attacker nothing, so names with few labels share one account beside their own.

References
----------
E. S. Page 1954, "Continuous inspection schemes". G. Lorden 1971, "Procedures for reacting to a change in
distribution".
"""

from bisect import bisect_right
from copy import deepcopy
from enum import StrEnum
from typing import Self

import msgspec

from fraudstream.core.decoding import decoder_of
from fraudstream.core.label_evidence import BINS, LEAST_SCORE, MOST_SCORE, SCORES, Shown, weigh
from fraudstream.core.label_sources import source_name
from fraudstream.core.messages import LabelSource, LabelValue, TrainingExample
from fraudstream.errors import InvalidMessage

THRESHOLD = 20.0
"""Nats. Lower finds liars sooner and quarantines honest sources more often, both exponentially: at 20, 45
invented frauds among honest labels are enough."""

HALF_LIFE_DAYS = 30.0
"""Days of the clock after which a label shown counts half: the model and fraud change."""

YOUNG_LABELS = 50
"""A name with fewer labels shares the account of the new names of its kind."""

MOST_ACCOUNTS = 500
"""Sources told apart, 370 bytes of the snapshot each; those in quarantine are forgotten last."""

MOST_SPANS = 64
"""Spans of labels held back, remembered of a source: one a quarantine, or one a day over the limit."""

LABELS_PER_DAY = 1_000_000
"""Labels of one source believed a day unless it is set: above what one source gives, below a flood."""

_DAY = 86_400.0
_FADE = 0.5 ** (1.0 / HALF_LIFE_DAYS)


class Held(StrEnum):
    """Why a label was not learned."""

    INVENTS = "invents_frauds"
    HIDES = "hides_frauds"
    RATE = "too_many_a_day"
    NEWCOMERS = "new_names"
    LEFT_OUT = "left_out"


class Account(msgspec.Struct, array_like=True):
    """What is known of one source.

    ``invents``, ``hides``: the two sums. ``quarantined``: why, if it is. ``since``: the clock at that, in
    seconds since 1970. ``labels``, ``frauds``: ever believed; ``held``: ever held back. ``day``, ``today``:
    labels believed on that day of the clock. ``seen``: offset of its last label. ``spans``: first and last
    training offsets between which all its labels were held. ``holding``: whether its last one was.
    """

    shown: Shown = msgspec.field(default_factory=Shown)
    invents: float = 0.0
    hides: float = 0.0
    quarantined: Held | None = None
    since: float = 0.0
    labels: int = 0
    frauds: int = 0
    held: int = 0
    day: int = 0
    today: int = 0
    seen: int = -1
    spans: list[tuple[int, int]] = []
    holding: bool = False


class Quarantine(msgspec.Struct, frozen=True):
    """A source that was put into quarantine. ``at``: the clock, in seconds since 1970."""

    source: str
    reason: Held
    at: float
    labels: int
    frauds: int


class LabelTrust(msgspec.Struct, array_like=True):
    """The accounts of all sources: a function of the training log and the limit alone.

    ``clock`` is the newest time of a labelled transaction, in seconds since 1970: whoever gives labels cannot
    move it beyond what really happened.
    """

    accounts: dict[str, Account] = {}
    everyone: Shown = msgspec.field(default_factory=Shown)
    expected: Shown = msgspec.field(default_factory=Shown)
    clock: float = float("-inf")

    def judge(
        self, example: TrainingExample, at: float, offset: int, limit: int = LABELS_PER_DAY
    ) -> tuple[Held | None, Quarantine | None]:
        """Take one label that was never seen before; say why it must not be learned, if it must not.

        The second value is the quarantine that this very label led to. What is presumed genuine is believed;
        released labels end the quarantine of their source.

        Parameters
        ----------
        example
            The label with its transaction's score as it was scored.
        at
            Event time of the transaction in seconds since 1970.
        offset
            Of the example in the training log.
        limit
            Labels of one source believed a day of the clock.
        """
        self._advance(at)
        score = min(max(example.score, LEAST_SCORE), MOST_SCORE)
        place, fraud = bisect_right(SCORES, example.score), example.label is LabelValue.FRAUD
        if example.label_source is LabelSource.PRESUMED and not fraud:
            self.everyone.add(place, 1.0, 0.0)
            self.expected.add(place, 1.0 - score, score)
            return None, None
        name = source_name(example.label_source, example.labelled_by)
        account = self._account(name)
        account.seen = offset
        newcomers = None
        if example.labelled_by and account.labels < YOUNG_LABELS:
            newcomers = self._account(f"{example.label_source.value}*")
            newcomers.seen = offset
        if example.released:
            _pardon(account)
            if newcomers is not None:
                _pardon(newcomers)
            return None, None
        held, found = self._held(account, name, limit), None
        if held is None and newcomers is not None and newcomers.quarantined is not None:
            held = Held.NEWCOMERS
        if held is None:
            found = self._weigh(account, name, place, score, fraud)
            if found is None and newcomers is not None:
                found = self._weigh(newcomers, f"{example.label_source.value}*", place, score, fraud)
            held = None if found is None else found.reason
        if held is None:
            account.labels += 1
            account.frauds += fraud
            account.today += 1
            self.everyone.add(place, 1.0 - fraud, float(fraud))
            self.expected.add(place, 1.0 - score, score)
            account.holding = False
        else:
            _hold(account, offset)
        return held, found

    def exclude(self, example: TrainingExample, offset: int) -> None:
        """Put the source of an example into quarantine, as one that the model was learned again without.

        Nobody says what is presumed: it stays believed.
        """
        if example.label_source is LabelSource.PRESUMED:
            return
        account = self._account(source_name(example.label_source, example.labelled_by))
        if account.quarantined is None:
            account.quarantined, account.since = Held.LEFT_OUT, self.clock
        account.seen = offset
        _hold(account, offset)

    def was_held(self, example: TrainingExample, offset: int) -> bool:
        """Return whether the example at an offset was held back; known of the latest spans."""
        account = self.accounts.get(source_name(example.label_source, example.labelled_by))
        return (
            account is not None
            and not example.released
            and any(first <= offset <= last for first, last in account.spans)
        )

    def keep_quarantines(self, later: "LabelTrust") -> None:
        """Take over the quarantines of a later state: going back to an earlier one releases nobody."""
        for name, account in later.quarantined().items():
            self._account(name)  # makes room
            self.accounts[name] = deepcopy(account)

    def quarantined(self) -> dict[str, Account]:
        """Return the sources in quarantine."""
        return {name: one for name, one in self.accounts.items() if one.quarantined is not None}

    def to_bytes(self) -> bytes:
        """Return the state as bytes."""
        return _encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Rebuild what :meth:`to_bytes` gave; nothing gives an empty state.

        Raises
        ------
        InvalidMessage
            It is something else.
        """
        if not data:
            return cls()
        trust = decoder_of(msgspec.msgpack.Decoder(cls).decode, "accounts of label sources")(data)
        shown = [trust.everyone, trust.expected, *(one.shown for one in trust.accounts.values())]
        if any(len(one.genuine) != BINS or len(one.fraud) != BINS for one in shown):
            fault = f"expected accounts of label sources with {BINS} bins of scores, got others"
            raise InvalidMessage(fault)
        return trust

    def _advance(self, at: float) -> None:
        if at <= self.clock:
            return
        days = 0 if self.clock == float("-inf") else int(at // _DAY) - int(self.clock // _DAY)
        self.clock = at
        if days > 0:
            factor = _FADE**days
            for shown in (self.everyone, self.expected):
                shown.fade(factor)
            for account in self.accounts.values():
                account.shown.fade(factor)

    def _account(self, name: str) -> Account:
        account = self.accounts.get(name)
        if account is None:
            if len(self.accounts) >= MOST_ACCOUNTS:
                coldest = min(
                    self.accounts,
                    key=lambda one: (self.accounts[one].quarantined is not None, self.accounts[one].seen),
                )
                del self.accounts[coldest]
            account = self.accounts[name] = Account()
        return account

    def _held(self, account: Account, name: str, limit: int) -> Held | None:
        if account.quarantined is not None:
            return account.quarantined
        day = int(self.clock // _DAY)
        if day > account.day:
            account.day, account.today = day, 0
        return Held.RATE if account.today >= limit else None

    def _weigh(self, account: Account, name: str, place: int, score: float, fraud: bool) -> Quarantine | None:
        """Add one label to the sums of an account; return its quarantine if that is one too many."""
        invents, hides = weigh(self.everyone, self.expected, account.shown, place, score, fraud)
        account.invents = max(account.invents + invents, 0.0)
        account.hides = max(account.hides + hides, 0.0)
        account.shown.add(place, 1.0 - fraud, float(fraud))
        if max(account.invents, account.hides) < THRESHOLD:
            return None
        account.quarantined = Held.INVENTS if account.invents >= account.hides else Held.HIDES
        account.since = self.clock
        self.everyone.take_out(account.shown)  # what a liar said must not speak against others
        account.shown = Shown()
        return Quarantine(name, account.quarantined, self.clock, account.labels, account.frauds)


def _hold(account: Account, offset: int) -> None:
    account.held += 1
    if account.holding and account.spans:
        account.spans[-1] = (account.spans[-1][0], offset)
    else:
        account.spans.append((offset, offset))
        del account.spans[:-MOST_SPANS]
    account.holding = True


def _pardon(account: Account) -> None:
    account.quarantined, account.since = None, 0.0
    account.invents = account.hides = 0.0
    account.holding = False


_encode = msgspec.msgpack.Encoder().encode
