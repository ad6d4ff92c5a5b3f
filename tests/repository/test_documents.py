import re
from pathlib import Path

import pytest

from tests.repository.tree import ROOT, kept_files

_FIRST_SCREEN_LINES = 30
_PAGES = sorted(path for path in kept_files() if path.suffix == ".md")


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_readme_names_the_command_on_its_first_screen(command: str) -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:_FIRST_SCREEN_LINES]

    assert [line for line in first_screen if line.strip().startswith(command)]


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", prose)]
    inside = [target for target in targets if target and "://" not in target]

    assert [target for target in inside if not (page.parent / target).exists()] == []


def test_readme_shows_the_folders_that_exist() -> None:
    tree = re.search(r"^## Where things are\n+```text\n(.*?)^```", _readme(), flags=re.MULTILINE | re.DOTALL)

    assert tree is not None
    shown = re.findall(r"^(\S+)", tree.group(1), flags=re.MULTILINE)
    assert shown
    assert [name for name in shown if not (ROOT / name).exists()] == []


def test_development_page_lists_the_kinds_of_tests_there_are() -> None:
    named = set(
        re.findall(r"^\| `tests/(\w+)/`", (ROOT / "docs/development.md").read_text(), flags=re.MULTILINE)
    )

    kept = {path.relative_to(ROOT / "tests").parts[0] for path in kept_files() if _is_test(path)}
    assert named | {"services"} == kept


def test_index_of_decisions_lists_every_page_with_its_title() -> None:
    folder = ROOT / "docs/adr"
    index = (folder / "README.md").read_text()
    pages = sorted(folder.glob("[0-9]*.md"))

    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == [page.name for page in pages]
    for number, page in enumerate(pages, start=1):
        title = page.read_text().splitlines()[0]
        assert title.startswith(f"# {number:04} ")
        assert title.removeprefix(f"# {number:04} ") in index


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs/adr").glob("[0-9]*.md")), ids=lambda page: str(page.stem)
)
def test_decision_says_what_forced_it_and_what_follows(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(), flags=re.MULTILINE)

    assert headings == ["Context", "Decision", "Consequences"]


def _is_test(path: Path) -> bool:
    return path.is_relative_to(ROOT / "tests") and path.name.startswith("test_")


def _readme() -> str:
    return (ROOT / "README.md").read_text()
