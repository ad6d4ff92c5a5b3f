"""A real server as a child process: started, asked for an answer, stopped, killed, frozen, started again."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import psutil

HOST = "127.0.0.1"
_SUPERVISOR = Path(__file__).with_name("supervise.py")
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05


class ServiceMissing(Exception):
    """A program the server needs is not on this machine; the message says which and how to get it."""


class ServiceFailed(Exception):
    """A server was started but did not answer in time; the message ends with its log."""


def free_port() -> int:
    """Return a loopback port nobody listens on.

    It lies below the range from which the kernel serves outgoing connections: otherwise a client that keeps
    knocking at a stopped server may be given the server's own port, connect to itself, and keep the server
    from coming back.
    """
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def accepts_connections(host: str, port: int) -> bool:
    """Tell whether something accepts TCP connections there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


class Server(ABC):
    """One server process with its port and its directory; the same pair over every restart.

    Parameters
    ----------
    directory
        Where data, settings and ``server.log`` live. Without one, a temporary directory that ``close``
        removes.
    port
        Loopback port; a free one if not given.
    """

    name: ClassVar[str]

    def __init__(self, directory: Path | None = None, port: int | None = None) -> None:
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix=f"fs-{self.name}-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.log = self.directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address in the form the project's settings take."""

    @abstractmethod
    def command(self) -> list[str]:
        """Prepare the directory and return the command line; called at every start."""

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether the server does what clients need of it, asked in its own protocol."""

    @property
    def is_running(self) -> bool:
        """Whether the process is there (frozen or not)."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_seconds: float = 90.0) -> Self:
        """Start the server and return once it answers. Data of an earlier run are kept.

        Raises
        ------
        ServiceMissing
            A program it needs is not installed.
        ServiceFailed
            It ended or did not answer in time; nothing is left running.
        """
        if self.is_running:
            return self
        command = self.command()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_SUPERVISOR), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_seconds
        while not (accepts_connections(HOST, self.port) and self.answers()):
            if not self.is_running or time.monotonic() > deadline:
                reason = "did not answer in time" if self.is_running else "ended while starting"
                self.kill()
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
                msg = f"{self.name} {reason} ({' '.join(command[:1])}), last lines of its log:\n{tail}"
                raise ServiceFailed(msg)
            time.sleep(_POLL_SECONDS)
        return self

    def stop(self) -> None:
        """Ask the server to end in an orderly way and wait; kill it after half a minute. Idempotent."""
        if self._process is None:
            return
        if self.is_running:
            self.thaw()
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                return
        self._reap()

    def kill(self) -> None:
        """End the server as a power cut would (SIGKILL). Idempotent."""
        if self._process is None:
            return
        if self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reap()

    def freeze(self) -> None:
        """Stop the server's clock: connections stay open, nothing is answered until ``thaw``."""
        self._signal_program(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal_program(signal.SIGCONT)

    def wipe(self) -> None:
        """Stop the server and forget its data; the next start begins empty on the same port."""
        self.stop()
        shutil.rmtree(self.directory)
        self.directory.mkdir(parents=True)

    def close(self) -> None:
        """Stop the server and remove its directory if it was a temporary one. Idempotent."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signal_program(self, number: signal.Signals) -> None:
        # Only the program: a frozen supervisor could not notice that the tests have died.
        if self._process is not None and self.is_running:
            for program in psutil.Process(self._process.pid).children():
                program.send_signal(number)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None
