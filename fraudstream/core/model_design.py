"""What tells one model of ours from another: its name, its constants, and the terms it does without."""

from itertools import compress
from typing import Final

import msgspec

from fraudstream.core.learner import PRIOR_LOGIT, KeyedFTRL
from fraudstream.core.terms import FAMILIES, KEYS, TERM_OF, TERMS
from fraudstream.errors import InvalidInput

STANDARD: Final = "standard"
"""Name of the model that serves before anything was promoted."""


class ModelDesign(msgspec.Struct, frozen=True, array_like=True):
    """Name and constants of a model whose weights belong to the keys of :mod:`~fraudstream.core.terms`.

    ``alpha`` to ``intercept_lr`` are those of :class:`~fraudstream.core.learner.KeyedFTRL`. ``without`` names
    terms, or families of terms, that the model does not learn: their weights stay 0.

    Raises
    ------
    InvalidInput
        A constant is out of range, or there is no such term.
    """

    name: str = STANDARD
    alpha: float = 0.3
    beta: float = 1.0
    intercept_init: float = PRIOR_LOGIT
    intercept_lr: float = 0.005
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no model can be."""
        if not (0.0 < self.alpha < 1e3 and 0.0 < self.beta < 1e6 and 0.0 <= self.intercept_lr < 1.0):
            fault = f"expected alpha and beta above 0 and intercept_lr from 0 to below 1, got {self}"
            raise InvalidInput(fault)
        if not -100.0 < self.intercept_init < 100.0:
            fault = f"expected intercept_init in log odds, between -100 and 100, got {self.intercept_init}"
            raise InvalidInput(fault)
        if unknown := [name for name in self.without if name not in FAMILIES and name not in _TERM_NAMES]:
            known = ", ".join((*FAMILIES, *_TERM_NAMES))
            fault = f"without: there is no term or family {', '.join(unknown)}; expected any of {known}"
            raise InvalidInput(fault)

    def model(self) -> KeyedFTRL:
        """Return an untaught model of these constants."""
        return KeyedFTRL(self.alpha, self.beta, self.intercept_init, self.intercept_lr)

    def kept_keys(self) -> bytes | None:
        """Return 1 for each key that is learned and 0 for each other one; None when all are."""
        left_out = {
            index
            for index, term in enumerate(TERMS)
            if term.family in self.without or term.name in self.without
        }
        return bytes(TERM_OF[key] not in left_out for key in range(KEYS)) if left_out else None


_TERM_NAMES = tuple(term.name for term in TERMS)


def only_kept(keys: tuple[int, ...], kept: bytes) -> tuple[int, ...]:
    """Return those keys that ``kept`` says are learned.

    >>> only_kept((0, 2), bytes([1, 1, 0]))
    (0,)
    """
    return tuple(compress(keys, map(kept.__getitem__, keys)))
