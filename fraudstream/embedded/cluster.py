"""A Kafka-protocol broker in a process of its own, so that one command runs the whole system.

``python -m fraudstream.embedded.cluster FILE transactions=4 labels=1`` starts librdkafka's mock cluster,
creates the topics, writes ``host:port`` to FILE and serves until its standard input ends. A parent holds the
other end of that pipe, so the broker dies with its parent, however that one dies: SIGKILL closes a pipe too.

What it is good for: demonstrations and tests of the flow: produce, fetch, groups, commits, idempotent and
transactional producers. What it is not:

* nothing is kept: records live in memory and go with the process;
* each partition keeps only its last 5 MB or so, whatever its retention; a consumer further behind than that
  loses records;
* topics are never compacted, and ``CreateTopics`` is not answered: name every topic, changelogs too, at the
  start (an unknown one appears with four partitions);
* it fences nobody: producer epochs are handed out but an older one is still accepted, and aborted
  transactions stay readable;
* the markers that end a transaction carry no checksum: readers of such topics must not check any
  (``FRAUDSTREAM_KAFKA_CHECK_CRCS=false``);
* after a member has left a group, the next one to join waits five seconds;
* no TLS, no SASL, no ACLs, no listing of groups.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from types import TracebackType
from typing import IO, Self

from fraudstream.embedded.mock_library import MockCluster, MockClusterError
from fraudstream.errors import InvalidInput, OperatorError

START_SECONDS = 15.0
"""How long the child may take to import, open its port and create its topics: measured 0.2 s, loaded 2 s."""

STOP_SECONDS = 5.0
"""How long the child may take to end once its input is closed, before it is killed. It saves nothing."""


class EmbeddedCluster:
    """A mock cluster in a child process, for as long as a ``with`` block lasts.

    >>> with EmbeddedCluster({"transactions": 4}) as cluster:
    ...     cluster.kafka_url.startswith("kafka://127.0.0.1:")
    True

    Parameters
    ----------
    topics
        Every topic that will be used, with its number of partitions (1 or more).
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._topics = dict(topics)
        self._process: subprocess.Popen[bytes] | None = None
        self._bootstrap = ""
        self._complaints: IO[bytes] | None = None

    @property
    def kafka_url(self) -> str:
        """Return the broker's address as ``FRAUDSTREAM_KAFKA_URL`` wants it; it changes with each start."""
        return f"kafka://{self.bootstrap}"

    @property
    def bootstrap(self) -> str:
        """Return the broker's address as ``host:port``."""
        if not self._bootstrap:
            msg = "the embedded cluster is not running"
            raise MockClusterError(msg)
        return self._bootstrap

    @property
    def pid(self) -> int | None:
        """Return the child's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> str:
        """Start the child, wait until it answers, and return :attr:`kafka_url`.

        Raises
        ------
        MockClusterError
            It ended, or did not answer in time; nothing is left running.
        """
        with TemporaryDirectory(prefix="fraudstream-") as folder:
            address = Path(folder, "bootstrap")
            wanted = [f"{name}={partitions}" for name, partitions in self._topics.items()]
            self._complaints = TemporaryFile()  # noqa: SIM115 - lives as long as the child
            self._process = subprocess.Popen(  # noqa: S603 - our own module, arguments not through a shell
                [sys.executable, "-m", "fraudstream.embedded.cluster", str(address), *wanted],
                stdin=subprocess.PIPE,
                # A file, not a pipe: nobody reads while the broker serves, and a full pipe would stop it.
                stderr=self._complaints,
                # A Ctrl-C at the terminal is for the parent, which may still have to read what is held here.
                start_new_session=True,
            )
            deadline = time.monotonic() + START_SECONDS
            while not address.exists():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise MockClusterError(self._failure())
                time.sleep(0.01)
            self._bootstrap = address.read_text(encoding="ascii")
        return self.kafka_url

    def stop(self) -> None:
        """End the child and wait for it. Idempotent; every record is gone afterwards."""
        process, self._process, self._bootstrap = self._process, None, ""
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._complaints:
            self._complaints.close()

    def _failure(self) -> str:
        """Stop the child and return why it did not start, in one line."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        told = ""
        if self._complaints:
            self._complaints.seek(0)
            told = self._complaints.read().decode(errors="replace")
        self.stop()
        return f"the embedded cluster did not start: {told.strip() or 'no answer in time'}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def parse_topics(wanted: Sequence[str]) -> dict[str, int]:
    """Read ``name=partitions`` arguments.

    >>> parse_topics(["transactions=4", "labels=1"])
    {'transactions': 4, 'labels': 1}

    Raises
    ------
    InvalidInput
        An argument has no name, or its partitions are not a whole number of 1 or more.
    """
    topics = {}
    for argument in wanted:
        name, _, partitions = argument.rpartition("=")
        if not name or not partitions.isdecimal() or int(partitions) < 1:
            msg = f"expected NAME=PARTITIONS with at least one partition, got {argument!r}"
            raise InvalidInput(msg)
        topics[name] = int(partitions)
    return topics


def serve(address: Path, topics: Mapping[str, int]) -> None:
    """Run a mock cluster in this process until standard input ends or SIGTERM comes.

    ``address`` appears only once every topic exists, and complete: it is written beside itself and renamed.
    """
    cluster = MockCluster()
    try:
        for name, partitions in topics.items():
            cluster.create_topic(name, partitions)
        draft = address.with_name(address.name + ".part")
        draft.write_text(cluster.bootstrap, encoding="ascii")
        draft.replace(address)
        while os.read(sys.stdin.fileno(), 4096):
            pass
    except KeyboardInterrupt:
        return
    finally:
        cluster.close()


def main(arguments: Sequence[str]) -> int:
    """Serve as the command line says and return the exit status."""
    if not arguments:
        sys.stderr.write("usage: python -m fraudstream.embedded.cluster FILE [TOPIC=PARTITIONS ...]\n")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(Path(arguments[0]), parse_topics(arguments[1:]))
    except OperatorError as error:
        sys.stderr.write(f"fraudstream: error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
