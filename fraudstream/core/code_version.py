"""Which program a model was learned by: bit-for-bit comparison across programs needs to know."""

import hashlib
from functools import lru_cache
from importlib.resources import files

from fraudstream import __version__

DECIDING = (
    *("known_labels", "label_evidence", "label_sources", "label_trust"),
    *("ftrl", "look_tables", "looks"),
    *("learner", "learning", "learning_outcomes", "model_design"),
    *("reason_words", "reasons", "risk", "snapshot", "terms"),
)
"""Modules whose arithmetic decides what a version has learned, and how it scores and explains."""

_DIGITS = 8


@lru_cache(1)
def code_version() -> str:
    """Return release and digest of the modules that decide what is learned, as in ``0.1.0+4be1c7d2``.

    Reads the package's own files, once.
    """
    digest = hashlib.sha256()
    folder = files("fraudstream.core")
    for name in DECIDING:
        digest.update((folder / f"{name}.py").read_bytes())
    return f"{__version__}+{digest.hexdigest()[:_DIGITS]}"
