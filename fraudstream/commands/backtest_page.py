"""A backtest as one page that needs nothing else: no script, no server, no network."""

from datetime import timedelta
from html import escape

from fraudstream.commands.backtest_figures import (
    alerts_figure,
    budget_figure,
    calibration_figure,
    daily_precision_figure,
    histogram_figure,
    precision_recall_figure,
)
from fraudstream.commands.backtest_run import Result
from fraudstream.commands.backtest_sections import (
    mistakes_section,
    money_section,
    rivals_section,
    segments_section,
)
from fraudstream.commands.backtest_speed import Speed
from fraudstream.commands.backtest_style import STYLE
from fraudstream.commands.backtest_table import number
from fraudstream.core.backtest_measures import Measures
from fraudstream.core.cost import AMOUNTS_ONLY
from fraudstream.core.policy import Policy
from fraudstream.durations import format_duration


def write_page(result: Result, speed: Speed | None) -> str:
    """Return the page. The same result and speed give the same page."""
    measures = result.measures
    body = [
        f"<h1>Backtest of {escape(_files(result))}</h1>",
        f"<p>{_in_words(measures)}</p>",
        _tiles(result),
        "<h2>How good, how often, how sure</h2>",
        f'<div class="figures">{_figures(measures)}</div>',
        "<h2>Money</h2>",
        money_section(measures, plain=result.request.plan.costs is AMOUNTS_ONLY),
        *rivals_section(result),
        "<h2>By segment</h2>",
        "<p>Predicted is the mean score, observed the share of frauds: where they lie far apart, scores of "
        "that segment should not be taken at their word. Only the largest values are shown.</p>",
        segments_section(measures),
        "<h2>Worst misses</h2>",
        "<p>Frauds that were approved, the most confident mistakes first. Reasons are relative to a typical "
        "transaction: + speaks for fraud, &minus; against it, in log odds.</p>",
        mistakes_section(measures.missed_frauds),
        "<h2>Worst false alarms</h2>",
        "<p>Genuine transactions that would have gone to review or been declined, highest scores first.</p>",
        mistakes_section(measures.false_alarms),
        "<h2>How this was measured</h2>",
        _method(result, speed),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>fraudstream backtest</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _files(result: Result) -> str:
    first, *others = [file.path.name for file in result.request.files]
    return f"{first} and {len(others)} more" if others else first


def _in_words(measures: Measures) -> str:
    found = (
        ""
        if measures.recall is None
        else f"{measures.recall:.0%} of the frauds would have been reviewed or declined; "
    )
    right = (
        f"{measures.alerted_frauds / measures.alerts:.0%} of {measures.alerts:,} alerts would be fraud."
        if measures.alerts
        else "there would have been no alert."
    )
    return (
        f"{measures.test_rows:,} transactions from {_date(measures.test_first)} to "
        f"{_date(measures.test_last)}, {measures.test_frauds:,} of them fraud. "
        "Each was scored before its label was learned. "
        f"With the policy tried, {found}{right}"
    )


def _tiles(result: Result) -> str:
    measures = result.measures
    budget = measures.review_budget
    tiles = [
        (
            "Average precision",
            number(measures.average_precision),
            f"1 ranks every fraud first, {measures.test_frauds / measures.test_rows:.4f} is chance",
        ),
        ("ROC AUC", number(measures.roc_auc), "chance that a fraud scores above a genuine one"),
        ("Log loss", number(measures.log_loss), "surprise per transaction; lower is better"),
        ("Calibration error", number(measures.calibration_error), "gap of score and fraud rate; 0 is best"),
        ("Alerts a day", f"{measures.alerts_per_day:,.1f}", f"the review budget is {budget:,}"),
        (f"Precision at {budget:,} a day", number(measures.precision_at_budget), "each day's highest scores"),
        (f"Recall at {budget:,} a day", number(measures.recall_at_budget), "frauds found among them"),
    ]
    if measures.card_precision_at_100 is not None:
        told = "defrauded cards in each day's top 100, found ones left out"
        tiles.append(("Card precision at 100", number(measures.card_precision_at_100), told))
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile">{escape(title)}<b>{value}</b><span class="unit">{escape(told)}</span></div>'
            for title, value, told in tiles
        )
        + "</div>"
    )


def _figures(measures: Measures) -> str:
    figures = [
        (
            "Precision and recall",
            precision_recall_figure(measures),
            "Each point of the line is a threshold. Further up and right is better; the dot is the "
            "policy tried.",
        ),
        (
            "Are scores as good as their word?",
            calibration_figure(measures),
            "Transactions of like scores: the share of frauds among them (dot, with a 95% interval) should "
            "lie on the dashed line. Both axes are logarithmic.",
        ),
        (
            "Average precision by day",
            daily_precision_figure(measures),
            "A lasting fall means that fraud has changed, or that labels are missing.",
        ),
        (
            "Alerts by day",
            alerts_figure(measures),
            "Whole bars are alerts, their dark part frauds. Above the dashed line there is more work "
            "than planned.",
        ),
        (
            "Scores of frauds and of genuine transactions",
            histogram_figure(measures),
            "Each class adds up to 100%. What overlaps cannot be told apart by any threshold.",
        ),
        (
            "What more people would find",
            budget_figure(measures),
            "If exactly the highest scores of each day were looked at. Where recall stops rising, more work "
            "finds little more.",
        ),
    ]
    return "".join(
        f"<figure><h3>{title}</h3>{svg}<figcaption>{caption}</figcaption></figure>"
        for title, svg, caption in figures
    )


def _method(result: Result, speed: Speed | None) -> str:
    request, measures = result.request, result.measures
    delay = request.delay
    late = (
        f"{request.labels.path.name}, each at its own time"
        if request.labels is not None
        else f"{delay.transactions:,} transactions later"
        if delay.transactions is not None
        else f"{format_duration(timedelta(seconds=delay.seconds))} after the transaction"
    )
    hours = request.plan.hours
    facts = [
        ("Files", ", ".join(file.path.name for file in request.files)),
        ("Transactions", f"{measures.rows:,}; {result.refused:,} rows were refused as no transaction"),
        ("Tested", f"{measures.test_rows:,} with a known truth, hours {hours[0]} to {hours[1]}"),
        ("Labels", late),
        ("Policy", _policy(request.policy)),
    ]
    if speed is not None:
        told = (
            f"{speed.cpu_us_per_event:.1f} µs of processor time an event for features, score and learning; "
            f"{speed.events_per_second:,.0f} events a second with reading "
            f"({speed.measured_on}, {speed.measured_at:%Y-%m-%d %H:%M} UTC)"
        )
        facts.append(("Speed", told))
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(told)}</dd>" for name, told in facts) + "</dl>"


def _policy(policy: Policy) -> str:
    declined = f"declined from a score of {policy.decline_at:g}"
    if policy.budget is not None:
        told = f"a threshold that holds {policy.budget:,.0f} alerts a day; {declined}"
    elif policy.costs is not None:
        told = "the decision whose expected cost is lowest"
    else:
        told = f"review from a score of {policy.review_at:g}; {declined}"
    return f"{told}; {len(policy.lists)} lists and {len(policy.rules)} rules"


def _date(moment: str) -> str:
    return moment[:16].replace("T", " ")
