"""The cost table that a backtest takes beside history."""

import tomllib
from pathlib import Path

import msgspec

from fraudstream.core.cost import Costs, CostTable
from fraudstream.errors import InvalidInput


def read_costs(path: Path) -> CostTable:
    """Read a cost table from TOML or JSON: one table a currency, and ``default``.

    Raises
    ------
    InvalidInput
        The file cannot be read, names an unknown cost, or has none below 0 or chances above 1.
    """
    try:
        text = path.read_text("utf-8")
        found = msgspec.json.decode(text) if path.suffix == ".json" else tomllib.loads(text)
        return msgspec.convert(found, dict[str, Costs])
    except OSError as error:
        fault = f"{path}: cannot be read: {error.strerror or error}"
        raise InvalidInput(fault) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.MsgspecError, InvalidInput) as error:
        fault = f"{path}: {error}"
        raise InvalidInput(fault) from error
