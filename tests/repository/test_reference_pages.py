import click
import pytest

from fraudstream.cli import cli
from fraudstream.commands.reference import reference_text
from fraudstream.core.schemas import examples, schemas
from tests.repository.tree import ROOT


@pytest.mark.parametrize("name", ["settings", "metrics", "topics", "cli"])
def test_reference_page_says_what_the_code_says(name: str) -> None:
    with click.Context(cli, info_name="fraudstream") as root:
        text = reference_text(name, root)

    assert text in (ROOT / f"docs/{name}.md").read_text(encoding="utf-8"), "run `make schemas`"


@pytest.mark.parametrize(("folder", "made"), [("schemas", schemas()), ("examples", examples())])
def test_schemas_and_examples_are_those_the_code_makes(folder: str, made: dict[str, bytes]) -> None:
    kept = {path.name: path.read_bytes() for path in (ROOT / "docs" / folder).glob("*.json")}

    assert kept == made, "run `make schemas`"
