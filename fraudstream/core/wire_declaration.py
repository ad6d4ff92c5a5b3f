"""A wire format as its file declares it: read from TOML, every word checked, every fault at its line."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from fraudstream.core.currencies import is_currency_code
from fraudstream.core.messages import LabelValue
from fraudstream.core.time_patterns import compile_time_pattern
from fraudstream.errors import InvalidWireFormat

Path = tuple[str, ...]
"""Names of a field and of the objects around it, outermost first: ``payment.card.token``."""

EPOCH_UNITS: Final = {"epoch_seconds": 1, "epoch_milliseconds": 1000, "epoch_microseconds": 1_000_000}
"""Units per second of the time formats that count from 1970."""

_IDS: Final = ("card_id", "customer_id", "terminal_id")
_TEXTS: Final = (
    *("merchant_group", "transaction_type", "entry_mode", "card_type", "bank", "gender"),
    *("transaction_country", "shipping_country", "residence_country"),
)
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "transaction_id": frozenset({"from", "missing", "template", "screen"}),
    "event_time": frozenset({"from", "missing", "format", "timezone"}),
    "amount_minor": frozenset({"from", "missing", "unit", "symbols", "round"}),
    "currency": frozenset({"from", "missing", "values", "fixed"}),
    "label": frozenset({"from", "missing", "values"}),
    "age": frozenset({"from", "missing"}),
    "hour": frozenset({"from", "missing"}),
    "attributes": frozenset({"from"}),
    **dict.fromkeys(_IDS, frozenset({"from", "missing", "screen"})),
    **dict.fromkeys(_TEXTS, frozenset({"from", "missing", "values", "others", "fixed", "screen"})),
}
_OPTION_TYPES: Final[Mapping[str, tuple[type, str]]] = {
    "from": (str, "a path in quotes"),
    "missing": (list, "a list of texts"),
    "template": (str, "a text such as '{shop}-{number}'"),
    "screen": (bool, "true or false"),
    "format": (str, "a text"),
    "timezone": (str, "a text"),
    "unit": (str, "'major' or 'minor'"),
    "symbols": (dict, "a table such as { '£' = 'GBP' }"),
    "round": (bool, "true or false"),
    "values": (dict, "a table such as { '0' = 'genuine' }"),
    "others": (str, "'keep' or 'refuse'"),
    "fixed": (str, "a text"),
}
_SECTIONS: Final = frozenset({"name", "description", "missing", "when", "fields", "attributes", "columns"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_OFFSET: Final = re.compile(r"([+-])([0-9]{2}):([0-9]{2})")


@dataclass(frozen=True, kw_only=True)
class FieldRule:
    """How one of our fields comes out of a producer's message. See ``docs/wire-formats.md`` for each option."""

    path: Path | None = None
    missing: frozenset[str] = frozenset()
    values: Mapping[str, str] | None = None
    refuses_others: bool = False
    fixed: str | None = None
    template: tuple[str | Path, ...] | None = None
    unit: str = ""
    symbols: tuple[tuple[str, str], ...] = ()
    is_rounded: bool = False
    time_format: str = ""
    zone: tzinfo | None = None
    is_screened: bool = True


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """One wire format: what tells its messages apart, and where each of our fields is in them."""

    name: str
    file: str
    has: tuple[Path, ...]
    lacks: tuple[Path, ...]
    equals: tuple[tuple[Path, Any], ...]
    fields: Mapping[str, FieldRule]
    attributes: Mapping[str, Path]
    missing: frozenset[str]
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def takes_everything(self) -> bool:
        """Whether no test tells its messages apart, so that every message is one of its own."""
        return not (self.has or self.lacks or self.equals)

    def looked_for(self) -> str:
        """Return in words what a message must look like to be one of this format."""
        wanted = [".".join(path) for path in self.has]
        wanted += [f"{'.'.join(path)} = {value!r}" for path, value in self.equals]
        wanted += [f"no {'.'.join(path)}" for path in self.lacks]
        return ", ".join(wanted) or "anything"


