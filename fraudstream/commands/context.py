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
    """Hand the settings to a command as its first argument, with logs set up by :func:`keep_quiet`."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        environ: Mapping[str, str] = click.get_current_context().obj
        settings = Settings.load(environ)
        keep_quiet(settings)
        return command(settings, *args, **kwargs)

    return run


def keep_quiet(settings: Settings) -> None:
    """Set up logs for a command that runs once: without the retries of client libraries.

    Such a command says in one line what went wrong; what the Kafka client logs beside it would bury that
    line.
    """
    configure_logs(settings)
    for name in ("aiokafka", "asyncio", "pymongo"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
