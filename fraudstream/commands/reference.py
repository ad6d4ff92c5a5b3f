"""Reference pages made from the code: settings, metrics, topics, commands. For ``docs/``, not for people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import click
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from fraudstream.core.terms import BINS, SIZES, STARTS, TERMS
from fraudstream.durations import format_duration
from fraudstream.errors import InvalidInput
from fraudstream.metrics import Metrics
from fraudstream.settings import Settings
from fraudstream.settings_reading import variable_of
from fraudstream.topics import Topics

BEGIN = "<!-- made from the code: `fraudstream reference {name} --into {path}` -->"
END = "<!-- end of what is made from the code -->"


@click.command(hidden=True)
@click.argument("name", type=click.Choice(["settings", "metrics", "topics", "cli", "features"]))
@click.option("--into", type=click.Path(path_type=Path), metavar="FILE", help="Renew that part of a page.")
@click.pass_context
def reference(ctx: click.Context, name: str, into: Path | None) -> None:
    """Print a reference page as Markdown, or put it into a page between its two marks."""
    text = reference_text(name, ctx.find_root())
    if into is None:
        click.echo(text)
        return
    begin = BEGIN.format(name=name, path=into.as_posix())
    before, mark, rest = into.read_text(encoding="utf-8").partition(begin)
    _, end, after = rest.partition(END)
    if not mark or not end:
        msg = f"{into}: needs the lines {begin} and {END}"
        raise InvalidInput(msg)
    into.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def reference_text(name: str, root: click.Context) -> str:
    """Return one reference page; ``root`` is the context of the whole command line."""
    pages: Mapping[str, Callable[[], str]] = {
        "settings": settings_page,
        "metrics": metrics_page,
        "topics": topics_page,
        "features": features_page,
        "cli": lambda: commands_page(root),
    }
    return pages[name]()


def settings_page() -> str:
    """Return every setting with its default and meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        secret = SecretStr in (field.annotation, *get_args(field.annotation)) or "SecretStr" in str(
            field.annotation
        )
        files = f", `{variable_of(name)}_FILE`" if secret else ""
        rows.append((f"`{variable_of(name)}`{files}", _default(field.default), field.description or ""))
    return _table(("Variable", "Default", "Meaning"), rows)


def metrics_page() -> str:
    """Return every metric with its labels, meaning and remedy."""
    declared = Metrics(CollectorRegistry()).declared
    rows = [
        (f"`{metric.name}`", metric.kind, ", ".join(metric.labels), metric.meaning, metric.remedy)
        for metric in declared
    ]
    return _table(("Metric", "Kind", "Labels", "Meaning", "What to do"), rows)


def topics_page() -> str:
    """Return every topic as it is with default settings."""
    settings = Settings()
    rows = [
        (
            f"`{topic.name}`",
            "as `transactions`" if topic.partitions == settings.partitions else str(topic.partitions),
            ", ".join(f"`{name}={value}`" for name, value in topic.config.items()),
            topic.meaning,
        )
        for topic in Topics(settings)
    ]
    return _table(("Topic", "Partitions", "Settings", "Meaning"), rows)


def features_page() -> str:
    """Return every term of the model with its keys, and every value that terms combine."""
    terms = [
        (
            f"`{term.name}`" + (" (retired)" if term.retired else ""),
            term.family,
            f"{STARTS[term.name]:,} to {STARTS[term.name] + SIZES[term.name] - 1:,}",
        )
        for term in TERMS
    ]
    bins = [
        (f"`{one.name}`", ", ".join(str(flag.name).lower() for flag in one.needs), str(one.size), one.meaning)
        for one in BINS
    ]
    return "\n\n".join(
        (
            _table(("Term", "Told in reasons as", "Keys"), terms),
            _table(("Value", "Needs", "Bins", "What it is"), bins),
        )
    )


def commands_page(root: click.Context) -> str:
    """Return the help text of every command."""
    root.terminal_width = 100  # a page must not depend on the terminal it was made in
    return "\n\n".join(f"## `{name}`\n\n```text\n{text}\n```" for name, text in _helps(root.command, root))


def _helps(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, str]]:
    yield ctx.command_path, command.get_help(ctx)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            if inner is not None:
                inner_ctx = click.Context(
                    inner, ctx, info_name=name, terminal_width=100, max_content_width=100
                )
                yield from _helps(inner, inner_ctx)


def _default(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, timedelta):
        value = format_duration(value)
    if value is None or value in {"", ()}:
        return ""
    if isinstance(value, tuple):
        value = ",".join(value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
