"""Bring what the services need: Debian packages where we may install them, Java archives from Maven."""

import os
import shutil
import subprocess

from tests.services.jars import program
from tests.services.kafka import kafka_jars
from tests.services.mongo import mongo_jars
from tests.services.process import ServiceMissing

# Program -> package. The "-core" packages bring the server without a system service that starts by itself.
_PROGRAMS = {
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",
    "javac": "default-jdk-headless",
    "mvn": "maven",
}
_APT = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]  # another installation may be under way


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are not on this machine."""
    packages = set()
    for name, package in _PROGRAMS.items():
        try:
            program(name, package)
        except ServiceMissing:
            packages.add(package)
    return sorted(packages)


def install() -> list[str]:
    """Install what is missing and return what could not be, one sentence each. Idempotent."""
    problems = []
    packages = missing_packages()
    if packages:
        problem = _install_packages(packages)
        if problem:
            problems.append(problem)
    for fetch in (kafka_jars, mongo_jars):
        try:
            fetch()
        except ServiceMissing as missing:
            problems.append(str(missing))
    return problems


def _install_packages(packages: list[str]) -> str | None:
    wanted = " ".join(packages)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"missing {wanted}: install them as administrator (apt-get install {wanted})"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install_command = [*_APT, "install", "-y", "--no-install-recommends", *packages]
    for command in ([*_APT, "update"], install_command):
        print("+", " ".join(command), flush=True)
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            return f"apt-get could not install {wanted}"
    return None
