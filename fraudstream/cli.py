"""The command line: which commands there are, and how every error ends.

An error a person can cause is one line for each fault on standard error, ``fraudstream: error: …``, and a
status other than 0: 2 when the command was typed wrongly, 130 when it was interrupted, 1 otherwise. A
traceback is our fault.
"""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

import click

from fraudstream import __version__
from fraudstream.errors import OperatorError, StoreUnavailable


class Listed(NamedTuple):
    """A command as the overview shows it, before its module is imported."""

    target: str
    summary: str


COMMANDS: Mapping[str, Listed] = {
    "demo": Listed("demo:demo", "Run the whole system here, with nothing else installed."),
    "worker": Listed("worker:worker", "Run worker processes: scoring, sinks and learning."),
    "replay": Listed("replay:replay", "Send the rows of a file as transactions, and their labels later."),
    "simulate": Listed("simulate:simulate", "Send transactions and labels of a seeded, made-up world."),
    "backtest": Listed("backtest:backtest", "Tell what this system would have done on history."),
    "topics": Listed("topics:topics", "Create topics, or check them against what the code declares."),
    "dead-letters": Listed(
        "dead_letters:dead_letters", "List, show and send back messages that were set aside."
    ),
    "challenger": Listed(
        "challenger:challenger", "Compare models that score silently, and change the serving one."
    ),
    "labels": Listed("labels:labels", "Look after sources of labels: list and release what is not believed."),
    "drift": Listed("drift:drift", "Tell what has changed, and how good the scores are now."),
    "model": Listed("model:model", "List versions of the model, compare them, go back to one."),
    "explain": Listed(
        "explain:explain", "Compute past decisions again, bit for bit, and tell their reasons."
    ),
    "check": Listed("check:check", "Look for everything that is wrong: settings, brokers, topics, stores."),
    "worker-process": Listed("worker_process:worker_process", ""),
    "reference": Listed("reference:reference", ""),
}
"""Commands without a summary are for this program itself and stay out of the overview."""


class Overview(click.Group):
    """A group that knows its commands by name and imports each when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands people use, the first ones first."""
        return [name for name, listed in COMMANDS.items() if listed.summary]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return it; None when there is no such command."""
        listed = COMMANDS.get(cmd_name)
        if listed is None:
            return None
        module, _, attribute = listed.target.partition(":")
        command = getattr(importlib.import_module(f"fraudstream.commands.{module}"), attribute)
        if not isinstance(command, click.Command):
            msg = f"{listed.target} is not a command"
            raise TypeError(msg)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the table above, so that help needs no imports."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in self.list_commands(ctx)])


@click.group(cls=Overview, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="fraudstream %(version)s")
def cli() -> None:
    """Online fraud detection on Faust and River.

    Settings come from environment variables named FRAUDSTREAM_…; `fraudstream check` tells what is wrong.
    """


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> NoReturn:
    """Run one command and leave the process with its status.

    Parameters
    ----------
    arguments
        What was typed after ``fraudstream``; by default this process's own arguments.
    environ
        Where settings are read from; by default this process's environment.
    """
    status = 1
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="fraudstream",
            standalone_mode=False,
            obj=os.environ if environ is None else environ,
        )
        status = result if isinstance(result, int) else 0
    except click.UsageError as exc:
        where = exc.ctx.command_path if exc.ctx else "fraudstream"
        _tell(f"{exc.format_message().rstrip('.')} (see `{where} --help`)")
        status = 2
    except click.ClickException as exc:
        _tell(exc.format_message())
    except (OperatorError, StoreUnavailable) as exc:
        _tell(str(exc))
    except (click.Abort, KeyboardInterrupt):
        status = 130
    except BrokenPipeError:
        # The reader of our output (`| head`) has left. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _tell(text: str) -> None:
    for line in text.splitlines():
        click.echo(f"fraudstream: error: {line}", err=True)
