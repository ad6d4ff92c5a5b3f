"""A declared wire format, made into a fast decoder.

A format becomes two things: a msgspec struct that holds just the producer's fields we use, so that JSON is
parsed, checked for types and skipped over in C; and one straight-line Python function that turns such a
struct into a :class:`Transaction`. The function's text is put together here from fixed pieces and numbered
names only. Whatever a file declares (names, texts, tables) reaches it as a value in its namespace, never as
code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final

import msgspec
from msgspec import UNSET

from fraudstream.core import wire_values
from fraudstream.core.messages import LabelValue, Transaction
from fraudstream.core.time_patterns import compile_time_pattern
from fraudstream.core.wire_matching import matching_expression
from fraudstream.core.wire_rules import EPOCH_UNITS, Declaration, FieldRule, Path
from fraudstream.core.wire_shape import Shape, attribute_of
from fraudstream.errors import InvalidMessage

_REMEMBERED_WORDS: Final = 1024
_REMEMBERED_AMOUNTS: Final = 16_384
"""How many values keep their conversion. Prices repeat, so most amounts are looked up (0.2 µs) instead of
converted (1 µs); 16,384 of them take 2 MB. Fewer would miss, more would buy nothing."""

_NUMBER_TARGETS: Final = frozenset({"amount_minor", "age", "hour"})


@dataclass(frozen=True, kw_only=True)
class CompiledFormat:
    """One wire format, ready to decode.

    ``parse`` turns JSON into a struct of the producer's fields and raises what msgspec raises; ``convert``
    turns that into a transaction. ``parse_with_tests`` also fetches what tells whether this is the first
    format whose tests hold, and ``convert_if_first`` returns None where it is not; there is no
    ``parse_with_tests`` where the tests of an earlier format contradict this one's shape.
    """

    name: str
    declaration: Declaration
    parse: Callable[[bytes], Any]
    convert: Callable[[Any, int], Transaction]
    parse_with_tests: Callable[[bytes], Any] | None
    convert_if_first: Callable[[Any, int], Transaction | None]
    exempt: frozenset[str]


def compile_format(
    declaration: Declaration, earlier: Sequence[Declaration], hash_token: Callable[[str], str] | None
) -> CompiledFormat:
    """Compile one format that is tried after the earlier ones.

    ``hash_token`` replaces card ids that may be card numbers; without it those are refused.
    """
    code = _Code(declaration, hash_token)
    tested = Shape()
    plain = Shape()
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
        convert=code.convert_function(plain),
        parse_with_tests=msgspec.json.Decoder(tested.struct()).decode if fits else None,
        convert_if_first=code.convert_function(tested, earlier),
        exempt=code.exempt(),
    )


def _remembered(convert: Callable[..., Any], size: int) -> Callable[..., Any]:
    """Return a conversion that keeps its latest results (typed: 1.0 is not 1), but no faults."""
    return lru_cache(size, typed=True)(convert)


class _Code:
    """The text and the namespace of the functions of one format."""

    def __init__(self, declaration: Declaration, hash_token: Callable[[str], str] | None) -> None:
        self._declaration = declaration
        self._hash_token = hash_token
        self._lines: list[str] = []
        self._objects: dict[Path, str] = {}
        self._shape = Shape()
        #: Paths of which the tests told that something is sent there, and of objects that are there.
        self._sent: frozenset[Path] = frozenset()
        self._present: frozenset[Path] = frozenset()
        self._namespace: dict[str, Any] = {
            "UNSET": UNSET,
            "Transaction": Transaction,
            "missing": _raise_missing,
            "from_timestamp": datetime.fromtimestamp,
            "UTC": UTC,
            "HASH": hash_token,
            **{name: getattr(wire_values, name) for name in _CALLED},
        }

    def uses(self) -> list[tuple[Path, str]]:
        """Return every path the format reads, with the kind of value it takes there."""
        found: list[tuple[Path, str]] = []
        for target, rule in self._declaration.fields.items():
            if rule.path is not None:
                counts = target in _NUMBER_TARGETS or rule.time_format in EPOCH_UNITS
                found.append(
                    (rule.path, "texts" if target == "attributes" else "number" if counts else "text")
                )
                if rule.values is not None and rule.values.keys() & {"true", "false"}:
                    found.append((rule.path, "bool"))
            found += [(part, "text") for part in rule.template or () if isinstance(part, tuple)]
        for path in self._declaration.attributes.values():
            found += [(path, "number"), (path, "bool")]
        return found

    def exempt(self) -> frozenset[str]:
        """Return the paths whose digits are no card number, or hashed before anyone sees them."""
        paths = set()
        for target, rule in self._declaration.fields.items():
            is_time = rule.time_format in EPOCH_UNITS
            if rule.path and (is_time or not rule.is_screened or (target == "card_id" and self._hash_token)):
                paths.add(".".join(rule.path))
        return frozenset(paths)

    def convert_function(
        self, shape: Shape, earlier: Sequence[Declaration] | None = None
    ) -> Callable[..., Any]:
        """Return the function from a struct of that shape and a record's timestamp to a transaction.

        Where earlier formats are given, it returns None unless this is the first one the struct belongs to.
        """
        self._shape = shape
        self._lines = []
        self._objects = {}
        self._sent = self._present = frozenset()
        if earlier is not None:
            tests = [matching_expression(self._declaration, self._constant)]
            tests += [f"not ({matching_expression(other, self._constant)})" for other in earlier]
            self._lines.append(f"if not ({' and '.join(tests)}): return None")
            self._sent = frozenset(self._declaration.has)
            self._present = frozenset(path[:at] for path in self._sent for at in range(1, len(path)))
        fields = self._declaration.fields
        emit: dict[str, Callable[[FieldRule], None]] = {
            "transaction_id": self._transaction_id,
            "event_time": self._event_time,
            "amount_minor": self._amount,
            "currency": lambda rule: None,  # beside the amount
            "label": self._label,
            "age": partial(self._converted, "age", wire_values.years),
            "hour": partial(self._converted, "hour", wire_values.hour_of_day),
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
        holder = "s"
        for length in range(1, len(path)):
            holder = self._fetch_object(path[:length], holder)
        self._lines.append(f"{name} = {self._member(path, holder)}")
        node = self._shape.at(path)
        if node is not None and node.is_tested and path not in self._sent:
            self._lines.append(f"if {name} is UNSET: {name} = None")

    def _fetch_object(self, path: Path, holder: str) -> str:
        """Emit once: the object at a path, None if it is not there; return the variable that holds it."""
        if path not in self._objects:
            self._objects[path] = f"o{len(self._objects)}"
            self._lines.append(f"{self._objects[path]} = {self._member(path, holder)}")
        return self._objects[path]

    def _member(self, path: Path, holder: str) -> str:
        """Return the expression for what an object, if there is one, holds at the end of a path."""
        member = f"{holder}.{attribute_of(path[-1])}"
        is_there = len(path) == 1 or path[:-1] in self._present
        return member if is_there else f"{member} if {holder} else None"

    def _drop_missing(self, name: str, rule: FieldRule) -> None:
        if rule.missing:
            self._lines.append(
                f"if {name}.__class__ is str and {self._is_missing(name, rule.missing)}: {name} = None"
            )

    def _is_missing(self, name: str, missing: frozenset[str]) -> str:
        # Comparing with each of a few texts, mostly of other lengths, is faster than hashing the value.
        return f"not {name}" if missing == {""} else f"{name} in {self._constant(tuple(sorted(missing)))}"

    def _fetch_text(self, name: str, path: Path, missing: frozenset[str]) -> str:
        """Emit: the text at a path, None if it is not there; return the path as text."""
        self._fetch(name, path)
        self._lines.append(f"if {name} is not None:")
        self._lines.append(f"    if {name}.__class__ is not str: {name} = as_text({name})")
        if missing:
            self._lines.append(f"    if {self._is_missing(name, missing)}: {name} = None")
        return self._constant(".".join(path))

    def _text(self, target: str, rule: FieldRule) -> None:
        if rule.path is None:
            self._lines.append(f"{target} = {self._constant(rule.fixed)}")
            return
        is_id = target.endswith("_id")
        # An empty id is no id: it would make one history of everybody's.
        path = self._fetch_text(target, rule.path, rule.missing | {""} if is_id else rule.missing)
        if rule.values is not None and rule.refuses_others:
            values = self._constant(rule.values)
            self._lines.append(f"if {target} is not None: {target} = translated({target}, {values}, {path})")
        elif rule.values is not None:
            self._lines.append(f"{target} = {self._constant(rule.values.get)}({target}, {target})")
        if is_id:
            self._token(target, rule)

    def _token(self, target: str, rule: FieldRule) -> None:
        card = self._declaration.fields.get("card_id")
        is_card = card is not None and card.path == rule.path
        # An id taken from the card's own field is hashed with it; twelve characters cannot hold a card
        # number.
        if target == "card_id" or (is_card and self._hash_token):
            path = self._constant(".".join(rule.path or ()))
            self._lines.append(
                f"if {target} is not None and len({target}) > 12: {target} = token_of({target}, HASH, {path})"
            )

    def _transaction_id(self, rule: FieldRule) -> None:
        if rule.path is not None:
            path = self._fetch_text("transaction_id", rule.path, rule.missing)
            self._lines.append(f"if not transaction_id: missing({path})")
            self._token("transaction_id", rule)
            return
        parts = []
        for index, part in enumerate(rule.template or ()):
            if isinstance(part, str):
                parts.append(self._constant(part))
                continue
            path = self._fetch_text(f"part{index}", part, rule.missing)
            self._lines.append(f"if not part{index}: missing({path})")
            self._token(f"part{index}", FieldRule(path=part))
            parts.append(f"part{index}")
        self._lines.append(f"transaction_id = {' + '.join(parts)}")

    def _event_time(self, rule: FieldRule) -> None:
        if rule.path is None:
            # Under load dozens of records share their millisecond.
            remembered = self._constant(_remembered(wire_values.record_time, _REMEMBERED_WORDS))
            self._lines.append(f"event_time = {remembered}(timestamp_ms)")
            return
        path = self._constant(".".join(rule.path))
        self._fetch("t", rule.path)
        self._drop_missing("t", rule)
        self._lines.append(f"if t is None: missing({path})")
        if rule.time_format == "iso8601":
            self._lines.append(f"event_time = iso_time(t, {self._constant(rule.zone)}, {path})")
        elif rule.time_format in EPOCH_UNITS:
            units = EPOCH_UNITS[rule.time_format]
            first, end = wire_values.FIRST_SECONDS * units, wire_values.END_SECONDS * units
            self._lines.append(
                f"event_time = from_timestamp(t / {units}, UTC)"
                f" if t.__class__ is int and {first} <= t < {end} else epoch_time(t, {units}, {path})"
            )
        else:
            read = self._constant(compile_time_pattern(rule.time_format, rule.zone))
            self._lines.append(f"event_time = {read}(t, {path})")

    def _currency(self, rule: FieldRule | None) -> str:
        """Emit: the currency, as the variable ``currency``; return the path to name when it is missing."""
        if rule is None or rule.path is None:
            self._lines.append(f"currency = {self._constant(rule.fixed if rule else None)}")
            return self._constant("currency")
        name = ".".join(rule.path)
        path = self._fetch_text("currency", rule.path, rule.missing)
        if rule.values is not None:
            self._lines.append(f"currency = {self._constant(rule.values.get)}(currency, currency)")
        check = self._constant(
            _remembered(lambda code: wire_values.currency_code(code, name), _REMEMBERED_WORDS)
        )
        self._lines.append(f"if currency is not None: currency = {check}(currency)")
        return path

    def _amount(self, rule: FieldRule) -> None:
        name = ".".join(rule.path or ())
        path = self._constant(name)
        currency = self._declaration.fields.get("currency")
        currency_path = self._currency(currency)
        self._fetch("a", rule.path or ())
        self._drop_missing("a", rule)
        self._lines.append("if a is None:")
        self._lines.append("    amount_minor = None")
        if currency is None or currency.path is None:
            self._lines.append("    currency = None")
        self._lines.append("else:")
        convert = _remembered(self._amount_reader(rule, name), _REMEMBERED_AMOUNTS)
        if rule.symbols:
            self._lines.append(f"    amount_minor, currency = {self._constant(convert)}(a, currency)")
            return
        self._lines.append(f"    if currency is None: missing({currency_path})")
        if rule.unit == "minor":
            self._lines.append(f"    amount_minor = minor_units(a, {path})")
        else:
            self._lines.append(f"    amount_minor = {self._constant(convert)}(a, currency)")

    def _amount_reader(self, rule: FieldRule, path: str) -> Callable[..., Any]:
        def read(value: Any, currency: str) -> int:
            if rule.unit == "minor":
                return wire_values.minor_units(value, path)
            return wire_values.major_units(value, currency, rule.is_rounded, path)

        def read_with_symbol(value: Any, default: str | None) -> tuple[int, str]:
            number, currency = wire_values.without_symbol(value, rule.symbols, default, path)
            return read(number, currency), currency

        return read_with_symbol if rule.symbols else read

    def _label(self, rule: FieldRule) -> None:
        path = self._fetch_text("label", rule.path or (), rule.missing)
        labels = {value: LabelValue(meaning) for value, meaning in (rule.values or {}).items()}
        values = self._constant(labels)
        self._lines.append(f"if label in {values}: label = {values}[label]")
        self._lines.append(f"elif label is not None: translated(label, {values}, {path})")

    def _converted(self, target: str, function: Callable[[Any, str], Any], rule: FieldRule) -> None:
        name = ".".join(rule.path or ())
        self._fetch(target, rule.path or ())
        self._drop_missing(target, rule)
        convert = self._constant(_remembered(lambda value: function(value, name), _REMEMBERED_WORDS))
        self._lines.append(f"if {target} is not None: {target} = {convert}({target})")

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
        for name, path in self._declaration.attributes.items():
            self._fetch_text("v", path, self._declaration.missing)
            self._lines.append(f"if v is not None: attributes[{self._constant(name)}] = v")
        self._lines.append("if not attributes: attributes = None")

    def _constant(self, value: Any) -> str:
        name = f"K{len(self._namespace)}"
        self._namespace[name] = value
        return name

    def _compiled(self, name: str, parameters: str, lines: Sequence[str]) -> Callable[..., Any]:
        source = f"def {name}({parameters}):\n" + "".join(f"    {line}\n" for line in lines)
        code = compile(source, f"<wire format {self._declaration.name}>", "exec")
        exec(code, self._namespace)  # noqa: S102  # its text is ours alone: see the top of this module
        function: Callable[..., Any] = self._namespace.pop(name)
        return function


def _raise_missing(path: str) -> None:
    fault = "is missing"
    raise InvalidMessage(fault, path)


_CALLED: Final = ("as_text", "translated", "minor_units", "epoch_time", "iso_time", "token_of")
