import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import ServiceFailed, ServiceMissing, docker, resolve
from tests.services.install import missing_packages
from tests.services.jars import made_once, program
from tests.services.process import free_port

_ROOT = Path(__file__).parents[2]

# Plays `docker`: an engine that answers, and a container that listens where it was told to.
_DOCKER = """#!{python}
import re, socket, sys
if sys.argv[1] == "run":
    port = int(re.search(r"127\\.0\\.0\\.1:(\\d+):", " ".join(sys.argv)).group(1))
    print(*sys.argv[1:], flush=True)
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            server.accept()[0].close()
"""


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds no program, and nothing that ``make up`` left."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("FRAUDSTREAM_SERVICES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(resolve, "ENVIRONMENT_FILE", tmp_path / "env")
    return folder


def test_named_address_comes_first(mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_TEST_MONGO_URL", mongo_url)

    service = resolve.resolve("mongo")

    assert service.url == mongo_url
    service.close()


def test_named_address_that_does_not_answer_is_a_failure_and_no_reason_to_look_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FRAUDSTREAM_TEST_KAFKA_URL", f"kafka://127.0.0.1:{free_port()}")

    with pytest.raises(ServiceFailed, match="FRAUDSTREAM_TEST_KAFKA_URL"):
        resolve.resolve("kafka")


def test_what_make_up_started_is_used_if_it_answers(
    mongo_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "env"
    left.write_text(f"FRAUDSTREAM_MONGO_URL={mongo_url}\n")
    monkeypatch.setattr(resolve, "ENVIRONMENT_FILE", left)

    assert resolve.resolve("mongo").url == mongo_url


@pytest.mark.usefixtures("empty_path")
def test_without_programs_and_engine_the_reason_names_both() -> None:
    with pytest.raises(ServiceMissing, match=r"no kafka: .* apt-get install .* no Docker engine answers"):
        resolve.resolve("kafka")


def test_without_programs_a_container_is_started_and_ends_with_the_tests(
    empty_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = empty_path / "docker"
    engine.write_text(_DOCKER.format(python=sys.executable))
    engine.chmod(0o755)
    monkeypatch.setattr(docker, "mongo_answers", lambda _: True)

    service = resolve.resolve("mongo")
    service.close()

    assert service.origin == f"container {docker.MONGO_IMAGE}"
    assert service.url.startswith("mongodb://127.0.0.1:")


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 failed")])
def test_missing_service_skips_aloud_and_fails_in_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    wish = tmp_path / "test_wish.py"
    wish.write_text("def test_wish(own_kafka):\n    own_kafka()\n")
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(_ROOT)}
    environment |= {"FRAUDSTREAM_SERVICES_CACHE": str(tmp_path / "cache"), "CI": ci}
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-ra"]

    done = subprocess.run(
        [*command, str(wish)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert outcome in done.stdout
    assert "is not installed (on Debian: apt-get install" in done.stdout


@pytest.mark.usefixtures("empty_path")
def test_missing_programs_are_told_by_their_packages() -> None:
    assert {"maven", "default-jdk-headless"} <= set(missing_packages())


def test_missing_program_is_told_with_what_would_bring_it() -> None:
    with pytest.raises(ServiceMissing, match="no-such-program is not installed"):
        program("no-such-program", "the-package")


def test_directory_that_could_not_be_filled_is_not_left_behind(tmp_path: Path) -> None:
    target = tmp_path / "jars"

    def fill_until_the_disk_is_full() -> None:
        with made_once(target) as scratch:
            assert scratch is not None
            (scratch / "half.jar").touch()
            msg = "disk full"
            raise OSError(msg)

    with pytest.raises(OSError, match="disk full"):
        fill_until_the_disk_is_full()

    assert not target.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"jars.lock"}


def test_directory_is_made_once(tmp_path: Path) -> None:
    with made_once(tmp_path / "jars") as first:
        assert first is not None
        (first / "one.jar").touch()
    with made_once(tmp_path / "jars") as second:
        assert second is None

    assert os.listdir(tmp_path / "jars") == ["one.jar"]
