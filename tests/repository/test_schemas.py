"""Schemas and examples in ``docs`` are what the code would write, and the code takes the examples."""

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from fraudstream.core import codec
from fraudstream.core.messages import LabelValue, Position, Transaction
from fraudstream.core.schemas import NativeTransaction, examples, main, schemas
from fraudstream.core.wire_declaration import _OPTIONS
from fraudstream.core.wire_formats import load_wire_formats

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"


@pytest.mark.parametrize("part", ["schemas", "examples"])
def test_what_is_committed_is_what_the_code_writes(tmp_path: Path, part: str) -> None:
    main([str(tmp_path)])
    written = {file.name: file.read_text() for file in (tmp_path / part).iterdir()}
    committed = {file.name: file.read_text() for file in (DOCS / part).iterdir()}
    assert committed == written


def test_each_schema_has_an_example_of_its_name() -> None:
    assert schemas().keys() <= examples().keys()


@pytest.mark.parametrize("name", ["transaction", "transaction-capstone", "transaction-handbook"])
def test_each_example_of_a_transaction_decodes(name: str) -> None:
    formats = load_wire_formats([])
    transaction = formats.decode((EXAMPLES / f"{name}.json").read_bytes(), 1_602_700_000_000)
    assert transaction.transaction_id
    assert transaction.amount_minor


def test_the_other_examples_decode() -> None:
    assert codec.decode_label((EXAMPLES / "label.json").read_bytes()).label is LabelValue.FRAUD
    for name in ("classification", "alert"):
        classification = codec.decode_classification((EXAMPLES / f"{name}.json").read_bytes())
        assert classification.source == Position(1, 0, 48_211)
    assert codec.decode_training_example((EXAMPLES / "training-example.json").read_bytes()).keys


def test_the_schema_of_a_transaction_is_the_native_format() -> None:
    text = (files("fraudstream.core") / "formats" / "native.toml").read_text("utf-8")
    declared = tomllib.loads(text)["fields"].keys()
    assert set(NativeTransaction.__struct_fields__) == set(declared) == set(Transaction.__struct_fields__)


def test_the_page_on_messages_names_every_field_and_example() -> None:
    page = (DOCS / "messages.md").read_text()
    for name in (*Transaction.__struct_fields__, *codec.SentLabel.__struct_fields__):
        assert f"`{name}`" in page
    linked = set(re.findall(r"\((?:examples|schemas)/[a-z-]+\.json\)", page))
    assert linked == {f"(examples/{name})" for name in examples()} | {
        f"(schemas/{name})" for name in schemas()
    }


def test_the_page_on_wire_formats_names_every_field_and_option() -> None:
    page = (DOCS / "wire-formats.md").read_text()
    for word in {*_OPTIONS, *(option for options in _OPTIONS.values() for option in options)}:
        assert f"`{word}`" in page


def test_the_format_shown_on_the_page_reads_the_message_shown_there(tmp_path: Path) -> None:
    page = (DOCS / "wire-formats.md").read_text()
    file = tmp_path / "shop.toml"
    file.write_text(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0])
    message, shown = re.findall(r"```json\n(.*?)```", page, re.DOTALL)[:2]
    transaction = load_wire_formats([file]).decode(message.encode(), 1_602_700_000_000)
    assert json.loads(codec.encode_classification(transaction)) == json.loads(shown)  # type: ignore[arg-type]