def parse_declaration(text: str, file: str) -> Declaration:
    """Read one wire-format file.

    Parameters
    ----------
    text
        The whole file.
    file
        How to call it in errors.

    Raises
    ------
    InvalidWireFormat
        Naming file, line and reason; the first fault found.
    """
    return _Reader(text, file).declaration()


class _Reader:
    """Turns one TOML text into a declaration, remembering where things stand."""

    def __init__(self, text: str, file: str) -> None:
        self._lines = text.splitlines()
        self._file = file
        try:
            self._tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"^(?P<reason>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)$", str(error))
            line = int(found["line"]) if found and found["line"] else max(len(self._lines), 1)
            raise InvalidWireFormat(
                f"{file}:{line}: is not TOML: {found['reason'] if found else error}"
            ) from error

    def declaration(self) -> Declaration:
        for key in self._tables:
            if key not in _SECTIONS:
                raise self._fault(f"unknown key {key!r}; known are {_listed(_SECTIONS)}", key)
        name = self._tables.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self._fault("needs a name of small letters, digits, - and _, such as name = 'shop'", "name")
        missing = self._texts(self._tables.get("missing", []), "missing")
        when = self._table("when")
        for key in when:
            if key not in ("has", "lacks", "equals"):
                raise self._fault(f"unknown test {key!r}; known are equals, has, lacks", "when", key)
        fields = {target: self._rule(target, missing) for target in self._table("fields")}
        self._check_together(fields)
        attributes = {
            name: self._path(path, "attributes", name) for name, path in self._table("attributes").items()
        }
        declaration = Declaration(
            name=name,
            file=self._file,
            has=self._paths(when.get("has", []), "has"),
            lacks=self._paths(when.get("lacks", []), "lacks"),
            equals=self._equals(when.get("equals", {})),
            fields=fields,
            attributes=attributes,
            missing=missing,
            columns=self._renames("columns", self._table("columns")),
        )
        self._check_shape(declaration)
        return declaration

    def _rule(self, target: str, missing: frozenset[str]) -> FieldRule:
        if target not in _OPTIONS:
            raise self._fault(f"unknown field {target!r}; known are {_listed(_OPTIONS)}", "fields", target)
        given = self._tables["fields"][target]
        options = {"from": given} if isinstance(given, str) else given
        if not isinstance(options, dict):
            raise self._fault(f"{target} needs a path in quotes or a table of options", "fields", target)
        for option, value in options.items():
            where = ("fields", target, option)
            if option not in _OPTIONS[target]:
                known = _listed(_OPTIONS[target])
                raise self._fault(f"unknown option {option!r} of {target}; known are {known}", *where)
            kind, wanted = _OPTION_TYPES[option]
            if not isinstance(value, kind):
                raise self._fault(f"{option} of {target} must be {wanted}", *where)
        where = ("fields", target)
        rule = FieldRule(
            path=self._path(options["from"], *where, "from") if "from" in options else None,
            missing=self._texts(options["missing"], *where, "missing") if "missing" in options else missing,
            values=self._values(target, options.get("values")),
            refuses_others=self._word(options.get("others", "keep"), ("keep", "refuse"), *where, "others") == "refuse",
            fixed=options.get("fixed"),
            template=self._template(options["template"]) if "template" in options else None,
            unit=self._word(options["unit"], ("major", "minor"), *where, "unit") if "unit" in options else "",
            symbols=self._symbols(options.get("symbols", {})),
            is_rounded=options.get("round", False),
            time_format=options.get("format", "iso8601" if target == "event_time" else ""),
            zone=self._zone(options["timezone"]) if "timezone" in options else None,
            is_screened=options.get("screen", True),
        )
        self._check_rule(target, rule)
        return rule

    def _check_rule(self, target: str, rule: FieldRule) -> None:
        where = ("fields", target)
        sources = [rule.path is not None, rule.fixed is not None, rule.template is not None]
        if target == "event_time" and rule.time_format == "record":
            if any(sources) or rule.zone:
                raise self._fault("event_time of format 'record' takes no other option", *where)
            return
        if sum(sources) != 1:
            known = [option for option in ("from", "fixed", "template") if option in _OPTIONS[target]]
            raise self._fault(f"{target} needs {' or '.join(known)}{' (one of them)' * (len(known) > 1)}", *where)
        if target == "amount_minor" and not rule.unit:
            raise self._fault("amount_minor needs unit = 'major' (pounds) or 'minor' (pence)", *where)
        if target == "currency" and rule.fixed is not None and not is_currency_code(rule.fixed):
            raise self._fault(f"{rule.fixed!r} is no currency code", *where, "fixed")
        if target == "event_time":
            self._check_time(rule)

    def _check_time(self, rule: FieldRule) -> None:
        where = ("fields", "event_time", "format")
        if rule.time_format in EPOCH_UNITS or rule.time_format == "iso8601":
            if rule.time_format != "iso8601" and rule.zone is not None:
                raise self._fault(f"{rule.time_format} is in UTC and takes no timezone", *where)
            return
        if "%" not in rule.time_format:
            known = _listed([*EPOCH_UNITS, "iso8601", "record"])
            raise self._fault(f"unknown time format {rule.time_format!r}; known are {known} and patterns", *where)
        try:
            compile_time_pattern(rule.time_format, rule.zone)
        except ValueError as error:
            raise self._fault(f"bad time pattern {rule.time_format!r}: {error}", *where) from error

    def _check_together(self, fields: Mapping[str, FieldRule]) -> None:
        for required in ("transaction_id", "event_time"):
            if required not in fields:
                raise self._fault(f"missing field {required}: every transaction needs one", "fields")
        amount = fields.get("amount_minor")
        if amount is not None and not amount.symbols and "currency" not in fields:
            fault = "amount_minor needs a currency: the field currency, or symbols such as { '£' = 'GBP' }"
            raise self._fault(fault, "fields", "amount_minor")

    def _check_shape(self, declaration: Declaration) -> None:
        leaves = {rule.path: ("fields", target) for target, rule in declaration.fields.items() if rule.path}
        leaves |= {path: ("attributes", name) for name, path in declaration.attributes.items()}
        template = declaration.fields["transaction_id"].template or ()
        leaves |= {part: ("fields", "transaction_id") for part in template if isinstance(part, tuple)}
        for path, where in leaves.items():
            for length in range(1, len(path)):
                if path[:length] in leaves:
                    outer = ".".join(path[:length])
                    raise self._fault(f"{outer!r} is used as a value and as an object around another", *where)
        card = declaration.fields.get("card_id")
        for name, path in declaration.attributes.items():
            if card is not None and path == card.path:
                raise self._fault("the card id may not be kept for display beside its token", "attributes", name)

    def _values(self, target: str, values: Mapping[str, Any] | None) -> Mapping[str, str] | None:
        if values is None:
            return {label.value: label.value for label in LabelValue} if target == "label" else None
        where = ("fields", target, "values")
        renamed = self._renames(where[-1], values, *where)
        for meaning in renamed.values():
            if target == "label" and meaning not in tuple(LabelValue):
                raise self._fault(f"a label is 'fraud' or 'genuine', not {meaning!r}", *where)
            if target == "currency" and not is_currency_code(meaning):
                raise self._fault(f"{meaning!r} is no currency code", *where)
        return renamed

    def _symbols(self, symbols: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        for symbol, currency in symbols.items():
            if not symbol or not isinstance(currency, str) or not is_currency_code(currency):
                fault = f"symbols: {symbol!r} needs a currency code such as 'GBP'"
                raise self._fault(fault, "fields", "amount_minor", "symbols")
        # The longest first, so that 'A$' is not read as 'A' and a dollar sign.
        return tuple(sorted(symbols.items(), key=lambda item: -len(item[0])))

    def _template(self, text: str) -> tuple[str | Path, ...]:
        where = ("fields", "transaction_id", "template")
        pieces = re.split(r"\{([^{}]*)\}", text)
        if len(pieces) == 1 or any(brace in piece for piece in pieces[::2] for brace in "{}"):
            raise self._fault("template needs paths in braces, such as '{shop}-{number}'", *where)
        parts = [self._path(piece, *where) if index % 2 else piece for index, piece in enumerate(pieces)]
        return tuple(part for part in parts if part)

    def _zone(self, name: str) -> tzinfo:
        if name in ("UTC", "Z"):
            return UTC
        if offset := _OFFSET.fullmatch(name):
            delta = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
            if delta < timedelta(hours=24):
                return timezone(-delta if offset[1] == "-" else delta)
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            fault = f"unknown timezone {name!r}; write 'UTC', '+02:00' or a name such as 'Europe/London'"
            raise self._fault(fault, "fields", "event_time", "timezone") from error

    def _table(self, key: str) -> dict[str, Any]:
        table = self._tables.get(key, {})
        if not isinstance(table, dict):
            raise self._fault(f"{key} must be a table: [{key}]", key)
        return table

    def _path(self, path: object, *where: str) -> Path:
        parts = tuple(path.split(".")) if isinstance(path, str) else ()
        if not all(parts) or not parts:
            raise self._fault(f"expected a path such as 'card.token', got {path!r}", *where)
        return parts

    def _paths(self, paths: object, key: str) -> tuple[Path, ...]:
        if not isinstance(paths, list):
            raise self._fault(f"{key} must be a list of paths", "when", key)
        return tuple(self._path(path, "when", key) for path in paths)

    def _equals(self, tests: object) -> tuple[tuple[Path, Any], ...]:
        if not isinstance(tests, dict):
            raise self._fault("equals must be a table such as { 'message.kind' = 'payment' }", "when", "equals")
        for path, value in tests.items():
            if not isinstance(value, str | int | bool):
                raise self._fault(f"{path!r} must equal a text, a whole number, true or false", "when", "equals")
        return tuple((self._path(path, "when", "equals"), value) for path, value in tests.items())

    def _texts(self, texts: object, *where: str) -> frozenset[str]:
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self._fault(f"{where[-1]} must be a list of texts", *where)
        return frozenset(texts)

    def _renames(self, key: str, table: Mapping[str, Any], *where: str) -> Mapping[str, str]:
        for name, meaning in table.items():
            if not isinstance(meaning, str):
                raise self._fault(f"{key}: {name!r} must stand for a text", *(where or (key, name)))
        return table

    def _word(self, word: str, known: Sequence[str], *where: str) -> str:
        if word not in known:
            raise self._fault(f"bad {where[-1]} {word!r}; known are {_listed(known)}", *where)
        return word

    def _fault(self, reason: str, *where: str) -> InvalidWireFormat:
        return InvalidWireFormat(f"{self._file}:{_line_of(self._lines, where)}: {reason}")


def _line_of(lines: Sequence[str], where: Sequence[str]) -> int:
    """Return the line, from 1, of the innermost of these nested keys that has one of its own.

    TOML's parser keeps no positions, so this follows headers and keys through the text; an option inside ``{ … }`` is
    found at the line of its field.
    """
    header: tuple[str, ...] = ()
    best, depth = 1, 0
    for number, line in enumerate(lines, 1):
        if found := re.match(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$", line):
            header = _keys(found[1])
            keys = header
        elif found := re.match(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=", line):
            keys = (*header, *_keys(found[1]))
        else:
            continue
        if len(keys) > depth and tuple(where[: len(keys)]) == keys:
            best, depth = number, len(keys)
    return best


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip().strip("\"'") for key in re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", text))


def _listed(words: Collection[str]) -> str:
    return ", ".join(sorted(words))
