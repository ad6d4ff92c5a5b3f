"""A server of the MongoDB protocol in Java: real sockets, commands, indexes, duplicate keys; no mongod."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any, ClassVar

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.services.jars import JAVA_FLAGS, QUICK_COMPILER, cache_directory, jars, java, made_once, program
from tests.services.process import HOST, Server, ServiceFailed

MONGO_JAVA_SERVER_VERSION = "1.47.0"
_COORDINATES = (
    f"de.bwaldvogel:mongo-java-server:{MONGO_JAVA_SERVER_VERSION}",
    f"de.bwaldvogel:mongo-java-server-h2-backend:{MONGO_JAVA_SERVER_VERSION}",
    "org.slf4j:slf4j-simple:2.0.17",
)


class MongoServer(Server):
    """A document store on loopback.

    Parameters
    ----------
    directory, port
        See :class:`~tests.services.process.Server`.
    durable
        Keep data in a file, so that they survive ``stop`` and, but for about the last second, ``kill``.
        Otherwise they live in memory, which takes them somewhat faster and forgets them at every stop.
    heap_mib
        Memory of the server, claimed at once. Its indexes grow with every document, and where they come close
        to it, the server stands still for seconds at a time to collect garbage.
    """

    name: ClassVar[str] = "mongo"

    def __init__(
        self,
        directory: Path | None = None,
        port: int | None = None,
        *,
        durable: bool = True,
        heap_mib: int = 512,
    ) -> None:
        super().__init__(directory, port)
        self._durable = durable
        self._heap_mib = heap_mib

    @property
    def url(self) -> str:
        return f"mongodb://{HOST}:{self.port}/fraudstream"

    def command(self) -> list[str]:
        libraries, classes = mongo_jars(), _compiled()
        heap = [f"-Xms{self._heap_mib}m", f"-Xmx{self._heap_mib}m"]
        options = [java(), *heap, QUICK_COMPILER, *JAVA_FLAGS, "-cp", f"{classes}:{libraries}/*"]
        file = [str(self.directory / "documents.mv")] if self._durable else []
        return [*options, "ServeMongo", str(self.port), *file]

    def answers(self) -> bool:
        return mongo_answers(self.url)


def mongo_answers(url: str) -> bool:
    """Tell whether a MongoDB server answers at that address."""
    with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=2000) as client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
    return True


def mongo_jars() -> Path:
    """Return the directory of the server's Java archives, fetched if need be."""
    return jars(f"mongo-{MONGO_JAVA_SERVER_VERSION}", _COORDINATES)


def _compiled() -> Path:
    """Return the directory with our compiled classes; compiling at every start would cost a second.

    It is named after what the sources say, so that working copies that differ can share a cache.
    """
    sources = sorted(Path(__file__).parent.glob("*.java"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    libraries, compiler = mongo_jars(), program("javac", "default-jdk-headless")
    target = cache_directory() / f"mongo-{MONGO_JAVA_SERVER_VERSION}-classes-{digest}"
    with made_once(target) as scratch:
        if scratch is not None:
            command = [compiler, "-cp", f"{libraries}/*", "-d", str(scratch), *map(str, sources)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode != 0:
                msg = f"the MongoDB server's classes do not compile:\n{done.stderr}"
                raise ServiceFailed(msg)
    return target
