"""Model versions as people read them."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from fraudstream.core.model_difference import ModelDifference
from fraudstream.core.registry import Demote, Entry, LeftOut, ModelCommand, Promote, Refusal, Rollback

COLUMNS = 118


def entries_table(found: Sequence[Entry | Refusal]) -> str:
    """Return versions and refused commands as a table."""
    if not found:
        return "no model version was published yet"
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("version", "from", "offset", "learned"):
        table.add_column(name, justify="right")
    table.add_column("published, UTC")
    table.add_column("log loss", justify="right")
    table.add_column("predicted / found", justify="right")
    table.add_column("kept")
    table.add_column("code")
    told = []
    for one in found:
        if isinstance(one, Refusal):
            told.append(f"refused: {command_text(one.command)}: {one.reason}")
            continue
        if one.command is not None:
            told.append(f"version {one.version}: {command_text(one.command)}")
        recent = one.recent
        table.add_row(
            str(one.version),
            str(one.parent or "-"),
            f"{one.training_offset:,}",
            f"{one.learned:,}",
            f"{one.created_at:%Y-%m-%d %H:%M:%S}",
            f"{recent.log_loss:.4f}" if recent.labels else "-",
            f"{recent.predicted / recent.observed:.2f}" if recent.observed else "-",
            "whole" if one.is_kept else "",
            one.code,
        )
    return "\n".join([_printed(table), *told])


def command_text(command: ModelCommand) -> str:
    """Return what was asked for, by whom and why, in one line."""
    if isinstance(command, Rollback):
        what = f"rollback to {command.version}"
    elif isinstance(command, Promote):
        what = f"promote {command.model}"
    elif isinstance(command, Demote):
        what = f"go back to {command.model}"
    else:
        what = "relearn"
        if command.until is not None:
            what += f" until {command.until}"
        if command.without:
            what += f" without {', '.join(command.without)}"
        if command.since:
            what += f" since {command.since}"
    return f"{what} ({command.by}: {command.reason})"


def entry_text(entry: Entry, left_out: Sequence[LeftOut]) -> str:
    """Return one version, a line for each thing known of it."""
    recent = entry.recent
    lines = {
        "version": str(entry.version),
        "published": f"{entry.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "goes on from": f"version {entry.parent}" if entry.parent else "nothing",
        "model": entry.design,
        "training offset": f"{entry.training_offset:,}",
        "learned": f"{entry.learned:,} examples",
        "left out": "; ".join(map(_left_out_text, left_out)) or "nothing",
        "kept": "whole" if entry.is_kept else f"rebuilt from {_base_text(entry)} when it is needed",
        "code": entry.code,
    }
    if recent.labels:
        lines["last labels"] = (
            f"{recent.labels:,}: log loss {recent.log_loss:.4f}, fraud rate predicted {recent.predicted:.4%},"
            f" found {recent.observed:.4%}"
        )
    if entry.command is not None:
        lines["asked for"] = command_text(entry.command)
    return "\n".join(f"{name + ':':17}{value}" for name, value in lines.items())


def _base_text(entry: Entry) -> str:
    return f"version {entry.base}, kept whole," if entry.kept_at >= 0 else "nothing, by all examples,"


def _left_out_text(part: LeftOut) -> str:
    whose = f" of {', '.join(part.sources)}" if part.sources else ""
    return f"examples{whose} from offset {part.after + 1} to {part.until}"


def difference_text(before: int, after: int, found: ModelDifference) -> str:
    """Return how two versions differ."""
    lines = [
        f"from version {before} to {after}: {found.learned:+,} examples learned,"
        f" {found.labels:+,} labels counted, {found.frauds:+,} frauds among them",
        f"intercept {found.intercept:+.6f} log odds; the risk of {found.terminals:,} terminals differs",
    ]
    if found.is_none:
        return "\n".join([*lines, "both score every transaction alike, to the last bit"])
    probes = Table("probes", title="Mean log odds of the probes", title_justify="left", box=box.SIMPLE_HEAD)
    probes.add_column("before", justify="right")
    probes.add_column("after", justify="right")
    for kind, (old, new) in found.probes.items():
        probes.add_row(kind, f"{old:+.3f}", f"{new:+.3f}")
    terms = Table("term", "about", title="Terms", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("weights moved", "most", "mean"):
        terms.add_column(name, justify="right")
    for one in found.terms:
        terms.add_row(one.term, one.family, str(one.keys), f"{one.largest:.4f}", f"{one.mean:.4f}")
    keys = Table("term", title="Weights that moved most", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("key", "before", "after"):
        keys.add_column(name, justify="right")
    for key in found.keys:
        keys.add_row(key.term, str(key.key), f"{key.before:+.4f}", f"{key.after:+.4f}")
    return "\n".join([*lines, _printed(probes), _printed(terms), *([_printed(keys)] if found.keys else [])])


def _printed(table: Table) -> str:
    console = Console(highlight=False, width=COLUMNS)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())
