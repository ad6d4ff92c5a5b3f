"""A backtest as one page that needs nothing else: no script, no server, no network."""

from collections.abc import Iterable, Sequence
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
from fraudstream.commands.backtest_style import STYLE
from fraudstream.commands.backtest_table import money, number
from fraudstream.core.backtest import Mistake
from fraudstream.core.backtest_measures import Measures
from fraudstream.core.policy import Policy
from fraudstream.durations import format_duration


def write_page(result: Result) -> str:
    """Return the page. The same result gives the same page."""
    measures = result.measures
    body = [
        "<h1>Backtest</h1>",
        f"<p>{_in_words(measures)}</p>",
        _tiles(result),
        "<h2>How good, how often, how sure</h2>",
        f'<div class="figures">{_figures(measures)}</div>',
        "<h2>Money</h2>",
        _money(measures),
        *_rivals(result),
        "<h2>By segment</h2>",
        "<p>Predicted is the mean score, observed the share of frauds: where they lie far apart, scores of "
        "that segment should not be taken at their word. Only the largest values are shown.</p>",
        _segments(measures),
        "<h2>Worst misses</h2>",
        "<p>Frauds that were approved, the most confident mistakes first. Reasons are relative to a typical "
        "transaction: + speaks for fraud, &minus; against it, in log odds.</p>",
        _mistakes(measures.missed_frauds),
        "<h2>Worst false alarms</h2>",
        "<p>Genuine transactions that would have gone to review or been declined, highest scores first.</p>",
        _mistakes(measures.false_alarms),
        "<h2>How this was measured</h2>",
        _method(result),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>fraudstream backtest</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _in_words(measures: Measures) -> str:
    found = (
        "" if measures.recall is None else f"{measures.recall:.0%} of the frauds would have been alerted; "
    )
    right = (
        "there would have been no alert."
        if measures.precision is None
        else f"{measures.precision:.0%} of {measures.alerts:,} alerts would have been fraud."
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
        ("Average precision", number(measures.average_precision), "1 ranks every fraud first"),
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


def _table(headings: Sequence[str], rows: Iterable[str], left: int) -> str:
    head = "".join(
        f'<th class="left">{escape(name)}</th>' if at < left else f"<th>{escape(name)}</th>"
        for at, name in enumerate(headings)
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _cells(values: Sequence[str], left: int) -> str:
    return "".join(
        f'<td class="left">{escape(value)}</td>' if at < left else f"<td>{escape(value)}</td>"
        for at, value in enumerate(values)
    )


def _money(measures: Measures) -> str:
    rows = []
    for saving in measures.savings:
        amounts = (
            saving.without_minor,
            saving.with_minor,
            saving.review_minor,
            saving.declined_minor,
            saving.saved_minor,
        )
        name = saving.currency or "no currency"
        rows.append(f"<tr>{_cells([name, *(money(one, saving.currency) for one in amounts)], 1)}</tr>")
    headings = ("Currency", "Losses without", "Losses with", "of them reviews", "wrong declines", "Saved")
    return (
        "<p>What approving everything would have cost, and what these decisions cost, by the cost table "
        "tried; in major units.</p>" + _table(headings, rows, 1)
    )


def _rivals(result: Result) -> list[str]:
    measures = result.measures
    if not measures.challengers:
        return []
    rows = [
        f"<tr>{_cells([name, *values], 1)}</tr>"
        for name, values in [
            (
                name,
                [
                    number(model.average_precision),
                    number(model.roc_auc),
                    number(model.log_loss),
                    number(model.calibration_error),
                    number(model.card_precision_at_100),
                    number(model.precision_at_budget),
                    number(model.recall_at_budget),
                ],
            )
            for name, model in [("fraudstream", measures), *((one.name, one) for one in measures.challengers)]
        ]
    ]
    headings = (
        *("Model", "Average precision", "ROC AUC", "Log loss", "Calibration error", "Card precision at 100"),
        *("Precision at budget", "Recall at budget"),
    )
    return [
        "<h2>Challengers</h2>",
        "<p>The same features, transactions, labels and times.</p>",
        _table(headings, rows, 1),
    ]


def _segments(measures: Measures) -> str:
    rows, last = [], ""
    for row in measures.by_segment:
        cells = [
            "" if row.segment == last else row.segment.replace("_", " "),
            row.value or "unknown",
            f"{row.transactions:,}",
            f"{row.frauds:,}",
            number(row.average_precision, 3),
            f"{row.predicted:.2%}",
            f"{row.observed:.2%}",
            f"{row.alerts:,}",
            "-" if row.precision is None else f"{row.precision:.0%}",
            "-" if row.recall is None else f"{row.recall:.0%}",
        ]
        first = ' class="first"' if last and row.segment != last else ""
        rows.append(f"<tr{first}>{_cells(cells, 2)}</tr>")
        last = row.segment
    headings = (
        *("Segment", "Value", "Transactions", "Frauds", "Average precision", "Predicted", "Observed"),
        *("Alerts", "Precision", "Recall"),
    )
    return _table(headings, rows, 2)


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    if not mistakes:
        return "<p>None.</p>"
    rows = []
    for one in mistakes:
        amount = "" if one.amount_minor is None else money(one.amount_minor, one.currency or "")
        reasons = "<br>".join(
            f'<span class="{"for" if r.contribution > 0 else "against"}">'
            f"{'+' if r.contribution > 0 else '&minus;'}{abs(r.contribution):.1f}</span> {escape(r.text)}"
            for r in one.reasons
        )
        cells = _cells(
            [
                one.event_time.strftime("%Y-%m-%d %H:%M"),
                one.transaction_id,
                one.card_id or "",
                one.terminal_id or "",
            ],
            4,
        )
        rows.append(
            f"<tr>{cells}<td>{amount} {escape(one.currency or '')}</td><td>{one.score:.2%}</td>"
            f'<td class="left">{one.decision.value}</td>'
            f'<td class="reasons">{reasons or "nothing stands out"}</td></tr>'
        )
    headings = ("Event time", "Transaction", "Card", "Terminal", "Amount", "Score", "Decision", "Reasons")
    return (
        _table(headings, rows, 4)
        .replace("<th>Decision", '<th class="left">Decision')
        .replace("<th>Reasons", '<th class="left">Reasons')
    )


def _method(result: Result) -> str:
    request, measures = result.request, result.measures
    delay = request.delay
    late = (
        f"{delay.transactions:,} transactions later"
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
        (
            "Speed",
            f"{result.cpu_us_per_event:.1f} µs of processor time an event for features, score and learning; "
            f"{result.events_per_second:,.0f} events a second with reading",
        ),
    ]
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
