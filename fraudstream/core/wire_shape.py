"""Which fields of a producer's message are fetched, and the msgspec struct that fetches them."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from fraudstream.core.wire_rules import Path
from fraudstream.core.wire_values import MAX_TEXT_CHARACTERS

_Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)]
_Texts = Annotated[dict[Annotated[str, Meta(max_length=64)], _Text], Meta(max_length=64)]
_Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_TYPES: Final[dict[str, Any]] = {
    "text": _Text | _Whole,
    "number": _Text | _Whole | float,
    "bool": bool,
    "texts": _Texts,
}


class Shape:
    """The fields to fetch, as a tree of structs."""

    def __init__(self) -> None:
        self.children: dict[str, Shape] = {}
        self.kinds: set[str] = set()
        self.is_tested = False

    def add(self, path: Path, kind: str) -> None:
        """Fetch a value."""
        node = self
        for name in path:
            node = node.children.setdefault(name, Shape())
        node.kinds.add(kind)

    def add_test(self, path: Path) -> bool:
        """Fetch whether a value is there; false if the path runs through another value."""
        node = self
        for name in path:
            if node.kinds:
                return False
            node = node.children.setdefault(name, Shape())
        node.is_tested = True
        return True

    def at(self, path: Path) -> "Shape | None":
        """Return the node of a path."""
        node: Shape | None = self
        for name in path:
            node = node.children.get(name) if node else None
        return node

    def struct(self) -> type[msgspec.Struct]:
        """Return the struct type of this node."""
        names = list(self.children)
        fields = [(attribute_of(name), *child.type_and_default()) for name, child in self.children.items()]
        return msgspec.defstruct(
            "Fields", fields, rename={attribute_of(name): name for name in names}, gc=False, frozen=True
        )

    def type_and_default(self) -> tuple[Any, Any]:
        """Return the type a field of this shape has, and what it is when the producer does not send it."""
        if self.children:
            kind: Any = self.struct() | None
        elif self.kinds:
            kind = None
            for name in sorted(self.kinds):
                kind = _TYPES[name] if kind is None else kind | _TYPES[name]
            kind = kind | None
        else:
            return (Any, UNSET)
        return (kind | UnsetType, UNSET) if self.is_tested else (kind, None)


def attribute_of(name: str) -> str:
    """Return the attribute that holds a producer's field."""
    # Hexadecimal, so that any name a producer chose becomes a Python one, and no two the same.
    return "f" + name.encode("utf-8", "surrogatepass").hex()
