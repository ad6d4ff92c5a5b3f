"""``fraudstream replay``: history into the stream, as its producer would send it, and the truth later."""

import asyncio
import time
from pathlib import Path

import click

from fraudstream.commands.context import pass_settings
from fraudstream.commands.replay_labels import AT_ONCE, Delay, LateLabels, parse_delay
from fraudstream.commands.replay_rows import Format, ReplayFile
from fraudstream.commands.replay_run import Plan, Tally, run_replay
from fraudstream.core.wire_formats import load_wire_formats
from fraudstream.errors import InvalidInput
from fraudstream.settings import Settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _DelayType(click.ParamType):
    name = "delay"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Delay:
        try:
            return parse_delay(str(value))
        except InvalidInput as exc:
            self.fail(str(exc), param, ctx)


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
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Transactions a second; without it as fast as they are taken.",
)
@click.option(
    "--labels-after",
    type=_DelayType(),
    metavar="DELAY",
    help="Send each row's label so much later: event time (7d, 12h) or rows (5000rows). Default: send none.",
)
@click.option(
    "--labels-at-end", is_flag=True, help="Send the labels that are not due yet after the last row."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Send at most so many rows.")
@click.option(
    "--from-row",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Begin at this row; 1 is the first.",
)
@click.option(
    "--wait-for-learner",
    is_flag=True,
    help="Send labels in batches and go on when the model has learned them: every run scores alike.",
)
@click.option(
    "--label-batch",
    type=_DelayType(),
    metavar="STEP",
    help="Event time or rows between those batches (default 1d, or 1000rows).",
)
@pass_settings
def replay(  # noqa: PLR0913 - one parameter for each option
    settings: Settings,
    *,
    files: tuple[Path, ...],
    kind: str,
    rate: float | None,
    labels_after: Delay | None,
    labels_at_end: bool,
    limit: int | None,
    from_row: int,
    wait_for_learner: bool,
    label_batch: Delay | None,
) -> None:
    """Send the rows of files as transactions, and their labels later.

    Each row becomes the message its original producer would send, with the key it would have. Rows whose
    values make no transaction are sent all the same: the stream sets them aside with a reason.
    """
    labels = _labels(labels_after, wait_for_learner, label_batch)
    if labels is None and (labels_at_end or wait_for_learner):
        msg = "give --labels-after too: without it no labels are sent"
        raise InvalidInput(msg)
    key = settings.card_hash_key.get_secret_value().encode() if settings.card_hash_key else None
    formats = load_wire_formats(settings.wire_formats, card_hash_key=key)
    plan = Plan(
        files=[ReplayFile(path, Format(kind), formats, with_labels=labels is not None) for path in files],
        rate=rate,
        first_row=from_row,
        limit=limit,
        labels=labels,
        labels_at_end=labels_at_end,
        in_order=wait_for_learner,
    )
    tally, started = Tally(), time.monotonic()
    try:
        asyncio.run(run_replay(settings, plan, tally))
    finally:
        click.echo(_summary(plan, tally, time.monotonic() - started))


def _labels(delay: Delay | None, wait_for_learner: bool, batch: Delay | None) -> LateLabels | None:
    if batch and not wait_for_learner:
        msg = "--label-batch goes together with --wait-for-learner"
        raise InvalidInput(msg)
    if delay is None:
        return None
    if not wait_for_learner:
        return LateLabels(delay, AT_ONCE)
    return LateLabels(delay, batch or parse_delay("1000rows" if delay.time is None else "1d"))


def _summary(plan: Plan, tally: Tally, seconds: float) -> str:
    rate = tally.transactions / seconds if seconds else 0.0
    text = f"sent {tally.transactions} transactions in {seconds:.1f} s ({rate:.0f}/s)"
    if plan.labels is not None:
        text += f", {tally.labels} labels; {len(plan.labels)} labels were not due yet"
    return text
