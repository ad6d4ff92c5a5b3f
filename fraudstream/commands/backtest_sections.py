"""The tables of a backtest's page."""

from collections.abc import Iterable, Sequence
from html import escape

from fraudstream.commands.backtest_run import Result
from fraudstream.commands.backtest_table import money, number
from fraudstream.core.backtest_entries import Mistake
from fraudstream.core.backtest_measures import Measures


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


def money_section(measures: Measures, *, plain: bool) -> str:
    """Return what the decisions saved; ``plain`` where no cost table was given."""
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
        "<p>What approving everything would have cost, and what these decisions cost, by "
        + ("the amounts of frauds alone: no cost table was given" if plain else "the cost table tried")
        + "; in major units.</p>"
        + _table(headings, rows, 1)
    )


def rivals_section(result: Result) -> list[str]:
    """Return how challengers compare; nothing without any."""
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


def segments_section(measures: Measures) -> str:
    """Return the measures of each value of each segment."""
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


def mistakes_section(mistakes: Sequence[Mistake]) -> str:
    """Return mistakes with their reasons in words."""
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
