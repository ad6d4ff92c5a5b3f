"""A declared wire format, made into a fast decoder.

A format becomes two things: a msgspec struct that holds just the producer's fields we use, so that JSON is parsed, checked
for types and skipped over in C; and one straight-line Python function that turns such a struct into a
:class:`Transaction`. The function's text is put together here from fixed pieces and numbered names only. Whatever a file
declares (names, texts, tables) reaches it as a value in its namespace, never as code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from fraudstream.core import wire_values
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.core.time_patterns import compile_time_pattern
from fraudstream.core.wire_declaration import EPOCH_UNITS, Declaration, FieldRule, Path
from fraudstream.errors import InvalidMessage

_Text = Annotated[str, Meta(max_length=wire_values.MAX_TEXT_CHARACTERS)]
_Texts = Annotated[dict[Annotated[str, Meta(max_length=64)], _Text], Meta(max_length=64)]
_TYPES: Final[dict[str, Any]] = {"text": _Text | int, "number": _Text | int | float, "bool": bool, "texts": _Texts}
_NUMBER_TARGETS: Final = frozenset({"amount_minor", "age", "hour"})


@dataclass(frozen=True, kw_only=True)
class CompiledFormat:
    """One wire format, ready to decode.

    ``parse`` turns JSON into a struct of the producer's fields and raises what msgspec raises; ``convert`` turns that into
    a transaction. ``parse_with_tests`` also fetches what ``is_match`` looks at, to tell whether this is the first format
    whose tests hold; it is None where the tests of an earlier format contradict this one's shape.
    """

    name: str
    declaration: Declaration
    parse: Callable[[bytes], Any]
    parse_with_tests: Callable[[bytes], Any] | None
    is_match: Callable[[Any], bool]
    convert: Callable[[Any, int], Transaction]
    exempt: frozenset[str]


def compile_format(
    declaration: Declaration, earlier: Sequence[Declaration], hash_token: Callable[[str], str] | None
) -> CompiledFormat:
    """Compile one format that is tried after the earlier ones.

    ``hash_token`` replaces card ids that may be card numbers; without it those are refused.
    """
    code = _Code(declaration, hash_token)
    tested = _Shape()
    plain = _Shape()
    for path, kind in code.uses():
        plain.add(path, kind)
        tested.add(path, kind)
    fits = True
    for other in (declaration, *earlier):
        for path in (*other.has, *other.lacks, *(path for path, _ in other.equals)):
            fits = tested.add_test(path) and fits
    return CompiledFormat(
        name=declaration.name,
        declaration=declaration,
        parse=msgspec.json.Decoder(plain.struct()).decode,
        parse_with_tests=msgspec.json.Decoder(tested.struct()).decode if fits else None,
        is_match=code.match_function(earlier, tested) if fits else _never,
        convert=code.convert_function(tested),
        exempt=code.exempt(),
    )


def _never(_: Any) -> bool:
    return False


class _Shape:
    """The fields to fetch, as a tree of structs."""

    def __init__(self) -> None:
        self.children: dict[str, _Shape] = {}
        self.kinds: set[str] = set()
        self.is_tested = False

    def add(self, path: Path, kind: str) -> None:
        """Fetch a value."""
        node = self
        for name in path:
            node = node.children.setdefault(name, _Shape())
        node.kinds.add(kind)

    def add_test(self, path: Path) -> bool:
        """Fetch whether a value is there; false if the path runs through another value."""
        node = self
        for name in path:
            if node.kinds:
                return False
            node = node.children.setdefault(name, _Shape())
        node.is_tested = True
        return True

    def at(self, path: Path) -> "_Shape | None":
        """Return the node of a path."""
        node: _Shape | None = self
        for name in path:
            node = node.children.get(name) if node else None
        return node

    def struct(self) -> type[msgspec.Struct]:
        """Return the struct type of this node."""
        names = list(self.children)
        fields = [(_attribute(name), *child.type_and_default()) for name, child in self.children.items()]
        return msgspec.defstruct(
            "Fields", fields, rename={_attribute(name): name for name in names}, gc=False, frozen=True
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


def _attribute(name: str) -> str:
    # Hexadecimal, so that any name a producer chose becomes a Python one, and no two the same.
    return "f" + name.encode("utf-8", "surrogatepass").hex()


class _Code:
    """The text and the namespace of the functions of one format."""

    def __init__(self, declaration: Declaration, hash_token: Callable[[str], str] | None) -> None:
        self._declaration = declaration
        self._hash_token = hash_token
        self._lines: list[str] = []
        self._shape = _Shape()
        self._namespace: dict[str, Any] = {
            "UNSET": UNSET,
            "Transaction": Transaction,
            "missing": _raise_missing,
            "HASH": hash_token,
            **{name: getattr(wire_values, name) for name in _CALLED},
        }

    def uses(self) -> list[tuple[Path, str]]:
        """Return every path the format reads, with the kind of value it takes there."""
        found: list[tuple[Path, str]] = []
        for target, rule in self._declaration.fields.items():
            if rule.path is not None:
                counts = target in _NUMBER_TARGETS or rule.time_format in EPOCH_UNITS
                found.append((rule.path, "texts" if target == "attributes" else "number" if counts else "text"))
                if rule.values is not None and rule.values.keys() & {"true", "false"}:
                    found.append((rule.path, "bool"))
            found += [(part, "text") for part in rule.template or () if isinstance(part, tuple)]
        for path in self._declaration.attributes.values():
            found += [(path, "number"), (path, "bool")]
        return found

    def exempt(self) -> frozenset[str]:
        """Return the paths whose digits are known not to be a card number, or are hashed before anyone sees them."""
        paths = set()
        for target, rule in self._declaration.fields.items():
            is_time = rule.time_format in EPOCH_UNITS
            if rule.path and (is_time or not rule.is_screened or (target == "card_id" and self._hash_token)):
                paths.add(".".join(rule.path))
        return frozenset(paths)

    def match_function(self, earlier: Sequence[Declaration], shape: _Shape) -> Callable[[Any], bool]:
        """Return the test whether this is the first format a struct belongs to."""
        own = self._all_tests(self._declaration, shape)
        others = [f"not ({self._all_tests(other, shape)})" for other in earlier]
        return self._compiled("is_match", "s", ["return bool(" + " and ".join([own, *others]) + ")"])

    def _all_tests(self, declaration: Declaration, shape: _Shape) -> str:
        tests = [self._presence(path) for path in declaration.has]
        tests += [f"not ({self._presence(path)})" for path in declaration.lacks]
        for path, value in declaration.equals:
            outer = " and ".join(_chain(path))
            leaf = "s." + ".".join(map(_attribute, path))
            constant = self._constant(value)
            tests.append(f"({outer} and {leaf} == {constant} and {leaf}.__class__ is {constant}.__class__)")
        return " and ".join(tests) or "True"

    def _presence(self, path: Path) -> str:
        return "(" + " and ".join([*_chain(path)[:-1], f"s.{'.'.join(map(_attribute, path))} is not UNSET"]) + ")"

    def convert_function(self, shape: _Shape) -> Callable[[Any, int], Transaction]:
        """Return the function from a struct and a record's timestamp to a transaction."""
        self._shape = shape
        self._lines = []
        fields = self._declaration.fields
        emit = {
            "transaction_id": self._transaction_id,
            "event_time": self._event_time,
            "amount_minor": self._amount,
            "currency": lambda rule: None,  # beside the amount
            "label": self._label,
            "age": partial(self._converted, "age", "years"),
            "hour": partial(self._converted, "hour", "hour_of_day"),
            "attributes": lambda rule: None,  # beside those taken from fields of their own
        }
        for target, rule in fields.items():
            emit.get(target, partial(self._text, target))(rule)
        if "amount_minor" not in fields and "currency" in fields:
            self._currency(fields["currency"])
        self._attributes()
        given = {*fields, *({"currency"} if "amount_minor" in fields else ()), "attributes"}
        arguments = [name if name in given else "None" for name in Transaction.__struct_fields__]
        self._lines.append(f"return Transaction({', '.join(arguments)})")
        return self._compiled("convert", "s, timestamp_ms", self._lines)

    def _fetch(self, name: str, path: Path) -> None:
        """Emit: the value at a path, None if it is not there."""
        outer = [f"s.{'.'.join(map(_attribute, path[:length]))}" for length in range(1, len(path))]
        leaf = f"s.{'.'.join(map(_attribute, path))}"
        self._lines.append(f"{name} = {leaf} if {' and '.join(outer)} else None" if outer else f"{name} = {leaf}")
        node = self._shape.at(path)
        if node is not None and node.is_tested:
            self._lines.append(f"if {name} is UNSET: {name} = None")

    def _drop_missing(self, name: str, rule: FieldRule) -> None:
        if rule.missing == {""}:
            self._lines.append(f"if {name} == '': {name} = None")
        elif rule.missing:
            self._lines.append(f"if {name} in {self._constant(rule.missing)}: {name} = None")

    def _fetch_text(self, name: str, path: Path, rule: FieldRule) -> str:
        constant = self._constant(".".join(path))
        self._fetch(name, path)
        self._lines.append(
            f"if {name}.__class__ is not str and {name} is not None: {name} = as_text({name}, {constant})"
        )
        self._drop_missing(name, rule)
        return constant

    def _text(self, target: str, rule: FieldRule) -> None:
        if rule.path is None:
            self._lines.append(f"{target} = {self._constant(rule.fixed)}")
            return
        path = self._fetch_text(target, rule.path, rule)
        if rule.values is not None and rule.refuses_others:
            values = self._constant(rule.values)
            self._lines.append(f"if {target} is not None: {target} = translated({target}, {values}, {path})")
        elif rule.values is not None:
            self._lines.append(f"{target} = {self._constant(rule.values.get)}({target}, {target})")
        if target.endswith("_id"):
            # An empty id is no id: it would make one history of everybody's.
            self._lines.append(f"if not {target}: {target} = None")
            self._token(target, rule)

    def _token(self, target: str, rule: FieldRule) -> None:
        card = self._declaration.fields.get("card_id")
        is_card = card is not None and card.path == rule.path
        # An id taken from the card's own field is hashed with it; twelve characters cannot hold a card number.
        if target == "card_id" or (is_card and self._hash_token):
            path = self._constant(".".join(rule.path or ()))
            self._lines.append(
                f"if {target} is not None and len({target}) > 12: {target} = token_of({target}, HASH, {path})"
            )

    def _transaction_id(self, rule: FieldRule) -> None:
        if rule.path is not None:
            path = self._fetch_text("transaction_id", rule.path, rule)
            self._lines.append(f"if not transaction_id: missing({path})")
            self._token("transaction_id", rule)
            return
        parts = []
        for index, part in enumerate(rule.template or ()):
            if isinstance(part, str):
                parts.append(self._constant(part))
                continue
            path = self._fetch_text(f"part{index}", part, rule)
            self._lines.append(f"if not part{index}: missing({path})")
            parts.append(f"part{index}")
        self._lines.append(f"transaction_id = {' + '.join(parts)}")

    def _event_time(self, rule: FieldRule) -> None:
        if rule.path is None:
            self._lines.append("event_time = record_time(timestamp_ms)")
            return
        path = self._constant(".".join(rule.path))
        self._fetch("t", rule.path)
        self._drop_missing("t", rule)
        self._lines.append(f"if t is None: missing({path})")
        if rule.time_format == "iso8601":
            self._lines.append(f"event_time = iso_time(t, {self._constant(rule.zone)}, {path})")
        elif rule.time_format in EPOCH_UNITS:
            self._lines.append(f"event_time = epoch_time(t, {EPOCH_UNITS[rule.time_format]}, {path})")
        else:
            read = self._constant(compile_time_pattern(rule.time_format, rule.zone))
            self._lines.append(f"event_time = {read}(t, {path})")

    def _currency(self, rule: FieldRule | None) -> str:
        """Emit: the currency of a message, as the variable ``currency``; return the path to name when it is missing."""
        if rule is None or rule.path is None:
            self._lines.append(f"currency = {self._constant(rule.fixed if rule else None)}")
            return self._constant("currency")
        path = self._fetch_text("currency", rule.path, rule)
        if rule.values is not None:
            self._lines.append(f"currency = {self._constant(rule.values.get)}(currency, currency)")
        self._lines.append(f"if currency is not None: currency = currency_code(currency, {path})")
        return path

    def _amount(self, rule: FieldRule) -> None:
        assert rule.path is not None  # noqa: S101  # the declaration was checked; this tells mypy
        path = self._constant(".".join(rule.path))
        currency = self._declaration.fields.get("currency")
        currency_path = self._currency(currency)
        self._fetch("a", rule.path)
        self._drop_missing("a", rule)
        self._lines.append("if a is None:")
        self._lines.append("    amount_minor = None")
        if currency is None or currency.path is None:
            self._lines.append("    currency = None")
        self._lines.append("else:")
        if rule.symbols:
            self._lines.append(
                f"    a, currency = without_symbol(a, {self._constant(rule.symbols)}, currency, {path})"
            )
        self._lines.append(f"    if currency is None: missing({currency_path})")
        convert = f"major_units(a, currency, {rule.is_rounded}, {path})"
        self._lines.append(f"    amount_minor = {convert if rule.unit == 'major' else f'minor_units(a, {path})'}")

    def _label(self, rule: FieldRule) -> None:
        assert rule.path is not None  # noqa: S101  # the declaration was checked; this tells mypy
        path = self._fetch_text("label", rule.path, rule)
        values = self._constant({value: LabelValue(meaning) for value, meaning in (rule.values or {}).items()})
        self._lines.append(f"if label is not None: label = translated(label, {values}, {path})")

    def _converted(self, target: str, function: str, rule: FieldRule) -> None:
        assert rule.path is not None  # noqa: S101  # the declaration was checked; this tells mypy
        path = self._constant(".".join(rule.path))
        self._fetch(target, rule.path)
        self._drop_missing(target, rule)
        self._lines.append(f"if {target} is not None: {target} = {function}({target}, {path})")

    def _attributes(self) -> None:
        whole = self._declaration.fields.get("attributes")
        if whole is not None and whole.path is not None:
            self._fetch("attributes", whole.path)
            self._lines.append("attributes = dict(attributes) if attributes else {}")
        elif self._declaration.attributes:
            self._lines.append("attributes = {}")
        else:
            self._lines.append("attributes = None")
            return
        rule = FieldRule(missing=self._declaration.missing)
        for name, path in self._declaration.attributes.items():
            self._fetch_text("v", path, rule)
            self._lines.append(f"if v is not None: attributes[{self._constant(name)}] = v")
        self._lines.append("if not attributes: attributes = None")

    def _constant(self, value: Any) -> str:
        name = f"K{len(self._namespace)}"
        self._namespace[name] = value
        return name

    def _compiled(self, name: str, parameters: str, lines: Sequence[str]) -> Callable[..., Any]:
        source = f"def {name}({parameters}):\n" + "".join(f"    {line}\n" for line in lines)
        exec(compile(source, f"<wire format {self._declaration.name}>", "exec"), self._namespace)  # noqa: S102  # no text of a file is in it
        function: Callable[..., Any] = self._namespace.pop(name)
        return function


def _chain(path: Path) -> list[str]:
    """Return the expressions of a path's objects and of its value, outermost first."""
    return [f"s.{'.'.join(map(_attribute, path[:length]))}" for length in range(1, len(path) + 1)]


def _raise_missing(path: str) -> None:
    fault = "is missing"
    raise InvalidMessage(fault, path)


_CALLED: Final = (
    *("as_text", "translated", "currency_code", "without_symbol", "major_units", "minor_units", "years"),
    *("hour_of_day", "record_time", "epoch_time", "iso_time", "token_of"),
)
