"""Whether a process is alive and whether it is ready, as named conditions that its parts keep up to date."""

from collections.abc import Callable
from typing import Any

import msgspec

Probe = Callable[[], str]
"""Returns the reason why a condition does not hold, or nothing when it does. Must not block."""


class Condition(msgspec.Struct, frozen=True):
    """One thing that has to be so before a process counts as ready; ``reason`` says why it is not."""

    holds: bool
    reason: str = ""


class Health:
    """The state of one process.

    *Ready* is a conjunction: every named condition holds. *Live* is true until a part condemns the process,
    because only a restart helps then; a broker or store that is down is never a reason for that.

    Examples
    --------
    >>> health = Health()
    >>> health.expect("model", "the newest model is not read yet")
    >>> health.is_ready
    False
    >>> health.affirm("model")
    >>> health.is_ready
    True
    """

    def __init__(self) -> None:
        self._conditions: dict[str, Condition] = {}
        self._probes: dict[str, Probe] = {}
        self._fatal = ""

    def expect(self, name: str, reason: str) -> None:
        """Declare a condition that does not hold yet."""
        self._conditions[name] = Condition(False, reason)

    def affirm(self, name: str) -> None:
        """Note that a condition holds from now on."""
        self._conditions[name] = Condition(True)

    def deny(self, name: str, reason: str) -> None:
        """Note that a condition does not hold any more."""
        self._conditions[name] = Condition(False, reason)

    def watch(self, name: str, probe: Probe) -> None:
        """Declare a condition that is looked at whenever somebody asks."""
        self._probes[name] = probe

    def condemn(self, reason: str) -> None:
        """Note that only a restart helps. The first reason stays."""
        self._fatal = self._fatal or reason

    @property
    def conditions(self) -> dict[str, Condition]:
        """Every condition by name, in the order of declaration, probes last."""
        probed = {name: probe() for name, probe in self._probes.items()}
        return self._conditions | {name: Condition(not reason, reason) for name, reason in probed.items()}

    @property
    def is_live(self) -> bool:
        """Whether the process can still do its work without a restart."""
        return not self._fatal

    @property
    def is_ready(self) -> bool:
        """Whether the process is live and every condition holds."""
        return self.is_live and all(condition.holds for condition in self.conditions.values())

    def report(self) -> dict[str, Any]:
        """Return all of it as plain data, as the health endpoints show it."""
        conditions = self.conditions
        return {
            "live": self.is_live,
            "ready": self.is_live and all(condition.holds for condition in conditions.values()),
            "fatal": self._fatal,
            "conditions": {
                name: {"holds": condition.holds, "reason": condition.reason}
                for name, condition in conditions.items()
            },
        }
