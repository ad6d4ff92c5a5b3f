"""What a backtest comes to: measures of the test part of a pass, as plain values."""

from datetime import UTC, datetime

import msgspec
import numpy as np

from fraudstream.core.backtest import DECISIONS, Backtest
from fraudstream.core.backtest_breakdown import (
    DayRow,
    Flags,
    Floats,
    Numbers,
    SegmentRow,
    by_day,
    by_segment,
    rounded,
    share,
)
from fraudstream.core.backtest_entries import Mistake
from fraudstream.core.cost import AMOUNTS_ONLY, CostTable, Ledger, Saving
from fraudstream.core.curves import (
    BudgetPoint,
    CurvePoint,
    HistogramBin,
    ReliabilityBin,
    precision_recall,
    reliability,
    score_histogram,
    within_budgets,
)
from fraudstream.core.evaluation import card_precision, evaluate
from fraudstream.errors import InvalidInput

DAY_SECONDS = 86_400
TOP_CARDS = 100

BUDGETS = (10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1000)
"""Alerts a day that precision and recall are told for."""


class TestFrom(msgspec.Struct, frozen=True, kw_only=True):
    """Where the test part begins: at a share of the rows, at a row counted from 0, or at a time."""

    __test__ = False

    share: float | None = 0.5
    row: int | None = None
    time: datetime | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured.

    ``hours``: only transactions of these hours of day are tested, from the first up to but not including the
    second. ``worst``: mistakes of each kind told.
    """

    test_from: TestFrom = TestFrom()
    hours: tuple[int, int] = (0, 24)
    review_budget: int = 100
    costs: CostTable = msgspec.field(default_factory=lambda: AMOUNTS_ONLY)
    worst: int = 10


class Quality(msgspec.Struct, kw_only=True):
    """How well one model scored the test part. Measures that cannot be computed are ``None``."""

    average_precision: float | None
    roc_auc: float | None
    log_loss: float | None
    calibration_error: float | None
    card_precision_at_100: float | None
    precision_at_budget: float | None
    recall_at_budget: float | None


class RivalResult(Quality, kw_only=True):
    """How well a rival scored, on the same transactions with the same labels."""

    name: str
    precision_recall: tuple[CurvePoint, ...]


class Measures(Quality, kw_only=True):
    """Everything measured.

    ``rows``: transactions scored. ``test_rows``: those tested, with known truth, of which ``test_frauds`` are
    fraud. ``precision``: share of transactions not approved that are fraud; ``recall``: share of frauds not
    approved; the ones ``at_budget`` are those of each day's highest scores, in hindsight. ``alerts``: those a
    person must see, ``alerted_frauds`` of them fraud; a decline beyond the review budget is none.
    """

    rows: int
    test_rows: int
    test_frauds: int
    test_first: str
    test_last: str
    alerts_per_day: float
    alerts: int
    alerted_frauds: int
    precision: float | None
    recall: float | None
    review_budget: int
    savings: tuple[Saving, ...]
    calibration: tuple[ReliabilityBin, ...]
    precision_recall: tuple[CurvePoint, ...]
    score_histogram: tuple[HistogramBin, ...]
    by_budget: tuple[BudgetPoint, ...]
    by_day: tuple[DayRow, ...]
    by_segment: tuple[SegmentRow, ...]
    missed_frauds: tuple[Mistake, ...]
    false_alarms: tuple[Mistake, ...]
    challengers: tuple[RivalResult, ...]


def measure(backtest: Backtest, plan: Plan) -> Measures:
    """Measure the test part of a finished pass. The same pass and plan give the same values.

    Raises
    ------
    InvalidInput
        The test part has no transaction whose truth is known, or the cost table lacks a currency.
    """
    tested = _Tested(backtest, plan)
    s, y = tested.scores, tested.frauds
    days = np.floor(tested.times / DAY_SECONDS).astype(np.int64)
    alerted = tested.alerts
    acted: Flags = tested.decisions > 0
    alerts, caught = int(alerted.sum()), int((acted & y).sum())
    span = max((float(tested.times.max()) - float(tested.times.min())) / DAY_SECONDS, 1.0)
    wrong = [m for m in backtest.mistakes if m.row in tested.rows]
    missed = sorted((m for m in wrong if m.fraud), key=lambda m: (m.score, m.row))
    false = sorted((m for m in wrong if not m.fraud), key=lambda m: (-m.score, m.row))
    quality = msgspec.structs.asdict(_quality(s, y, days, tested.cards, plan.review_budget))
    return Measures(
        **quality,
        rows=len(backtest.scores),
        test_rows=len(s),
        test_frauds=int(y.sum()),
        test_first=_moment(float(tested.times.min())),
        test_last=_moment(float(tested.times.max())),
        alerts_per_day=rounded(alerts / span) or 0.0,
        alerts=alerts,
        alerted_frauds=int((alerted & y).sum()),
        precision=share(caught, int(acted.sum())),
        recall=share(caught, int(y.sum())),
        review_budget=plan.review_budget,
        savings=_savings(tested, backtest, plan.costs),
        calibration=reliability(s, y),
        precision_recall=precision_recall(s, y),
        score_histogram=score_histogram(s, y),
        by_budget=within_budgets(days, s, y, BUDGETS),
        by_day=tuple(by_day(days, s, y, alerted)),
        by_segment=tuple(
            row
            for name, column in backtest.segments.items()
            for row in by_segment(
                name, column.values, np.array(column.codes, np.int64)[tested.places], s, y, alerted, acted
            )
        ),
        missed_frauds=tuple(missed[: plan.worst]),
        false_alarms=tuple(false[: plan.worst]),
        challengers=tuple(
            _rival_result(rival.name, np.array(scores, np.float64)[tested.places], tested, days, plan)
            for rival, scores in zip(backtest.rivals, backtest.rival_scores, strict=True)
        ),
    )


def _rival_result(name: str, s: Floats, tested: "_Tested", days: Numbers, plan: Plan) -> RivalResult:
    quality = _quality(s, tested.frauds, days, tested.cards, plan.review_budget)
    return RivalResult(
        name=name,
        precision_recall=precision_recall(s, tested.frauds),
        **msgspec.structs.asdict(quality),
    )


class _Tested:
    """The columns of the rows that are tested."""

    def __init__(self, backtest: Backtest, plan: Plan) -> None:
        frauds = np.array(backtest.frauds, np.int64)
        times = np.array(backtest.times, np.float64)
        hours = np.array(backtest.hours, np.int64)
        part = np.arange(len(frauds)) >= _first_row(plan.test_from, times)
        part &= (frauds >= 0) & (hours >= plan.hours[0]) & (hours < plan.hours[1])
        self.places = np.flatnonzero(part)
        if not len(self.places):
            known = int((frauds >= 0).sum())
            fault = (
                f"nothing to measure in the test part: of {len(frauds):,} transactions the truth is known of "
                f"{known:,}, none of them in it"
                if known
                else f"nothing to measure: none of the {len(frauds):,} transactions has a label"
            )
            raise InvalidInput(fault)
        self.rows = set(self.places.tolist())
        self.frauds: Flags = frauds[part] == 1
        self.times: Floats = times[part]
        self.scores: Floats = np.array(backtest.scores, np.float64)[part]
        self.alerts: Flags = np.array(backtest.alerts, np.bool_)[part]
        self.decisions: Numbers = np.array(backtest.decisions, np.int64)[part]
        self.cards: Numbers = np.array(backtest.cards, np.int64)[part]


def _first_row(begins: TestFrom, times: Floats) -> int:
    if begins.row is not None:
        return begins.row
    if begins.time is not None:
        late = np.flatnonzero(times >= begins.time.timestamp())
        return int(late[0]) if len(late) else len(times)
    return int(len(times) * (begins.share or 0.0))


def _quality(s: Floats, y: Flags, days: Numbers, cards: Numbers, budget: int) -> Quality:
    whole = evaluate(s, y)
    (at_budget,) = within_budgets(days, s, y, [budget])
    return Quality(
        average_precision=rounded(whole.average_precision),
        roc_auc=rounded(whole.roc_auc),
        log_loss=rounded(whole.log_loss),
        calibration_error=rounded(whole.calibration_error),
        card_precision_at_100=_card_precision(s, y, days, cards),
        precision_at_budget=at_budget.precision,
        recall_at_budget=at_budget.recall,
    )


def _card_precision(s: Floats, y: Flags, days: Numbers, cards: Numbers) -> float | None:
    """Return the mean over the last whole weeks, or over every day where there is no whole week."""
    named = cards >= 0
    if not named.any():
        return None
    s, y, days, cards = s[named], y[named], days[named], cards[named]
    order = np.argsort(days, kind="stable")
    s, y, days, cards = s[order], y[order], days[order], cards[order]
    weeks = int(days[-1] - days[0] + 1) // 7
    if weeks:
        late = days > days[-1] - 7 * weeks
        s, y, days, cards = s[late], y[late], days[late], cards[late]
    return rounded(float(card_precision(days, cards.tolist(), s, y, TOP_CARDS).mean()))


def _savings(tested: _Tested, backtest: Backtest, costs: CostTable) -> tuple[Saving, ...]:
    ledger = Ledger(costs)
    names = tuple(backtest.currency_names)
    frauds = tested.frauds.tolist()
    decisions = tested.decisions.tolist()
    for place, fraud, rank in zip(tested.places.tolist(), frauds, decisions, strict=True):
        amount = backtest.amounts[place]
        if amount >= 0 and (fraud or rank):
            ledger.add(names[backtest.currencies[place]], DECISIONS[rank], fraud, amount)
    return ledger.savings()


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
