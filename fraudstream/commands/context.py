"""What every command needs first: settings from its environment, and logs."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

import click

from fraudstream.logs import configure_logs
from fraudstream.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


def pass_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Hand the settings to a command as its first argument, and let client libraries keep quiet.

    A command that runs once says in one line what went wrong; the retries of the Kafka client beside it would
    bury that line.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        environ: Mapping[str, str] = click.get_current_context().obj
        settings = Settings.load(environ)
        configure_logs(settings)
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        return command(settings, *args, **kwargs)

    return run
