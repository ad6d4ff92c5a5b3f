"""What a person sees of a demo: a live page on a terminal, lines anywhere else."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fraudstream.commands.demo_state import LATEST, DemoState, ShownAlert
from fraudstream.core.currencies import minor_unit_exponent
from fraudstream.simulation.presets import DEMO_SPEEDUP

ALERTS_SHOWN = 12

LINE_EVERY_SECONDS = 2.0
"""How often plain output gets a line: a minute fits on a screen."""

ALERT_LINES_EVERY_TIME = 2
"""Alerts told with each of those lines at most: enough to see reasons, few enough to read."""

BARS = "▁▂▃▄▅▆▇█"


def amount_text(alert: ShownAlert) -> str:
    """Return an alert's amount in major units with its currency; empty when it has none."""
    seen = alert.seen.transaction
    if seen.amount_minor is None:
        return ""
    digits = minor_unit_exponent(seen.currency or "")
    return f"{seen.amount_minor / 10**digits:,.{digits}f} {seen.currency or ''}".rstrip()


def reasons_text(alert: ShownAlert) -> str:
    """Return in words what spoke for fraud; if only rules did, what the score rests on."""
    reasons = alert.seen.reasons
    speaking = [reason.text for reason in reasons if reason.contribution > 0] or [one.text for one in reasons]
    return "; ".join(speaking)


def truth_text(alert: ShownAlert) -> str:
    """Return what the simulator knows of the transaction."""
    return alert.truth.value if alert.truth else "unknown"


def share_text(value: float | None) -> str:
    """Return a share with two decimals, or `none`.

    >>> share_text(0.7512), share_text(None)
    ('0.75', 'none')
    """
    return "none" if value is None else f"{value:.2f}"


def trend_text(values: list[float]) -> str:
    """Draw values between 0 and 1 as bars.

    >>> trend_text([0.0, 0.5, 1.0])
    '▁▅█'
    """
    return "".join(BARS[min(int(value * len(BARS)), len(BARS) - 1)] for value in values)


def model_text(state: DemoState) -> str:
    """Return version and age of the newest model, in words."""
    if state.model_seen_at is None:
        return "none yet: scored by the prior until the first labels come"
    return f"version {state.model_version:,}, {max(state.monotonic() - state.model_seen_at, 0):.1f} s old"


class LivePage:
    """A page that redraws itself on a terminal. Use as a context; the last page stays when it ends."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._stage = ""

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def stage(self, text: str) -> None:
        """Show what is being done above the numbers."""
        self._stage = text
        self._live.update(Text(text), refresh=True)

    def refresh(self, state: DemoState) -> None:
        """Redraw the page."""
        self._live.update(page(state, self._stage), refresh=True)


def page(state: DemoState, stage: str) -> RenderableType:
    """Return the whole page."""
    clock = f"{state.world_clock:%a %d %b %H:%M}" if state.world_clock else ""
    head = Text.assemble(
        ("fraudstream demo", "bold"),
        f"   {state.elapsed:.0f} s   event time {clock} (a second is {DEMO_SPEEDUP // 60} minutes)\n",
        (stage, "dim"),
    )
    letter = Text(
        f"newest dead letter: {state.newest_dead_letter or 'none'}", overflow="ellipsis", no_wrap=True
    )
    return Group(head, _flow_table(state), letter, _model_table(state), _alert_table(state))


def _grid(*columns: tuple[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    for name, _ in columns:
        table.add_column(name, justify="right")
    table.add_row(*(value for _, value in columns))
    return table


def _flow_table(state: DemoState) -> Table:
    return _grid(
        ("sent", f"{state.sent:,}"),
        ("a second", f"{state.rate:,.0f}"),
        ("classified", f"{state.classified:,}"),
        ("archived", f"{state.archived:,}"),
        ("counted", f"{state.counted:,}"),
        ("windows", f"{state.windows:,}"),
        ("dead letters", f"{state.dead_lettered:,}"),
        ("alerts", f"{state.alerts:,}"),
    )


def _model_table(state: DemoState) -> Table:
    quality = state.latest_quality()
    return _grid(
        ("model", model_text(state)),
        ("labels sent", f"{state.labels_sent:,}"),
        ("learned", f"{state.learned:,}"),
        (f"average precision, last {LATEST:,}", share_text(quality.average_precision)),
        ("so far", trend_text(list(state.trend))),
        ("alerts that are fraud", share_text(quality.precision)),
        ("frauds alerted", share_text(quality.recall)),
    )


def _alert_table(state: DemoState) -> Table:
    table = Table(
        title="newest alerts", title_justify="left", box=box.SIMPLE_HEAD, expand=True, pad_edge=False
    )
    for name in ("event time", "amount", "score", "decision", "truth"):
        table.add_column(name, no_wrap=True, justify="right" if name in {"amount", "score"} else "left")
    table.add_column("why", ratio=1, no_wrap=True, overflow="ellipsis")
    for alert in list(state.newest)[: -ALERTS_SHOWN - 1 : -1]:
        seen = alert.seen
        table.add_row(
            f"{seen.event_time:%a %H:%M}",
            amount_text(alert),
            f"{seen.score:.2f}",
            seen.decision.value,
            truth_text(alert),
            reasons_text(alert),
        )
    return table


class PlainLines:
    """Writes a line every two seconds, and the newest alerts with it."""

    def __init__(self, out: TextIO, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._monotonic = monotonic
        self._last = float("-inf")
        self._told: ShownAlert | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def stage(self, text: str) -> None:
        """Write what is being done."""
        self._write(text)

    def refresh(self, state: DemoState) -> None:
        """Write a line if it is time for one."""
        if not state.sent or self._monotonic() - self._last < LINE_EVERY_SECONDS:
            return
        self._last = self._monotonic()
        quality = state.latest_quality()
        self._write(
            f"{state.elapsed:5.0f} s  sent {state.sent:,} ({state.rate:,.0f} a second)  "
            f"classified {state.classified:,}  archived {state.archived:,}  counted {state.counted:,}  "
            f"dead letters {state.dead_lettered:,}  alerts {state.alerts:,}\n"
            f"         model {model_text(state)}, {state.learned:,} labels learned, "
            f"average precision {share_text(quality.average_precision)}"
        )
        fresh = list(state.newest)[-ALERT_LINES_EVERY_TIME:]
        if self._told in fresh:
            fresh = fresh[fresh.index(self._told) + 1 :]
        for alert in fresh:
            self._told = alert
            seen = alert.seen
            self._write(
                f"         {seen.decision.value} {amount_text(alert)} of {seen.transaction.card_id} at "
                f"{seen.transaction.terminal_id}, score {seen.score:.2f}, truth {truth_text(alert)}: "
                f"{reasons_text(alert)}"
            )

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()
