"""A real MariaDB server in a directory of its own, reachable on loopback by one user."""

import os
import secrets
import subprocess
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pymysql

from tests.services.jars import program
from tests.services.process import HOST, Server, ServiceFailed

_PACKAGES = "mariadb-server-core mariadb-client-core"


class MariaDbServer(Server):
    """A MariaDB server. Restarting it, orderly or after ``kill``, keeps what was committed.

    Its one user may do anything in databases whose name starts with ``fraudstream`` and nothing elsewhere: in
    particular it cannot read or write files, which matters where tests run as root. The administrator's
    account is open only to the operating-system user who runs the server, over a socket inside the data
    directory.
    """

    name: ClassVar[str] = "mariadb"

    def __init__(self, directory: Path | None = None, port: int | None = None) -> None:
        super().__init__(directory, port)
        self._password = secrets.token_hex(16)

    @property
    def url(self) -> str:
        return f"mysql://fraudstream:{self._password}@{HOST}:{self.port}/fraudstream"

    def command(self) -> list[str]:
        server, data = program("mariadbd", _PACKAGES), self.directory / "data"
        if not data.exists():
            self._create(data)
        script = self.directory / "init.sql"
        script.touch(mode=0o600)
        script.write_text(self._init_script())
        return [
            server,
            "--no-defaults",
            *_run_as(),
            f"--datadir={data}",
            # Relative to the data directory: an absolute path may exceed the 107 bytes a socket's name may
            # have.
            "--socket=socket",
            f"--pid-file={self.directory / 'pid'}",
            f"--init-file={script}",
            f"--bind-address={HOST}",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--innodb-flush-log-at-trx-commit=2",  # survives the server's death, not the machine's
        ]

    def answers(self) -> bool:
        return mariadb_answers(self.url)

    def _create(self, data: Path) -> None:
        installer = program("mariadb-install-db", _PACKAGES)
        command = [installer, "--no-defaults", *_run_as(), f"--datadir={data}", "--skip-test-db"]
        command += ["--skip-name-resolve", "--auth-root-authentication-method=socket"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            msg = f"mariadb-install-db failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            raise ServiceFailed(msg)

    def _init_script(self) -> str:
        return (
            "CREATE DATABASE IF NOT EXISTS fraudstream;\n"
            f"CREATE OR REPLACE USER 'fraudstream'@'%' IDENTIFIED BY '{self._password}';\n"
            "GRANT ALL ON `fraudstream%`.* TO 'fraudstream'@'%';\n"
        )


def mariadb_answers(url: str) -> bool:
    """Tell whether a MariaDB server lets the user of that address in."""
    try:
        connect(url).close()
    except pymysql.err.MySQLError:
        return False
    return True


def connect(
    url: str, database: str | None = None
) -> "pymysql.connections.Connection[pymysql.cursors.Cursor]":
    """Connect to a ``mysql://user:password@host:port/database`` address."""
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=parts.username,
        password=parts.password or "",
        database=database or parts.path.lstrip("/") or None,
        connect_timeout=5,
        read_timeout=5,  # a frozen server accepts connections and never says a word
        autocommit=True,
    )


def _run_as() -> list[str]:
    """MariaDB refuses to run as root unless told that this is meant."""
    return ["--user=root"] if os.geteuid() == 0 else []
