"""What a transaction's keys add to its log odds, and what each family of terms adds to a typical one's.

The log odds are the intercept plus one weight a key, or shares of two where it leans. That, minus what its
term adds at the mean over recent examples, is what this transaction adds to or takes from a typical one;
terms of one family are summed.
"""

from collections.abc import Sequence
from typing import Final

from mypy_extensions import mypyc_attr

from fraudstream.core.ftrl import weigh, worth
from fraudstream.core.terms import FAMILIES, FAMILY_OF, TERM_OF

_TERM_OF: Final = list(TERM_OF)
_FAMILY_OF: Final = list(FAMILY_OF)
_FAMILIES: Final = len(FAMILIES)


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Explainer:
    """Weighs transactions and tells their families apart, under one model.

    Parameters
    ----------
    weights
        Of every key.
    typical
        What each term adds to the log odds, at the mean over recent examples.
    """

    def __init__(self, weights: list[float], typical: Sequence[float]) -> None:
        self._weights = weights
        self._typical = list(typical)

    def weigh(self, keys: tuple[int, ...]) -> tuple[float, list[float]]:
        """Return what some keys add to the log odds, and what each family adds to a typical transaction.

        The first is that of :func:`~fraudstream.core.ftrl.logit_of` to the last bit. The second, in the order
        of ``FAMILIES``, sums up to the first minus the typical weights of the terms present, up to rounding.
        """
        weights, typical = self._weights, self._typical
        plain, share, leaning = weigh(weights, keys)
        parts = [0.0] * _FAMILIES
        for key in keys:
            term = _TERM_OF[key]
            parts[_FAMILY_OF[term]] += worth(weights, key, share) - typical[term]
        return plain + leaning, parts
