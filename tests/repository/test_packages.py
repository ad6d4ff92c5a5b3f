import configparser
import importlib
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import fraudstream
from tests.repository.tree import ROOT

_CONFIG = configparser.ConfigParser()
_CONFIG.read(ROOT / "setup.cfg")


def _locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split(";")[0].split("==") for line in lines if not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): pinned.strip() for name, pinned in pins}


def _declared() -> list[Requirement]:
    lists = [_CONFIG["options"]["install_requires"], *_CONFIG["options.extras_require"].values()]
    return [Requirement(line) for lines in lists for line in lines.splitlines() if line]


@pytest.mark.parametrize("package", ["fraudstream", "agents", "tables"])
def test_package_is_the_projects_own_and_not_another_of_that_name(package: str) -> None:
    module = importlib.import_module(package)

    assert module.__file__ is not None
    assert Path(module.__file__) == ROOT / package / "__init__.py"


def test_version_is_the_same_wherever_it_is_written() -> None:
    assert fraudstream.__version__ == _CONFIG["metadata"]["version"]


@pytest.mark.parametrize("requirement", _declared(), ids=lambda requirement: requirement.name)
def test_locked_version_is_one_the_project_allows(requirement: Requirement) -> None:
    locked = _locked()[re.sub(r"[-_.]+", "-", requirement.name).lower()]

    assert requirement.specifier.contains(locked)


def test_every_locked_line_names_one_exact_version() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert pins
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.!+]+( ; .+)?", line)] == []


@pytest.mark.parametrize("package", ["faust-streaming", "mode-streaming", "aiokafka"])
def test_what_delivery_leans_on_is_pinned_and_installed_in_that_version(package: str) -> None:
    declared = next(requirement for requirement in _declared() if requirement.name == package)

    assert str(declared.specifier) == f"=={version(package)}"


def test_imports_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
