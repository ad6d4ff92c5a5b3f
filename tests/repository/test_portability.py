import re
import stat

import pytest

from tests.repository.tree import ROOT, kept_files, text_of

# Written so that this file does not match itself.
_BOUND_TO_ONE_PLACE = {
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:work|root|Users)/\w|/home/(?!op\b)\w+/"),
    "a place packages come from": re.compile(
        r"(?:--|_|-)(?:extra-)?index[-_]url|PIP_FIND[_]LINKS|GO[P]ROXY|repo1?\.maven\.(?:apache\.)?org|"
        r"files\.python[h]osted\.org|registry\.npm[j]s|npm[_]config[_]registry",
        re.IGNORECASE,
    ),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE K[E]Y"),
}


def _found(text: str) -> list[str]:
    return [
        f"{number}: {what}: {line.strip()[:120]}"
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in _BOUND_TO_ONE_PLACE.items()
        if pattern.search(line)
    ]


def test_no_file_is_bound_to_one_machine_or_registry() -> None:
    faults = []
    for path in kept_files():
        text = text_of(path)
        if text is not None:
            faults += [f"{path.relative_to(ROOT)}:{fault}" for fault in _found(text)]

    assert faults == []


@pytest.mark.parametrize(
    "line",
    [
        "cache = '/" + "work/main/.cache'",
        "see /" + "home/somebody/notes",
        "pip install --index" + "-url https://packages.example",
        "export GO" + "PROXY=direct",
        "-----BEGIN RSA PRIVATE " + "KEY-----",
    ],
)
def test_what_is_bound_to_one_place_would_be_found(line: str) -> None:
    assert _found(line)


@pytest.mark.parametrize("name", [".ci/run"])
def test_script_can_be_run(name: str) -> None:
    path = ROOT / name

    assert path.stat().st_mode & stat.S_IXUSR
    assert path.read_text().startswith("#!")
