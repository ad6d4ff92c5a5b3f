import re
import subprocess

import pytest

from tests.repository.tree import ROOT

_MAKEFILE = (ROOT / "Makefile").read_text()
_TARGETS = set(re.findall(r"^([a-z][a-z-]*):", _MAKEFILE, flags=re.MULTILINE))


def _explained() -> set[str]:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(re.findall(r"^  make ([a-z-]+) +\S", done.stdout, flags=re.MULTILINE))


def test_make_alone_lists_every_target_a_person_uses() -> None:
    assert _TARGETS - _explained() == {"services"}


@pytest.mark.parametrize("document", ["README.md", "docs/development.md"])
def test_every_make_target_a_document_names_exists(document: str) -> None:
    named = set(re.findall(r"^make ([a-z][a-z-]*)", _code(document), flags=re.MULTILINE))

    assert named
    assert named <= _TARGETS


def _code(document: str) -> str:
    """Only what is set as code: in prose, `make` is an ordinary verb."""
    text = (ROOT / document).read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks, *spans])


def test_continuous_integration_runs_the_targets_people_run() -> None:
    script = (ROOT / ".ci/run").read_text()

    assert re.search(r"^make test\b", script, flags=re.MULTILINE)
    assert re.search(r"^make check\b", script, flags=re.MULTILINE)
    assert "export CI=true" in script
