"""The process a supervisor starts for one role. Not for people: ``fraudstream worker`` is."""

import ctypes
import os
import signal
import sys

import click

from fraudstream.commands.context import pass_settings
from fraudstream.delivery.stopping import ExitStatus
from fraudstream.errors import OperatorError
from fraudstream.logs import configure_logs
from fraudstream.settings import Role, Settings

_PR_SET_PDEATHSIG = 1


@click.command(hidden=True)
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--index", type=int, required=True)
@click.option("--ordinal", type=int, required=True)
@click.option("--parent", type=int, required=True)
@pass_settings
def worker_process(settings: Settings, role: str, index: int, ordinal: int, parent: int) -> int:
    """Run one role in this process, for as long as its parent lives."""
    die_with_parent(parent)
    own = settings_of_member(settings, Role(role), index, ordinal)
    configure_logs(own, member=f"{role}-{index}")
    from fraudstream.app import run_worker  # noqa: PLC0415 - Faust reads its environment when it is imported

    try:
        return run_worker(Role(role), own)
    except OperatorError as exc:
        for line in str(exc).splitlines():
            click.echo(f"fraudstream: error: {line}", err=True)
        return ExitStatus.REFUSED


def settings_of_member(settings: Settings, role: Role, index: int, ordinal: int) -> Settings:
    """Return the settings of one supervised process, told apart from those beside it.

    A fixed metrics port counts up by process, a static member id and the data folder get the role and number.
    """
    return settings.model_copy(
        update={
            "role": role,
            "metrics_port": settings.metrics_port + ordinal if settings.metrics_port else 0,
            "member_id": f"{settings.member_id}-{role}-{index}" if settings.member_id else "",
            "data_dir": settings.data_dir / f"{role}-{index}",
        }
    )


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however that happens.

    Killed rather than told to stop: what is left to do needs brokers, which may have gone with the parent,
    and a killed worker loses nothing. Where the kernel has no such call (it is Linux's own) the parent's
    orderly stop has to do.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call
        sys.exit(0)
