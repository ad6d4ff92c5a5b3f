"""What a wire format declares, as checked values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Final

Path = tuple[str, ...]
"""Names of a field and of the objects around it, outermost first: ``payment.card.token``."""

EPOCH_UNITS: Final = {"epoch_seconds": 1, "epoch_milliseconds": 1000, "epoch_microseconds": 1_000_000}
"""Units per second of the time formats that count from 1970."""


@dataclass(frozen=True, kw_only=True)
class FieldRule:
    """How one of our fields comes out of a producer's message; ``docs/wire-formats.md`` tells each option."""

    path: Path | None = None
    missing: frozenset[str] = frozenset()
    values: Mapping[str, str] | None = None
    refuses_others: bool = False
    fixed: str | None = None
    template: tuple[str | Path, ...] | None = None
    unit: str = ""
    symbols: tuple[tuple[str, str], ...] = ()
    is_rounded: bool = False
    time_format: str = ""
    zone: tzinfo | None = None
    is_screened: bool = True


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """One wire format: what tells its messages apart, and where each of our fields is in them."""

    name: str
    file: str
    has: tuple[Path, ...]
    lacks: tuple[Path, ...]
    equals: tuple[tuple[Path, Any], ...]
    fields: Mapping[str, FieldRule]
    attributes: Mapping[str, Path]
    missing: frozenset[str]
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def takes_everything(self) -> bool:
        """Whether no test tells its messages apart, so that every message is one of its own."""
        return not (self.has or self.lacks or self.equals)

    def looked_for(self) -> str:
        """Return in words what a message must look like to be one of this format."""
        wanted = [".".join(path) for path in self.has]
        wanted += [f"{'.'.join(path)} = {value!r}" for path, value in self.equals]
        wanted += [f"no {'.'.join(path)}" for path in self.lacks]
        return ", ".join(wanted) or "anything"
