"""Which wire format a message belongs to: declared tests, on parsed members and as compiled expressions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from fraudstream.core.wire_rules import Declaration, Path
from fraudstream.core.wire_shape import attribute_of

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what was asked for."""

parse_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""Return the members of a JSON object, each still as text, so that no fault inside one hides the others."""

_parse_any = msgspec.json.Decoder().decode
_ABSENT: Final = object()


def belongs_to(members: Mapping[str, msgspec.Raw], declaration: Declaration) -> bool:
    """Tell whether all tests of a format hold for the members of a message."""
    return (
        all(_find(members, path) is not _ABSENT for path in declaration.has)
        and all(_find(members, path) is _ABSENT for path in declaration.lacks)
        and all(_equals(_find(members, path), value) for path, value in declaration.equals)
    )


def _find(members: Mapping[str, msgspec.Raw], path: Sequence[str]) -> Any:
    for name in path[:-1]:
        if name not in members:
            return _ABSENT
        try:
            members = parse_members(members[name])
        except UNDECODABLE:
            return _ABSENT
    return members.get(path[-1], _ABSENT)


def _equals(found: Any, value: object) -> bool:
    if found is _ABSENT:
        return False
    try:
        there = _parse_any(found)
    except UNDECODABLE:
        return False
    return bool(there == value and there.__class__ is value.__class__)


def matching_expression(declaration: Declaration, constant: Callable[[Any], str]) -> str:
    """Return the same tests as an expression over the struct ``s``, where what is not sent is ``UNSET``.

    ``constant`` puts a value into the namespace of the expression and returns its name there.
    """
    tests = [_presence(path) for path in declaration.has]
    tests += [f"not {_presence(path)}" for path in declaration.lacks]
    for path, value in declaration.equals:
        *outer, leaf = _chain(path)
        name = constant(value)
        same = [*outer, f"{leaf} == {name}", f"{leaf}.__class__ is {name}.__class__"]
        tests.append(f"({' and '.join(same)})")
    return " and ".join(tests) or "True"


def _presence(path: Path) -> str:
    *outer, leaf = _chain(path)
    return f"({' and '.join([*outer, f'{leaf} is not UNSET'])})"


def _chain(path: Path) -> list[str]:
    """Return the expressions of a path's objects and of its value, outermost first."""
    return [f"s.{'.'.join(map(attribute_of, path[:length]))}" for length in range(1, len(path) + 1)]
