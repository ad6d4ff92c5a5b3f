"""``fraudstream backtest``: what this system would have done on history, with labels as late as they were."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from fraudstream.commands.backtest_challengers import load_challenger
from fraudstream.commands.backtest_costs import read_costs
from fraudstream.commands.backtest_labels import LabelFile
from fraudstream.commands.backtest_page import write_page
from fraudstream.commands.backtest_result import result_json
from fraudstream.commands.backtest_run import Request, Result, run_backtest
from fraudstream.commands.backtest_scores import writing_scores
from fraudstream.commands.backtest_speed import Speed, Told, keep_speed, kept_speed
from fraudstream.commands.backtest_table import print_tables
from fraudstream.commands.context import pass_settings
from fraudstream.commands.replay_labels import parse_delay
from fraudstream.commands.replay_rows import Format, ReplayFile
from fraudstream.core.backtest_measures import Plan, TestFrom
from fraudstream.core.cost import AMOUNTS_ONLY
from fraudstream.core.label_delay import LabelDelay
from fraudstream.core.policy import Policy
from fraudstream.core.policy_file import load_policy
from fraudstream.core.segments import SEGMENTS
from fraudstream.core.wire_formats import load_wire_formats
from fraudstream.errors import InvalidInput
from fraudstream.settings import Settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)

DEFAULT_SEGMENTS = ("amount", "part_of_day", "entry_mode", "card_type", "merchant_group")
"""Segments shown unless others are asked for, where the file has them."""


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=_FILE)
@click.option(
    "--format",
    "kind",
    type=click.Choice([kind.value for kind in Format]),
    required=True,
    help="What the files hold.",
)
@click.option(
    "--label-delay",
    show_default="7d",
    metavar="DELAY",
    help="How late each label comes: event time (7d, 12h) or rows (5000rows).",
)
@click.option(
    "--labels",
    "label_file",
    type=_FILE,
    help="Labels as the topic takes them, JSON lines: each comes at its own time, in place of --label-delay.",
)
@click.option(
    "--label-batch",
    default=None,
    metavar="STEP",
    help="Labels come together at each multiple of this event time, as a waiting replay sends them.",
)
@click.option(
    "--test-from",
    default="50%",
    show_default=True,
    metavar="START",
    help="Measure from here on: a share of the rows (50%), a date (2018-05-16) or a row number.",
)
@click.option(
    "--test-hours",
    default="0-24",
    show_default=True,
    metavar="FROM-TO",
    help="Measure only these hours of day, the second one not included: 7-24 is daytime.",
)
@click.option("--policy", "policy_file", type=_FILE, help="Thresholds and rules, TOML or JSON.")
@click.option("--cost-table", type=_FILE, help="What mistakes and reviews cost, TOML or JSON.")
@click.option(
    "--challenger",
    "challengers",
    multiple=True,
    metavar="PATH:NAME",
    help="Any River estimator by import path, tried on the same features and labels. Repeatable.",
)
@click.option(
    "--segment",
    "segments",
    multiple=True,
    type=click.Choice(SEGMENTS),
    metavar="FIELD",
    help=f"Measure by this field too: {', '.join(SEGMENTS)}. Repeatable.",
)
@click.option("--review-budget", type=click.IntRange(1), metavar="N", help="Alerts a day (default: setting).")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    metavar="N",
    help="Partitions of the topic played.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Take at most so many rows.")
@click.option("--report", type=_OUT, metavar="FILE.html", help="Write a page with plots.")
@click.option("--json", "json_file", type=_OUT, metavar="FILE", help="Write every number.")
@click.option(
    "--scores", "scores_file", type=_OUT, metavar="FILE.csv", help="Write the score of every transaction."
)
@click.option(
    "--speed",
    type=click.Choice([told.value for told in Told]),
    default=Told.KEPT.value,
    show_default=True,
    help="Speeds in JSON and page: those first measured with this result, code and machine, so that two runs "
    "write the same bytes; new ones, kept from then on; or none.",
)
@pass_settings
def backtest(  # noqa: PLR0913 - one parameter for each option
    settings: Settings,
    *,
    files: tuple[Path, ...],
    kind: str,
    label_delay: str | None,
    label_file: Path | None,
    label_batch: str | None,
    test_from: str,
    test_hours: str,
    policy_file: Path | None,
    cost_table: Path | None,
    challengers: tuple[str, ...],
    segments: tuple[str, ...],
    review_budget: int | None,
    partitions: int,
    limit: int | None,
    report: Path | None,
    json_file: Path | None,
    scores_file: Path | None,
    speed: str,
) -> None:
    """Tell what this system would have done on history.

    Several files are one stream in order of event time. Each transaction is scored by the stream's own code
    before its label is learned, and labels come as late as --label-delay says. A row whose LABELLED column
    is 0 is scored and measured, but its label never comes.
    """
    for path in (json_file, report):
        _check_writable(path)
    if label_file is not None and (label_delay is not None or label_batch is not None):
        fault = (
            "labels of --labels come at their own times: neither --label-delay nor --label-batch goes with it"
        )
        raise InvalidInput(fault)
    key = settings.card_hash_key.get_secret_value().encode() if settings.card_hash_key else None
    formats = load_wire_formats(settings.wire_formats, card_hash_key=key)
    request = Request(
        files=[ReplayFile(path, Format(kind), formats, with_labels=True) for path in files],
        kind=Format(kind),
        formats=formats,
        delay=_delay(label_delay or "7d", label_batch),
        labels=LabelFile(label_file) if label_file else None,
        partitions=partitions,
        policy=_policy(settings, policy_file, review_budget),
        rivals=[load_challenger(path) for path in challengers],
        segments=tuple(dict.fromkeys((*DEFAULT_SEGMENTS, *segments))),
        limit=limit,
        plan=Plan(
            test_from=parse_test_from(test_from),
            hours=parse_hours(test_hours),
            review_budget=review_budget or settings.review_budget,
            costs=read_costs(cost_table) if cost_table else AMOUNTS_ONLY,
        ),
    )
    if scores_file is None:
        result = run_backtest(request)
    else:
        with writing_scores(scores_file) as write:
            result = run_backtest(request, write)
    if json_file is not None or report is not None:
        told = _speed(result, Told(speed))
        if json_file is not None:
            _write(json_file, result_json(result, told))
        if report is not None:
            _write(report, write_page(result, told).encode())
    print_tables(result)


def _speed(result: Result, told: Told) -> Speed | None:
    """Return the speed that files tell: the result without any names it."""
    if told is Told.NONE:
        return None
    named = result_json(result, None)
    if told is Told.KEPT:
        return kept_speed(result.speed, named)
    keep_speed(result.speed, named)
    return result.speed


def _policy(settings: Settings, file: Path | None, budget: int | None) -> Policy:
    """Return the policy given, or that of the settings; a budget given replaces the policy's own."""
    if file is None:
        file = settings.policy
    if file is not None:
        policy = load_policy(file)
    else:
        kept = float(settings.review_budget) if settings.review_by == "budget" else None
        policy = Policy(review_at=settings.review_at, decline_at=settings.decline_at, budget=kept)
    if budget is None or policy.budget is None:
        return policy
    return msgspec.structs.replace(policy, budget=float(budget))


