"""The figures of a backtest's page."""

from math import log10

from fraudstream.commands.backtest_plots import Axis, Plot, axis
from fraudstream.core.backtest_breakdown import DayRow
from fraudstream.core.backtest_measures import Measures

LEAST_LOG = -5
"""Scores and rates below 10**-5 are drawn there."""


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _log_axis(title: str) -> Axis:
    texts = ("0.001%", "0.01%", "0.1%", "1%", "10%", "100%")
    return Axis(title, LEAST_LOG, 0.0, [(LEAST_LOG + n, text) for n, text in enumerate(texts)])


def _log(rate: float) -> float:
    return log10(max(rate, 10.0**LEAST_LOG))


def precision_recall_figure(measures: Measures) -> str:
    """Draw precision against recall, with the decisions made as a point, challengers beside."""
    plot = Plot(
        axis("Recall: share of all frauds found", 1.0, _percent),
        axis("Precision: share of alerts that are fraud", 1.0, _percent),
        "Precision against recall",
    )
    plot.line([(p.recall, p.precision) for p in measures.precision_recall], "ours", "fraudstream")
    for number, rival in enumerate(measures.challengers):
        plot.line(
            [(p.recall, p.precision) for p in rival.precision_recall], f"rival rival{number % 3}", rival.name
        )
    if measures.recall is not None and measures.precision is not None:
        told = f"decisions made: precision {measures.precision:.1%}, recall {measures.recall:.1%}"
        plot.dot(measures.recall, measures.precision, "mark", told)
    return plot.svg()


def calibration_figure(measures: Measures) -> str:
    """Draw the fraud rate of each score bin against its mean score, on logarithmic axes."""
    plot = Plot(_log_axis("Mean score"), _log_axis("Frauds among them"), "Score against fraud rate")
    plot.line([(LEAST_LOG, LEAST_LOG), (0.0, 0.0)], "ideal", "as good as its word")
    for found in measures.calibration:
        x = _log(found.predicted)
        plot.line([(x, _log(found.observed_low)), (x, _log(found.observed_high))], "whisker")
        told = (
            f"scores {found.score_from:g} to {found.score_to:g}: {found.transactions:,} transactions, "
            f"mean score {found.predicted:.3%}, {found.frauds:,} frauds, which is {found.observed:.3%}"
        )
        plot.dot(x, _log(found.observed), "mark", told)
    return plot.svg()


def _day_axis(days: tuple[DayRow, ...]) -> Axis:
    every = max(len(days) // 6, 1)
    ticks = [(float(n), day.day[5:]) for n, day in enumerate(days) if n % every == 0]
    return Axis("Day (UTC)", -0.6, len(days) - 0.4, ticks)


def daily_precision_figure(measures: Measures) -> str:
    """Draw the average precision of each day."""
    days = measures.by_day
    plot = Plot(_day_axis(days), axis("Average precision", 1.0, lambda v: f"{v:.1f}"), "Precision by day")
    known = [(float(n), d) for n, d in enumerate(days) if d.average_precision is not None]
    plot.line([(n, d.average_precision or 0.0) for n, d in known], "ours")
    for n, d in known:
        told = f"{d.day}: {d.average_precision:.3f} with {d.frauds:,} frauds in {d.transactions:,}"
        plot.dot(n, d.average_precision or 0.0, "mark", told)
    if measures.average_precision is not None:
        end = len(days) - 0.4
        level = measures.average_precision
        plot.line([(-0.6, level), (end, level)], "ideal", f"all days together: {level:.3f}")
    return plot.svg()


def alerts_figure(measures: Measures) -> str:
    """Draw alerts of each day, frauds among them, and the review budget."""
    days = measures.by_day
    most = max(*(day.alerts for day in days), measures.review_budget)
    plot = Plot(_day_axis(days), axis("Alerts", most * 1.2, lambda v: f"{v:,.0f}"), "Alerts by day")
    for n, day in enumerate(days):
        told = f"{day.day}: {day.alerts:,} alerts, {day.alerted_frauds:,} of them fraud"
        plot.bar(float(n), 0.8, day.alerts, "genuine", told)
        plot.bar(float(n), 0.8, day.alerted_frauds, "fraud", told)
    budget = float(measures.review_budget)
    plot.line([(-0.6, budget), (len(days) - 0.4, budget)], "ideal", f"review budget: {budget:,.0f} a day")
    plot.legend("fraud", "fraud")
    plot.legend("genuine", "genuine")
    return plot.svg()


def histogram_figure(measures: Measures) -> str:
    """Draw how scores of frauds and genuine transactions are spread, each as shares of its class."""
    bins = measures.score_histogram
    frauds = sum(found.fraud for found in bins) or 1
    genuine = sum(found.genuine for found in bins) or 1
    most = max(max(found.fraud / frauds, found.genuine / genuine) for found in bins)
    ticks = [(-9.2, "0.01%"), (-6.9, "0.1%"), (-4.6, "1%"), (-2.2, "10%"), (0.0, "50%"), (2.2, "90%")]
    ticks += [(4.6, "99%"), (6.9, "99.9%"), (9.2, "99.99%")]
    plot = Plot(
        Axis("Score, spaced by log odds", -10.0, 10.0, ticks),
        axis("Share of the class", most, _percent),
        "Scores",
    )
    for found in bins:
        middle = found.logit_from + 0.25
        told = f"{found.genuine:,} genuine, {found.fraud:,} frauds"
        plot.bar(middle - 0.11, 0.2, found.genuine / genuine, "genuine", told)
        plot.bar(middle + 0.11, 0.2, found.fraud / frauds, "fraud", told)
    plot.legend("fraud", "fraud")
    plot.legend("genuine", "genuine")
    return plot.svg()


def budget_figure(measures: Measures) -> str:
    """Draw precision and recall against alerts a day, each day's highest scores being the alerts."""
    points = [p for p in measures.by_budget if p.precision is not None and p.recall is not None]
    low, high = log10(points[0].alerts_a_day), log10(points[-1].alerts_a_day)
    ticks = [(log10(n), f"{n:,}") for n in (10, 20, 50, 100, 200, 500, 1000)]
    plot = Plot(
        Axis("Alerts a day", low, high, ticks), axis("Share", 1.0, _percent), "Precision and recall by budget"
    )
    plot.line([(log10(p.alerts_a_day), p.precision or 0.0) for p in points], "ours", "precision")
    plot.line([(log10(p.alerts_a_day), p.recall or 0.0) for p in points], "rival rival0", "recall")
    at = log10(min(max(measures.review_budget, 10), 1000))
    plot.line([(at, 0.0), (at, 1.0)], "ideal", f"review budget: {measures.review_budget:,} a day")
    return plot.svg()
