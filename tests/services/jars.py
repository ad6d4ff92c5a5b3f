"""Java archives from Maven, kept in a cache that any number of test runs share."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.services.process import ServiceMissing

_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_ATTEMPTS = 3  # a registry that hiccups once should not fail a test run
_ATTEMPT_SECONDS = 600.0

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>fraudstream</groupId>
  <artifactId>{name}</artifactId>
  <version>1</version>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
_DEPENDENCY = (
    "    <dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
)


def cache_directory() -> Path:
    """Return the cache: ``$FRAUDSTREAM_SERVICES_CACHE``, else ``.services/cache`` in the project."""
    configured = os.environ.get("FRAUDSTREAM_SERVICES_CACHE")
    root = Path(configured) if configured else Path(__file__).parents[2] / ".services" / "cache"
    root.mkdir(parents=True, exist_ok=True)
    return root.resolve()


def program(name: str, package: str) -> str:
    """Return the path of a program, or raise :class:`ServiceMissing` naming what would bring it.

    Administration folders are searched too: servers live there and a plain user's PATH leaves them out.
    """
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"))
    found = shutil.which(name, path=search)
    if found is None:
        msg = f"{name} is not installed (on Debian: apt-get install {package})"
        raise ServiceMissing(msg)
    return found


@contextmanager
def made_once(target: Path) -> Iterator[Path | None]:
    """Give one process at a time an empty directory that becomes ``target`` if the block succeeds.

    Yields None if ``target`` is there already. A block that raises, or a process that dies, leaves nothing
    behind under that name, so that a half-filled directory is never taken for a whole one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        scratch = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
        try:
            yield scratch
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def jars(name: str, coordinates: Sequence[str]) -> Path:
    """Return a directory with the named artifacts and all they need at run time.

    Maven takes its mirrors, proxies and credentials from the machine's own settings. Checksums must match.

    Parameters
    ----------
    name
        Directory in the cache; name it after the versions, since one that exists is used as it is.
    coordinates
        ``group:artifact:version``, in the order that decides conflicting versions.
    """
    target = cache_directory() / name
    with made_once(target) as scratch:
        if scratch is not None:
            _download(name, coordinates, scratch)
    return target


def _download(name: str, coordinates: Sequence[str], scratch: Path) -> None:
    dependencies = "\n".join(_DEPENDENCY.format(*coordinate.split(":")) for coordinate in coordinates)
    pom = scratch / "pom.xml"
    pom.write_text(_POM.format(name=name, dependencies=dependencies))
    command = [program("mvn", "maven"), "--quiet", "--batch-mode", "--strict-checksums", "--file", str(pom)]
    command += [f"{_DEPENDENCY_PLUGIN}:copy-dependencies", "-DincludeScope=runtime"]
    command += [f"-DoutputDirectory={scratch}"]
    for attempt in range(1, _ATTEMPTS + 1):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ATTEMPT_SECONDS, check=False)
        if done.returncode == 0:
            return
        if attempt == _ATTEMPTS:
            msg = f"Maven could not fetch {', '.join(coordinates)}:\n{(done.stdout + done.stderr)[-3000:]}"
            raise ServiceMissing(msg)


JAVA_FLAGS = (
    # One collector thread leaves cores to the tests.
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)

QUICK_COMPILER = "-XX:TieredStopAtLevel=1"
"""For what lives for seconds: quick start-up beats peak speed."""


def java() -> str:
    """Return the path of the Java launcher."""
    return program("java", "default-jdk-headless")
