"""``fraudstream drift``: what has changed since the weeks before, and how good the scores are now."""

import asyncio

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from fraudstream.commands.context import pass_settings
from fraudstream.connections import kafka_reading_options
from fraudstream.core.quality import Measured
from fraudstream.core.watch_report import MOST_ROWS, WatchReport, watch_report
from fraudstream.core.watching import (
    LABELS_KEY,
    TRAFFIC_KEY,
    LabelWatch,
    TrafficWatch,
    decode_label_watch,
    decode_traffic_watch,
)
from fraudstream.delivery.logs import LogReader
from fraudstream.settings import Settings
from fraudstream.topic_admin import kafka_admin, require_topics
from fraudstream.topics import Topics

FILE_COLUMNS = 120
"""Width where the output goes to a file or another program."""

_POPULATIONS = {
    "labels": "Where frauds come that scores did not promise (share of labels, of the unexplained loss)",
    "traffic": "All transactions of the last day, against the weeks before (shares)",
    "alerts": "Transactions of the last day that score above 0.5 (shares)",
}

_MEASURES = (
    ("average\nprecision", "average_precision"),
    ("precision\nat budget", "precision_at_budget"),
    ("recall\nat budget", "recall_at_budget"),
    ("precision\nof alerts", "alert_precision"),
    ("log\nloss", "log_loss"),
    ("calibration\nerror", "calibration_error"),
    ("predicted\n/ found", "predicted_over_observed"),
)


@click.group()
def drift() -> None:
    """Tell what has changed, and how good the scores are now."""


@drift.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=MOST_ROWS,
    show_default=True,
    help="Features shown, at most.",
)
@pass_settings
def report(settings: Settings, as_json: bool, rows: int) -> None:
    """Report open alarms, what has moved most, quality and calibration.

    It is what the learning worker published last (FRAUDSTREAM_WATCH_INTERVAL_SECONDS).
    """
    labels, traffic = asyncio.run(_read(settings))
    found = watch_report(labels, traffic, settings.review_budget, rows)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
    else:
        print_report(found)


async def _read(settings: Settings) -> tuple[LabelWatch, TrafficWatch]:
    topic = Topics(settings).model_watch
    async with kafka_admin(settings) as admin:
        await require_topics(admin, [topic], with_config=False)
    labels, traffic = LabelWatch(), TrafficWatch()
    reader = LogReader(kafka_reading_options(settings))
    try:
        bounds = await reader.bounds(topic.name, 0)
        async for record in reader.read(topic.name, 0, bounds.low, bounds.end):
            if record.key == LABELS_KEY and record.value:
                labels = decode_label_watch(record.value)
            elif record.key == TRAFFIC_KEY and record.value:
                traffic = decode_traffic_watch(record.value)
    finally:
        await reader.stop()
    return labels, traffic


def print_report(found: WatchReport, console: Console | None = None) -> None:
    """Print a report, what needs somebody first."""
    shown = console or Console(highlight=False)
    if not shown.is_terminal:
        shown.width = FILE_COLUMNS
    traffic, labels = (
        "none yet" if one is None else f"{one:%Y-%m-%d %H:%M} UTC"
        for one in (found.traffic_until, found.labels_until)
    )
    shown.print(
        f"Transactions until {traffic}, {found.transactions_last_day:,.0f} in the last day;"
        f" labels until {labels}"
    )
    if not found.open_alarms:
        shown.print("No alarm is open.")
    for alarm in found.open_alarms:
        shown.print(
            f"OPEN ALARM {alarm.detector} since {alarm.raised_at:%Y-%m-%d %H:%M} UTC:"
            f" {alarm.before:.4g} before, {alarm.after:.4g} after"
        )
    for population, title in _POPULATIONS.items():
        rows = [one for one in found.moved if one.population == population]
        if rows:
            table = Table(
                "feature or segment", "about", "value", title=title, title_justify="left", box=box.SIMPLE_HEAD
            )
            for name in ("usual deviations", "before", "after"):
                table.add_column(name, justify="right")
            for one in rows:
                after = f"{one.after:.0f} frauds" if one.after > 1.0 else f"{one.after:.2%}"
                table.add_row(
                    one.aspect, one.family, one.value, f"{one.surprise:.1f}", f"{one.before:.2%}", after
                )
            shown.print(table)
    shown.print(_quality(found))
    if found.reliability:
        table = Table(title="Calibration by score", title_justify="left", box=box.SIMPLE_HEAD)
        for name in ("score from", "to", "labels", "predicted", "found"):
            table.add_column(name, justify="right")
        for row in found.reliability:
            table.add_row(
                f"{row.score_from:.4f}",
                f"{row.score_to:.4f}",
                f"{row.labels:,.0f}",
                f"{row.predicted:.4f}",
                f"{row.observed:.4f}",
            )
        shown.print(table)


def _quality(found: WatchReport) -> Table:
    title = "Quality by the labels of the last weeks"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("scores of", no_wrap=True)
    table.add_column("labels", justify="right")
    table.add_column("frauds", justify="right")
    for name, _ in _MEASURES:
        table.add_column(name, justify="right")
    table.add_row("all", *_cells(found.quality))
    for row in found.by_segment:
        table.add_row(f"{row.segment} {row.value}", *_cells(row.measured))
    return table


def _cells(measured: Measured) -> list[str]:
    numbers = [getattr(measured, field) for _, field in _MEASURES]
    return [
        f"{measured.labels:,.0f}",
        f"{measured.frauds:,.0f}",
        *("-" if number is None else f"{number:.4f}" for number in numbers),
    ]
