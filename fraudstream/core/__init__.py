"""What is decided: pure functions and values. No clock, no loop, no I/O, no Faust.

Its hot modules run compiled where they have been compiled from these very sources.
"""

from fraudstream.compiled import compiled_path

__path__ = [*compiled_path(), *__path__]
