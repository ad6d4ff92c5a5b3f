"""How many decimals a currency has: its minor unit in ISO 4217."""

from typing import Final

DEFAULT_EXPONENT: Final = 2
"""Decimals of every currency that is not listed below; by far the most have two."""

_BY_EXPONENT: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS: Final = {code: exponent for exponent, codes in _BY_EXPONENT.items() for code in codes.split()}
_PER_MAJOR: Final[dict[str, int]] = {code: 10**exponent for code, exponent in _EXPONENTS.items()}


def minor_unit_exponent(currency: str) -> int:
    """Return the number of decimals of a currency: 2 for ``GBP``, 0 for ``JPY``, 3 for ``KWD``.

    A code that ISO 4217 does not list has :data:`DEFAULT_EXPONENT` decimals.

    >>> [minor_unit_exponent(code) for code in ("GBP", "JPY", "KWD", "CLF")]
    [2, 0, 3, 4]
    """
    return _EXPONENTS.get(currency, DEFAULT_EXPONENT)


def minor_units_per_major(currency: str) -> int:
    """Return how many minor units make one major unit.

    >>> minor_units_per_major("GBP"), minor_units_per_major("JPY")
    (100, 1)
    """
    return _PER_MAJOR.get(currency, 100)


def is_currency_code(text: str) -> bool:
    """Tell whether a text has the shape of an ISO 4217 code: three capital ASCII letters.

    >>> is_currency_code("GBP"), is_currency_code("gbp"), is_currency_code("£")
    (True, False, False)
    """
    return len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()
