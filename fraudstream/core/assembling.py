"""From bins to keys: written out from the table of terms by :func:`~fraudstream.core.terms.assembling`.

Here the text is run as it is. Where the core is compiled, the text itself is compiled in the place of this
module.
"""

from collections.abc import Callable

from fraudstream.core.terms import assembling

_scope: dict[str, Callable[..., tuple[int, ...]]] = {}
exec(assembling(), _scope)  # noqa: S102  names and numbers of the term table only
assemble = _scope["assemble"]
