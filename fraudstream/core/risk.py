"""What labels have taught about terminals, and about amounts of a certain look.

Both change only when a label arrives, so the learner owns them and broadcasts them; workers only read.
Labels may come in any order: the newest *transaction* time wins, not the newest label.

A fraud is blamed on its terminal unless its own look explains it: a ratio to the card's usual, or a
relative amount, whose known fraud rate is more than twice the overall one.
"""

from collections.abc import Mapping
from heapq import nsmallest
from math import exp
from typing import Final, Self

from fraudstream.core.history import NEVER
from fraudstream.core.look_tables import LookTables
from fraudstream.core.looks import AMOUNT_LOOK_FROM, RATIO_LOOK_FROM, look
from fraudstream.core.price_levels import level_step
from fraudstream.core.rows import values_from

EPISODE_OVER: Final = 0.01
"""A fraud episode of a terminal is over once so many genuine labels were this unlikely within it; .001 to
.05 score alike."""

LABEL_GENUINE: Final = 1
LABEL_FRAUD: Final = 2

_SHORT_SECONDS: Final = 3 * 86400.0
_LONG_SECONDS: Final = 7 * 86400.0


_FIRST_FIELDS: Final = 11
"""Fields that rows once had."""

_RISK_ROW = tuple[float, float, float, int, int, int, float, float, float, float, float, int, int]


class EntityRisk:  # noqa: PLW1641  it changes, so it has no hash
    """What labels have taught about one terminal.

    Times are seconds since 1970 of the *transactions* the labels are about. ``episode_from``: first fraud
    of the present or last episode. ``genuine_at``, ``label_at``: newest genuine and newest decisive
    transaction. ``fraud_run``: frauds of the episode; ``genuine_run``: genuine ones since its last fraud.
    ``last_label``: 0 none, 1 genuine, 2 fraud. ``*_short``, ``*_long``: labels and frauds, fading with 3
    and 7 days as of ``faded_at``. ``levels``, ``level_sum``: its part in those of :class:`LookTables`.
    """

    __slots__ = (
        "episode_from",
        "faded_at",
        "fraud_run",
        "frauds_long",
        "frauds_short",
        "genuine_at",
        "genuine_run",
        "label_at",
        "labels_long",
        "labels_short",
        "last_label",
        "level_sum",
        "levels",
    )

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        episode_from: float = NEVER,
        genuine_at: float = NEVER,
        label_at: float = NEVER,
        fraud_run: int = 0,
        genuine_run: int = 0,
        last_label: int = 0,
        labels_short: float = 0.0,
        frauds_short: float = 0.0,
        labels_long: float = 0.0,
        frauds_long: float = 0.0,
        faded_at: float = NEVER,
        levels: int = 0,
        level_sum: int = 0,
    ) -> None:
        self.episode_from = episode_from
        self.genuine_at = genuine_at
        self.label_at = label_at
        self.fraud_run = fraud_run
        self.genuine_run = genuine_run
        self.last_label = last_label
        self.labels_short = labels_short
        self.frauds_short = frauds_short
        self.labels_long = labels_long
        self.frauds_long = frauds_long
        self.faded_at = faded_at
        self.levels = levels
        self.level_sum = level_sum

    def rate_short(self) -> float:
        """Return the fraud rate of about the last three days as of the newest label."""
        return (self.frauds_short + 0.01) / (self.labels_short + 1.0)

    def rate_long(self) -> float:
        """Return the fraud rate of about the last week as of the newest label."""
        return (self.frauds_long + 0.01) / (self.labels_long + 1.0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EntityRisk) and self.to_row() == other.to_row()

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        return type(self), self.to_row()

    def __repr__(self) -> str:
        return f"EntityRisk{self.to_row()}"

    def to_row(self) -> tuple[int | float, ...]:
        """Return the fields in order, as plain numbers."""
        return (
            self.episode_from,
            self.genuine_at,
            self.label_at,
            self.fraud_run,
            self.genuine_run,
            self.last_label,
            self.labels_short,
            self.frauds_short,
            self.labels_long,
            self.frauds_long,
            self.faded_at,
            self.levels,
            self.level_sum,
        )

    @classmethod
    def from_row(cls, row: object) -> Self:
        """Rebuild what :meth:`to_row` gave, now or before price levels were known.

        Anything else is an ``InvalidMessage``.
        """
        if isinstance(row, list | tuple) and len(row) == _FIRST_FIELDS:
            row = (*row, 0, 0)
        return cls(*values_from(row, _RISK_ROW, cls.__name__))


UNKNOWN: Final = EntityRisk()
"""A terminal without labels. Shared: never written to."""


def coldest(risks: Mapping[str, EntityRisk], number: int) -> list[str]:
    """Return so many terminals, those whose newest labelled transaction is the oldest; ties by name.

    Depends on the risks alone, not on the order they came in, so it is the same after a restart.
    """
    return nsmallest(number, risks, key=lambda name: (risks[name].faded_at, name))


