"""Tables of challengers."""

from datetime import UTC, datetime, timedelta

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from fraudstream.core.comparison import Comparison, DayPair, Difference, Guard, Verdict, compare, judge
from fraudstream.core.contest_state import ContestState, Kept
from tables.challenger_states import StoredContest

FILE_COLUMNS = 120
"""Width where the output goes to a file or another program."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One day of a comparison."""

    day: str
    settled: bool
    comparison: Comparison


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a challenger stands by the settled days the guard looks at.

    ``taken_back``: a person has gone back from it, so the guard leaves it alone.
    """

    name: str
    served_before: bool
    taken_back: bool
    takes_part: bool
    training_offset: int
    servable: bool
    refusal: str | None
    comparison: Comparison
    verdict: Verdict
    days: tuple[Day, ...]


def standings(stored: StoredContest, guard: Guard, budget: int) -> list[Standing]:
    """Return where every challenger stands, by name."""
    state = stored.state or ContestState()
    return [_standing(stored.challengers[name], state, guard, budget) for name in sorted(stored.challengers)]


def _standing(kept: Kept, state: ContestState, guard: Guard, budget: int) -> Standing:
    days = state.days.get(kept.name, {})
    settled = {day: pair for day, pair in days.items() if day <= state.settled}
    newest = dict(sorted(settled.items())[-guard.days :])
    return Standing(
        name=kept.name,
        served_before=kept.name in state.before,
        taken_back=kept.name in state.taken_back,
        takes_part=not kept.behind,
        training_offset=kept.offset,
        servable=kept.snapshot is not None,
        refusal=kept.refusal,
        comparison=compare(newest, budget),
        verdict=judge(newest, guard, budget, kept.refusal),
        days=tuple(_day(day, pair, day in settled, budget) for day, pair in sorted(days.items())),
    )


def _day(number: int, pair: DayPair, settled: bool, budget: int) -> Day:
    named = (_EPOCH + timedelta(days=number)).date().isoformat()
    return Day(day=named, settled=settled, comparison=compare({number: pair}, budget))


def print_list(stored: StoredContest, found: list[Standing], console: Console | None = None) -> None:
    """Print one line for each challenger."""
    shown = _console(console)
    shown.print(_serving(stored))
    if not found:
        shown.print("No challenger. Declare some in the file that FRAUDSTREAM_CHALLENGERS names.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("challenger", no_wrap=True)
    table.add_column("")
    for name in ("days", "labels", "frauds", "log loss\ndifference", "99 % interval", "average\nprecision"):
        table.add_column(name, justify="right")
    table.add_column("guard")
    for one in found:
        loss, ranked = one.comparison.log_loss, one.comparison.average_precision
        table.add_row(
            one.name,
            _kind(one),
            str(len(one.comparison.days)),
            f"{one.comparison.labels:,}",
            f"{one.comparison.frauds:,}",
            "-" if loss is None else f"{loss.difference:+.6f}",
            _interval(loss),
            "-" if ranked is None else f"{ranked.difference:+.4f}",
            "has earned it" if one.verdict.better else "not",
        )
    shown.print(table)


def print_one(stored: StoredContest, one: Standing, budget: int, console: Console | None = None) -> None:
    """Print everything about one challenger."""
    shown = _console(console)
    shown.print(_serving(stored))
    shown.print(f"{one.name}: {_kind(one)}, has learned up to training offset {one.training_offset}")
    if one.refusal:
        shown.print(one.refusal)
    found = one.comparison
    title = f"{found.labels:,} labels of {len(found.days)} settled days, {found.frauds:,} frauds"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("measure, mean of days", no_wrap=True)
    for name in ("serving", "challenger", "difference", "99 % interval"):
        table.add_column(name, justify="right")
    for name, each in (
        ("log loss", found.log_loss),
        ("average precision", found.average_precision),
        (f"precision of {budget} a day", found.precision_at_budget),
    ):
        if each is not None:
            table.add_row(
                name,
                f"{each.serving:.6f}",
                f"{each.challenger:.6f}",
                f"{each.difference:+.6f}",
                _interval(each),
            )
    shown.print(table)
    for condition in one.verdict.conditions:
        shown.print(f"{'holds    ' if condition.holds else 'holds not'}  {condition.name}: {condition.found}")
    days = Table(title="Days", title_justify="left", box=box.SIMPLE_HEAD)
    days.add_column("day", no_wrap=True)
    for name in (
        "labels",
        "frauds",
        "log loss, serving",
        "challenger",
        "average precision, serving",
        "challenger",
    ):
        days.add_column(name, justify="right")
    for day in one.days:
        loss, ranked = day.comparison.log_loss, day.comparison.average_precision
        days.add_row(
            day.day if day.settled else f"{day.day} (open)",
            f"{day.comparison.labels:,}",
            f"{day.comparison.frauds:,}",
            *(("-", "-") if loss is None else (f"{loss.serving:.6f}", f"{loss.challenger:.6f}")),
            *(("-", "-") if ranked is None else (f"{ranked.serving:.4f}", f"{ranked.challenger:.4f}")),
        )
    shown.print(days)


def _console(console: Console | None) -> Console:
    shown = console or Console(highlight=False)
    if not shown.is_terminal:
        shown.width = FILE_COLUMNS
    return shown


def _serving(stored: StoredContest) -> str:
    state = stored.state or ContestState()
    settled = "none yet"
    if state.settled >= 0:
        settled = (_EPOCH + timedelta(days=state.settled)).date().isoformat()
    before = f"; before it {', '.join(reversed(state.before))}" if state.before else ""
    return (
        f"Serving: {state.serving}, from version {state.since} on{before}. Labels complete until: {settled}."
    )


def _kind(one: Standing) -> str:
    if not one.takes_part:
        return "catching up"
    if one.taken_back:
        return "taken back"
    if one.served_before:
        return "served before"
    return "" if one.servable else "cannot be served"


def _interval(found: Difference | None) -> str:
    if found is None or found.low is None or found.high is None:
        return "-"
    return f"{found.low:+.6f} to {found.high:+.6f}"
