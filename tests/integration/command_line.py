"""The command line as a person meets it: what was typed, the environment, status and output."""

import logging
from typing import NamedTuple

import pytest

from fraudstream.cli import main


class Finished(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    errors: list[str]


class CommandLine:
    """Runs commands in this process, with settings from ``environ`` and nowhere else."""

    def __init__(self, capsys: pytest.CaptureFixture[str], environ: dict[str, str]) -> None:
        self._capsys = capsys
        self.environ = environ

    def __call__(self, *arguments: str, **variables: str) -> Finished:
        """Run a command; ``variables`` are settings without their prefix."""
        added = {f"FRAUDSTREAM_{name}": value for name, value in variables.items()}
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        self._capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as left:
                main(list(arguments), self.environ | added)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
        out, err = self._capsys.readouterr()
        return Finished(int(left.value.code or 0), out, err.splitlines())