def _delay(text: str, batch: str | None) -> LabelDelay:
    delay = parse_delay(text)
    step = None if batch is None else parse_delay(batch).time
    if batch is not None and (step is None or delay.time is None):
        fault = "--label-batch is a length of event time, and goes with a --label-delay of one"
        raise InvalidInput(fault)
    if delay.time is None:
        return LabelDelay(transactions=delay.rows)
    seconds = delay.time.total_seconds()
    return LabelDelay(seconds=seconds, batch_seconds=step.total_seconds() if step else 0.0)


def parse_test_from(text: str) -> TestFrom:
    """Read where the test part begins: ``50%``, a date or time (UTC unless it says otherwise), or a row.

    Raises
    ------
    InvalidInput
        When it is none of them.

    Examples
    --------
    >>> parse_test_from("50%").share, parse_test_from("1000").row
    (0.5, 1000)
    >>> parse_test_from("2018-05-16").time
    datetime.datetime(2018, 5, 16, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text):
        share = float(found[1]) / 100.0
        if share < 1.0:
            return TestFrom(share=share)
    elif re.fullmatch(r"\s*\d{1,7}\s*|\s*\d{9,}\s*", text):
        return TestFrom(row=int(text))
    else:
        try:
            moment = datetime.fromisoformat(text.strip())
            return TestFrom(time=moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        except ValueError:
            pass
    fault = f"expected a share below 100 % such as 50%, a date such as 2018-05-16 or a row, got {text!r}"
    raise InvalidInput(fault)


def parse_hours(text: str) -> tuple[int, int]:
    """Read hours of day, the second not included.

    >>> parse_hours("7-24")
    (7, 24)
    """
    found = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", text)
    if found and 0 <= int(found[1]) < int(found[2]) <= 24:
        return int(found[1]), int(found[2])
    fault = f"expected hours of day such as 7-24, got {text!r}"
    raise InvalidInput(fault)


def _check_writable(path: Path | None) -> None:
    """Refuse a file that cannot be written before the work is done, not after."""
    if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
        fault = f"{path}: cannot be written: no such folder, or no right to"
        raise InvalidInput(fault)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        fault = f"{path}: cannot be written: {error.strerror or error}"
        raise InvalidInput(fault) from error
