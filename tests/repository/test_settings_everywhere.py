import re

import pytest

from fraudstream.settings import Settings
from fraudstream.settings_reading import IGNORED
from tests.repository.example_environment import example_environment
from tests.repository.tree import ROOT, kept_files, text_of

_FIELDS = {f"FRAUDSTREAM_{name.upper()}" for name in Settings.model_fields}
_SECRETS = {
    f"FRAUDSTREAM_{name.upper()}"
    for name, field in Settings.model_fields.items()
    if "SecretStr" in str(field.annotation)
}
_VARIABLE = re.compile(r"\bFRAUDSTREAM_[A-Z0-9_]*[A-Z0-9]\b")
_EXAMPLE_LINE = re.compile(r"^# (FRAUDSTREAM_[A-Z0-9_]+)=(.*)$", re.MULTILINE)


def _is_known(variable: str) -> bool:
    return (
        variable in _FIELDS
        or variable.startswith(IGNORED)
        or (variable.endswith("_FILE") and variable.removesuffix("_FILE") in _SECRETS)
    )


def _where_settings_are_given() -> list[str]:
    names = ["compose.yaml", ".env.example", "Dockerfile", "README.md"]
    shown = [path.relative_to(ROOT).as_posix() for path in kept_files() if path.suffix in {".md", ".yaml"}]
    return sorted({*names, *(name for name in shown if name.startswith(("docs/", "k8s/")))})


@pytest.mark.parametrize("name", _where_settings_are_given())
def test_every_variable_a_document_or_manifest_names_is_a_setting(name: str) -> None:
    text = text_of(ROOT / name) or ""
    # A name that ends in an ellipsis or an underscore stands for a family of settings.
    unknown = {variable for variable in _VARIABLE.findall(text) if not _is_known(variable)}

    assert unknown == set()


def test_example_environment_names_every_setting_with_its_default() -> None:
    text = (ROOT / ".env.example").read_text()
    example = dict(_EXAMPLE_LINE.findall(text))

    assert text == example_environment(), "run `make schemas`"
    assert set(example) == _FIELDS
    assert Settings.load(example) == Settings()


def test_example_environment_sets_nothing_by_itself() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == []
