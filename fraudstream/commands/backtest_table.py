"""The numbers of a backtest as tables on a terminal."""

from rich import box
from rich.console import Console
from rich.table import Table

from fraudstream.commands.backtest_run import Result
from fraudstream.core.backtest_measures import Quality
from fraudstream.core.currencies import minor_units_per_major

MOST_MISTAKES = 3
"""Mistakes of each kind shown on a terminal; the JSON and the page have more."""

FILE_COLUMNS = 120
"""Width where the output goes to a file or another program."""


def print_tables(result: Result, console: Console | None = None) -> None:
    """Print what a backtest measured, the most important first."""
    shown = console or Console(highlight=False)
    if not shown.is_terminal:
        shown.width = FILE_COLUMNS
    measures = result.measures
    shown.print(_summary(result))
    shown.print(_qualities(result))
    shown.print(_segments(result))
    for saving in measures.savings:
        without, with_it, saved = (
            money(minor, saving.currency)
            for minor in (saving.without_minor, saving.with_minor, saving.saved_minor)
        )
        shown.print(
            f"Money ({saving.currency or 'no currency'}): losses of {without} without a system, {with_it} "
            f"with this one: {saved} saved"
        )
    for title, mistakes in (
        ("Frauds approved with the lowest scores", measures.missed_frauds),
        ("Genuine transactions alerted with the highest scores", measures.false_alarms),
    ):
        if mistakes:
            shown.print(f"\n{title}:")
        for one in mistakes[:MOST_MISTAKES]:
            amount = "" if one.amount_minor is None else money(one.amount_minor, one.currency or "")
            told = "; ".join(reason.text for reason in one.reasons) or "nothing stands out"
            when = one.event_time.strftime("%Y-%m-%d %H:%M")
            shown.print(f"  {one.score:.4f}  {when}  {one.transaction_id}  {amount}: {told}", markup=False)
    for fault in result.faults:
        shown.print(f"refused: {fault}", markup=False)


def _summary(result: Result) -> str:
    measures = result.measures
    refused = f" ({result.refused:,} more were refused)" if result.refused else ""
    return (
        f"{measures.rows:,} transactions{refused}, tested on {measures.test_rows:,} of them from "
        f"{measures.test_first} to {measures.test_last}, {measures.test_frauds:,} frauds"
    )


def _qualities(result: Result) -> Table:
    measures = result.measures
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("fraudstream", justify="right")
    for rival in measures.challengers:
        table.add_column(rival.name, justify="right")
    models: list[Quality] = [measures, *measures.challengers]
    for label, name in (
        ("average precision", "average_precision"),
        ("ROC AUC", "roc_auc"),
        ("log loss", "log_loss"),
        ("calibration error", "calibration_error"),
        ("card precision at 100", "card_precision_at_100"),
        (f"precision at {measures.review_budget} a day", "precision_at_budget"),
        (f"recall at {measures.review_budget} a day", "recall_at_budget"),
    ):
        table.add_row(label, *(number(getattr(model, name)) for model in models))
    speeds = (result.speed.cpu_us_per_event, *result.speed.challengers_cpu_us)
    table.add_row("CPU µs per event", *(number(speed, 1) for speed in speeds))
    table.add_section()
    table.add_row("alerts a day", f"{measures.alerts_per_day:.1f}")
    table.add_row("reviewed or declined: precision", number(measures.precision))
    table.add_row("reviewed or declined: recall", number(measures.recall))
    table.add_row("events a second, all in", f"{result.speed.events_per_second:,.0f}")
    return table


def _segments(result: Result) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("segment", "value"):
        table.add_column(heading, no_wrap=True)
    for heading in ("transactions", "frauds", "average precision", "predicted", "observed", "recall"):
        table.add_column(heading, justify="right")
    last = None
    for row in result.measures.by_segment:
        if last is not None and row.segment != last:
            table.add_section()
        table.add_row(
            "" if row.segment == last else row.segment,
            row.value or "unknown",
            f"{row.transactions:,}",
            f"{row.frauds:,}",
            number(row.average_precision),
            f"{row.predicted:.2%}",
            f"{row.observed:.2%}",
            number(row.recall),
        )
        last = row.segment
    return table


def number(value: float | None, digits: int = 4) -> str:
    """Return a measure as people read it, a dash where it cannot be computed.

    >>> number(0.81284), number(None)
    ('0.8128', '-')
    """
    return "-" if value is None else f"{value:.{digits}f}"


def money(minor: int, currency: str) -> str:
    """Return an amount in major units, rounded to whole ones from a thousand on.

    >>> money(1_250, "GBP"), money(1_250_000, "JPY")
    ('12.50', '1,250,000')
    """
    amount = minor / (minor_units_per_major(currency) if currency else 100)
    return f"{amount:,.0f}" if abs(amount) >= 1000 else f"{amount:,.2f}"
