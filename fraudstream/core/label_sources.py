"""Who gives labels: how they are named, whose word stands against whose, and how much each is learned."""

from typing import NamedTuple

from fraudstream.core.messages import LabelSource, TrainingExample
from fraudstream.errors import InvalidInput


class Standing(NamedTuple):
    """What the word of a kind of source is worth.

    A label replaces an earlier one of the same or a lower ``rank``. ``weight`` is the length of its learning
    step, 1 for a whole one.
    """

    rank: int
    weight: float


STANDINGS = {
    LabelSource.ANALYST: Standing(2, 1.0),
    LabelSource.CHARGEBACK: Standing(2, 1.0),
    LabelSource.CUSTOMER: Standing(1, 1.0),
    LabelSource.PRESUMED: Standing(0, 1.0),
}
"""Analyst and chargeback each overrule the other: a chargeback tells what the analyst could not see, and an
analyst who looks again tells a dishonest chargeback. Every kind is learned by whole steps."""


def overrules(newer: LabelSource, older: LabelSource) -> bool:
    """Return whether a later label of one kind replaces an earlier one of another.

    >>> overrules(LabelSource.CUSTOMER, LabelSource.PRESUMED)
    True
    >>> overrules(LabelSource.PRESUMED, LabelSource.CUSTOMER)
    False
    """
    return STANDINGS[newer].rank >= STANDINGS[older].rank


def overruled_by(newer: LabelSource) -> tuple[LabelSource, ...]:
    """Return the kinds whose earlier labels a later one of this kind replaces, itself included."""
    return tuple(older for older in LabelSource if overrules(newer, older))


def source_name(source: LabelSource, labelled_by: str | None) -> str:
    """Return what one source is known by: its kind, and its name where it has one.

    >>> source_name(LabelSource.ANALYST, "ada"), source_name(LabelSource.CHARGEBACK, None)
    ('analyst:ada', 'chargeback')
    """
    return f"{source.value}:{labelled_by}" if labelled_by else source.value


def matches(example: TrainingExample, source_text: str) -> bool:
    """Return whether an example's label came from a source, as people write it.

    Parameters
    ----------
    example
        As learned.
    source_text
        ``kind`` for everybody of that kind, ``kind:name`` for one of them, ``:name`` for that name in any
        kind. A text without a colon that is no kind is a name.
    """
    kind, colon, name = source_text.partition(":")
    if not colon and kind not in {one.value for one in LabelSource}:
        kind, name = "", source_text
    return (not kind or kind == example.label_source.value) and (not name or name == example.labelled_by)


def check_source_text(source_text: str) -> str:
    """Return the text of a source if it can match anything.

    Raises
    ------
    InvalidInput
        It is empty, or names no kind before its colon.
    """
    kind, colon, _ = source_text.partition(":")
    kinds = [one.value for one in LabelSource]
    if not source_text.strip(":") or (colon and kind and kind not in kinds):
        fault = f"expected kind, kind:name or :name ({', '.join(kinds)} are the kinds), got {source_text!r}"
        raise InvalidInput(fault)
    return source_text
