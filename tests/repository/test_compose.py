import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import fraudstream
from tests.repository.tree import ROOT
from tests.services import docker

_COMPOSE: dict[str, Any] = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())
_DOCKERFILE = (ROOT / "Dockerfile").read_text()
_CHECKER = Path(sys.executable).with_name("check-jsonschema")


def _check_schema(path: Path) -> subprocess.CompletedProcess[str]:
    command = [_CHECKER, "--builtin-schema", "vendor.compose-spec", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_compose_file_is_one() -> None:
    done = _check_schema(ROOT / "compose.yaml")

    assert done.returncode == 0, done.stdout


def test_a_misspelt_compose_file_would_be_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((ROOT / "compose.yaml").read_text().replace("depends_on:", "depend_on:", 1))

    assert _check_schema(wrong).returncode != 0


@pytest.mark.parametrize(
    ("service", "image"),
    [("kafka", docker.KAFKA_IMAGE), ("mongo", docker.MONGO_IMAGE), ("mariadb", docker.MARIADB_IMAGE)],
)
def test_compose_and_tests_run_the_same_images(service: str, image: str) -> None:
    assert _COMPOSE["services"][service]["image"] == image


@pytest.mark.parametrize("service", _COMPOSE["services"])
def test_image_tag_is_exact_enough_to_be_found_again(service: str) -> None:
    tag = _COMPOSE["services"][service]["image"].partition(":")[2]

    assert re.search(r"\d+\.\d+", tag)
    assert "latest" not in tag


@pytest.mark.parametrize("service", _COMPOSE["services"])
def test_ports_are_open_to_this_machine_only(service: str) -> None:
    ports = _COMPOSE["services"][service].get("ports", [])

    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_services_that_run_on_are_watched_and_worker_waits_for_them() -> None:
    running = {name for name in _COMPOSE["services"] if name != "topics"}

    assert {name for name in running if "healthcheck" in _COMPOSE["services"][name]} == running
    assert set(_COMPOSE["services"]["worker"]["depends_on"]) == {"topics", "mongo", "mariadb"}


def test_image_of_the_project_has_the_version_of_the_package() -> None:
    for service in ("topics", "worker"):
        assert (
            _COMPOSE["services"][service]["image"] == f"fraudstream:${{IMAGE_TAG:-{fraudstream.__version__}}}"
        )


def test_image_runs_as_a_user_without_rights() -> None:
    users = re.findall(r"^USER (.+)$", _DOCKERFILE, flags=re.MULTILINE)

    assert users == ["10001:10001"]


def test_image_brings_what_is_copied_into_it_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {
        name
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", _DOCKERFILE, flags=re.MULTILINE)
        for name in sources.split()
    }

    assert "*" in ignored
    assert copied == allowed
    assert {name for name in copied if not (ROOT / name).exists()} == set()
