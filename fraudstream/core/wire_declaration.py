"""A wire format as its file declares it: read from TOML, every word checked, every fault at its line."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final, NoReturn

from fraudstream.core.currencies import is_currency_code
from fraudstream.core.messages import LabelValue
from fraudstream.core.time_patterns import compile_time_pattern, parse_zone
from fraudstream.core.toml_positions import line_of
from fraudstream.core.wire_rules import EPOCH_UNITS, Declaration, FieldRule, Path
from fraudstream.errors import InvalidWireFormat

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
            found = re.search(
                r"^(?P<reason>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)$", str(error)
            )
            line = int(found["line"]) if found and found["line"] else max(len(self._lines), 1)
            fault = f"{file}:{line}: is not TOML: {found['reason'] if found else error}"
            raise InvalidWireFormat(fault) from error

    def declaration(self) -> Declaration:
        for key in self._tables:
            if key not in _SECTIONS:
                self._fail(f"unknown key {key!r}; known are {_listed(_SECTIONS)}", key)
        name = self._tables.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._fail("needs a name of small letters, digits, - and _, such as name = 'shop'", "name")
        missing = self._texts(self._tables.get("missing", []), "missing")
        when = self._table("when")
        for key in when:
            if key not in ("has", "lacks", "equals"):
                self._fail(f"unknown test {key!r}; known are equals, has, lacks", "when", key)
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
            self._fail(f"unknown field {target!r}; known are {_listed(_OPTIONS)}", "fields", target)
        given = self._tables["fields"][target]
        options = {"from": given} if isinstance(given, str) else given
        if not isinstance(options, dict):
            self._fail(f"{target} needs a path in quotes or a table of options", "fields", target)
        for option, value in options.items():
            at = ("fields", target, option)
            if option not in _OPTIONS[target]:
                known = _listed(_OPTIONS[target])
                self._fail(f"unknown option {option!r} of {target}; known are {known}", *at)
            kind, wanted = _OPTION_TYPES[option]
            if not isinstance(value, kind):
                self._fail(f"{option} of {target} must be {wanted}", *at)
        where = ("fields", target)
        rule = FieldRule(
            path=self._path(options["from"], *where, "from") if "from" in options else None,
            missing=self._texts(options["missing"], *where, "missing") if "missing" in options else missing,
            values=self._values(target, options.get("values")),
            refuses_others=self._word(options.get("others", "keep"), ("keep", "refuse"), *where, "others")
            == "refuse",
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
                self._fail("event_time of format 'record' takes no other option", *where)
            return
        if sum(sources) != 1:
            known = [option for option in ("from", "fixed", "template") if option in _OPTIONS[target]]
            self._fail(f"{target} needs {' or '.join(known)}{' (one of them)' * (len(known) > 1)}", *where)
        if target == "amount_minor" and not rule.unit:
            self._fail("amount_minor needs unit = 'major' (pounds) or 'minor' (pence)", *where)
        if target == "currency" and rule.fixed is not None and not is_currency_code(rule.fixed):
            self._fail(f"{rule.fixed!r} is no currency code", *where, "fixed")
        if target == "event_time":
            self._check_time(rule)

    def _check_time(self, rule: FieldRule) -> None:
        where = ("fields", "event_time", "format")
        if rule.time_format in EPOCH_UNITS or rule.time_format == "iso8601":
            if rule.time_format != "iso8601" and rule.zone is not None:
                self._fail(f"{rule.time_format} is in UTC and takes no timezone", *where)
            return
        if "%" not in rule.time_format:
            known = _listed([*EPOCH_UNITS, "iso8601", "record"])
            self._fail(f"unknown time format {rule.time_format!r}; known are {known} and patterns", *where)
        try:
            compile_time_pattern(rule.time_format, rule.zone)
        except ValueError as error:
            self._fail(f"bad time pattern {rule.time_format!r}: {error}", *where)

    def _check_together(self, fields: Mapping[str, FieldRule]) -> None:
        for required in ("transaction_id", "event_time"):
            if required not in fields:
                self._fail(f"missing field {required}: every transaction needs one", "fields")
        amount = fields.get("amount_minor")
        if amount is not None and not amount.symbols and "currency" not in fields:
            fault = "amount_minor needs a currency: the field currency, or symbols such as { '£' = 'GBP' }"
            self._fail(fault, "fields", "amount_minor")

    def _check_shape(self, declaration: Declaration) -> None:
        uses = [(rule.path, ("fields", target)) for target, rule in declaration.fields.items() if rule.path]
        uses += [(path, ("attributes", name)) for name, path in declaration.attributes.items()]
        template = declaration.fields["transaction_id"].template or ()
        uses += [(part, ("fields", "transaction_id")) for part in template if isinstance(part, tuple)]
        leaves = {path for path, _ in uses}
        card = declaration.fields.get("card_id")
        whole = declaration.fields.get("attributes")
        for path, where in uses:
            if whole is not None and path == whole.path and where != ("fields", "attributes"):
                self._fail(f"{'.'.join(path)!r} is used as a value and as an object of attributes", *where)
            if outer := [path[:length] for length in range(1, len(path)) if path[:length] in leaves]:
                inner = ".".join(outer[0])
                self._fail(f"{inner!r} is used as a value and as an object around another", *where)
            if card is not None and path == card.path and where[1] not in ("transaction_id", *_IDS):
                self._fail("the card id may be read into no other field than an id, beside its token", *where)

    def _values(self, target: str, values: Mapping[str, Any] | None) -> Mapping[str, str] | None:
        if values is None:
            return {label.value: label.value for label in LabelValue} if target == "label" else None
        where = ("fields", target, "values")
        renamed = self._renames(where[-1], values, *where)
        for meaning in renamed.values():
            if target == "label" and meaning not in tuple(LabelValue):
                self._fail(f"a label is 'fraud' or 'genuine', not {meaning!r}", *where)
            if target == "currency" and not is_currency_code(meaning):
                self._fail(f"{meaning!r} is no currency code", *where)
        return renamed

    def _symbols(self, symbols: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        for symbol, currency in symbols.items():
            if not symbol or not isinstance(currency, str) or not is_currency_code(currency):
                fault = f"symbols: {symbol!r} needs a currency code such as 'GBP'"
                self._fail(fault, "fields", "amount_minor", "symbols")
        # The longest first, so that 'A$' is not read as 'A' and a dollar sign.
        return tuple(sorted(symbols.items(), key=lambda item: -len(item[0])))

    def _template(self, text: str) -> tuple[str | Path, ...]:
        where = ("fields", "transaction_id", "template")
        pieces = re.split(r"\{([^{}]*)\}", text)
        if len(pieces) == 1 or any(brace in piece for piece in pieces[::2] for brace in "{}"):
            self._fail("template needs paths in braces, such as '{shop}-{number}'", *where)
        parts = [self._path(piece, *where) if index % 2 else piece for index, piece in enumerate(pieces)]
        return tuple(part for part in parts if part)

    def _zone(self, name: str) -> tzinfo:
        try:
            return parse_zone(name)
        except ValueError as error:
            self._fail(str(error), "fields", "event_time", "timezone")

    def _table(self, key: str) -> dict[str, Any]:
        table = self._tables.get(key, {})
        if not isinstance(table, dict):
            self._fail(f"{key} must be a table: [{key}]", key)
        return table

    def _path(self, path: object, *where: str) -> Path:
        parts = tuple(path.split(".")) if isinstance(path, str) else ()
        if not all(parts) or not parts:
            self._fail(f"expected a path such as 'card.token', got {path!r}", *where)
        return parts

    def _paths(self, paths: object, key: str) -> tuple[Path, ...]:
        if not isinstance(paths, list):
            self._fail(f"{key} must be a list of paths", "when", key)
        return tuple(self._path(path, "when", key) for path in paths)

    def _equals(self, tests: object) -> tuple[tuple[Path, Any], ...]:
        if not isinstance(tests, dict):
            self._fail("equals must be a table such as { 'message.kind' = 'payment' }", "when", "equals")
        for path, value in tests.items():
            if not isinstance(value, str | int | bool):
                self._fail(f"{path!r} must equal a text, a whole number, true or false", "when", "equals")
        return tuple((self._path(path, "when", "equals"), value) for path, value in tests.items())

    def _texts(self, texts: object, *where: str) -> frozenset[str]:
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            self._fail(f"{where[-1]} must be a list of texts", *where)
        return frozenset(texts)

    def _renames(self, key: str, table: Mapping[str, Any], *where: str) -> Mapping[str, str]:
        for name, meaning in table.items():
            if not isinstance(meaning, str):
                self._fail(f"{key}: {name!r} must stand for a text", *(where or (key, name)))
        return table

    def _word(self, word: str, known: Sequence[str], *where: str) -> str:
        if word not in known:
            self._fail(f"bad {where[-1]} {word!r}; known are {_listed(known)}", *where)
        return word

    def _fail(self, reason: str, *where: str) -> NoReturn:
        fault = f"{self._file}:{line_of(self._lines, where)}: {reason}"
        raise InvalidWireFormat(fault)


def _listed(words: Collection[str]) -> str:
    return ", ".join(sorted(words))