def note_label(  # noqa: PLR0913, PLR0917
    risk: EntityRisk | None, tables: LookTables, at: float, ratio: float, relative_amount: float, fraud: bool
) -> None:
    """Count one label of a transaction made at ``at`` (seconds), on its terminal if it has one.

    Any order of labels is accepted: an older transaction than the newest known adds to the rates but does
    not end a run.
    """
    at_ratio = look(ratio, RATIO_LOOK_FROM)
    at_amount = look(relative_amount, AMOUNT_LOOK_FROM)
    tables.labels += 1
    tables.ratio_labels[at_ratio] += 1
    tables.amount_labels[at_amount] += 1
    if fraud:
        tables.frauds += 1
        tables.ratio_frauds[at_ratio] += 1
        tables.amount_frauds[at_amount] += 1
    elif ratio > 0.0:
        octave = level_step(ratio)
        tables.levels += 1
        tables.level_sum += octave
        if risk is not None:
            risk.levels += 1
            risk.level_sum += octave
    if risk is None:
        return
    elapsed = at - risk.faded_at
    if elapsed > 0.0:
        short = exp(elapsed / -_SHORT_SECONDS)
        long = exp(elapsed / -_LONG_SECONDS)
        risk.faded_at = at
        risk.labels_short *= short
        risk.frauds_short *= short
        risk.labels_long *= long
        risk.frauds_long *= long
    if not fraud:
        risk.labels_short += 1.0
        risk.labels_long += 1.0
        if at >= risk.label_at:
            if risk.last_label == LABEL_FRAUD:
                tables.followed += 1
            risk.last_label = LABEL_GENUINE
            risk.genuine_run += 1
            risk.genuine_at = risk.label_at = at
    elif not tables.explains(ratio, relative_amount):
        risk.labels_short += 1.0
        risk.labels_long += 1.0
        risk.frauds_short += 1.0
        risk.frauds_long += 1.0
        _blame(risk, tables, at)


def _blame(risk: EntityRisk, tables: LookTables, at: float) -> None:
    """Let a fraud that its look does not explain begin or prolong the terminal's episode."""
    if at >= risk.label_at:
        if risk.last_label == LABEL_FRAUD:
            tables.followed += 1
            tables.followed_by_fraud += 1
        goes_on = 1.0 - tables.followed_by_fraud / tables.followed
        if risk.episode_from == NEVER or goes_on**risk.genuine_run < EPISODE_OVER:
            risk.episode_from = at
            risk.fraud_run = 0
        risk.genuine_run = 0
        risk.last_label = LABEL_FRAUD
        risk.label_at = at
    elif risk.episode_from > at > risk.genuine_at:
        risk.episode_from = at
    risk.fraud_run += 1


def correct_label(  # noqa: PLR0913, PLR0917
    risk: EntityRisk | None, tables: LookTables, at: float, ratio: float, relative_amount: float, fraud: bool
) -> None:
    """Put right what :func:`note_label` counted when it was given the opposite label.

    Exact: the look tables, the price levels, and the fading counts if labels came in order of their
    transactions. Not exact, because what it overwrote is not kept: the run and the newest times of the
    terminal are set as if this label came last; how often fraud follows fraud (``followed``) stays; and
    whether an earlier fraud was blamed on the terminal is judged anew.
    """
    step = 1 if fraud else -1
    at_ratio = look(ratio, RATIO_LOOK_FROM)
    at_amount = look(relative_amount, AMOUNT_LOOK_FROM)
    tables.frauds = max(tables.frauds + step, 0)
    tables.ratio_frauds[at_ratio] = max(tables.ratio_frauds[at_ratio] + step, 0)
    tables.amount_frauds[at_amount] = max(tables.amount_frauds[at_amount] + step, 0)
    octave = level_step(ratio) if ratio > 0.0 else 0
    if ratio > 0.0 and tables.levels >= step:
        tables.levels -= step
        tables.level_sum -= step * octave
    if risk is None:
        return
    if ratio > 0.0 and risk.levels >= step:
        risk.levels -= step
        risk.level_sum -= step * octave
    elapsed = max(risk.faded_at - at, 0.0)
    short = exp(elapsed / -_SHORT_SECONDS)
    long = exp(elapsed / -_LONG_SECONDS)
    blamed = not tables.explains(ratio, relative_amount)
    if blamed:
        risk.frauds_short = max(risk.frauds_short + step * short, 0.0)
        risk.frauds_long = max(risk.frauds_long + step * long, 0.0)
    else:
        risk.labels_short = max(risk.labels_short - step * short, 0.0)
        risk.labels_long = max(risk.labels_long - step * long, 0.0)
    if fraud:
        if blamed:
            _blame(risk, tables, at)
        return
    if blamed:
        risk.fraud_run = max(risk.fraud_run - 1, 0)
        if risk.fraud_run == 0:
            risk.episode_from = NEVER
    if at >= risk.label_at:
        risk.last_label = LABEL_GENUINE
        risk.genuine_run += 1
        risk.genuine_at = risk.label_at = at
