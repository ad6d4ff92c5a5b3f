import pytest
from click.testing import CliRunner

from fraudstream.cli import cli
from tests.repository.tree import ROOT


@pytest.mark.parametrize("name", ["settings", "metrics", "topics", "cli", "features"])
def test_reference_page_says_what_the_code_says(name: str) -> None:
    printed = CliRunner().invoke(cli, ["reference", name], prog_name="fraudstream")

    assert printed.exit_code == 0
    page = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
    assert printed.output.strip() in page, "run `make schemas`"
