"""The few functions of librdkafka that make its mock cluster, through :mod:`ctypes`.

The wheel of confluent-kafka carries librdkafka but binds no function of ``rdkafka_mock.h``. Its own switch,
``test.mock.num.brokers``, starts a cluster whose topics appear on first use with four partitions each;
aligned topics need the partition counts we ask for, hence the direct calls. The header calls this interface
unstable: the version of confluent-kafka is pinned and ``tests/integration/test_embedded.py`` pins what is
relied on here.
"""

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from fraudstream.errors import OperatorError

PRODUCER = 0
"""``RD_KAFKA_PRODUCER``: the kind of client that carries the cluster. A producer needs no group and polls
nothing.
"""

REPLICATION = 1

ERROR_TEXT_BYTES = 512
"""Room for the reason of a refused start; librdkafka truncates to it."""


class MockClusterError(OperatorError):
    """The embedded cluster cannot be started here."""


def _candidates() -> Iterator[Path]:
    """Yield where wheels put the library: beside the package on Linux and Windows, inside it on macOS."""
    found = importlib.util.find_spec("confluent_kafka")
    if found is None or found.origin is None:
        msg = "the embedded cluster needs confluent-kafka: pip install 'fraudstream[embedded]'"
        raise MockClusterError(msg)
    package = Path(found.origin).parent
    for folder in (package.with_name("confluent_kafka.libs"), package / ".dylibs"):
        yield from sorted(folder.glob("*rdkafka*"))


def load_library() -> ctypes.CDLL:
    """Load the librdkafka that confluent-kafka brings, or the system's where a build links to that.

    Raises
    ------
    MockClusterError
        confluent-kafka is not installed, no library is found, or the one found has no mock cluster.
    """
    path = next((str(path) for path in _candidates()), None) or ctypes.util.find_library("rdkafka")
    if path is None:
        msg = "confluent-kafka is installed but its librdkafka was not found"
        raise MockClusterError(msg)
    library = ctypes.CDLL(path)
    try:
        _declare(library)
    except AttributeError as error:
        msg = f"{path} has no mock cluster: {error}"
        raise MockClusterError(msg) from error
    return library


def _declare(library: ctypes.CDLL) -> None:
    """Give each function its types; without them a 64-bit pointer would be cut to an int."""
    handle, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_conf_new", handle, []),
        ("rd_kafka_new", handle, [number, handle, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [handle]),
        ("rd_kafka_err2str", text, [number]),
        ("rd_kafka_mock_cluster_new", handle, [handle, number]),
        ("rd_kafka_mock_cluster_destroy", None, [handle]),
        ("rd_kafka_mock_cluster_bootstraps", text, [handle]),
        ("rd_kafka_mock_topic_create", number, [handle, text, number, number]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [handle, ctypes.c_int32]),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments


class MockCluster:
    """One mock cluster of one broker inside this process, listening on a free loopback port.

    Parameters
    ----------
    rebalance_delay_ms
        How long the first member of a group waits for others. librdkafka's own 3 s would be most of a demo's
        start.

    Raises
    ------
    MockClusterError
        The library is missing or refuses.
    """

    def __init__(self, rebalance_delay_ms: int = 300) -> None:
        self._library = load_library()
        reason = ctypes.create_string_buffer(ERROR_TEXT_BYTES)
        self._client = self._library.rd_kafka_new(
            PRODUCER, self._library.rd_kafka_conf_new(), reason, ERROR_TEXT_BYTES
        )
        if not self._client:
            msg = f"librdkafka did not start: {reason.value.decode(errors='replace')}"
            raise MockClusterError(msg)
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            self._library.rd_kafka_destroy(self._client)
            msg = "librdkafka could not open the mock broker's port"
            raise MockClusterError(msg)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, rebalance_delay_ms)

    @property
    def bootstrap(self) -> str:
        """Return the brokers as ``host:port``, comma separated."""
        listed: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return listed.decode()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create an empty topic.

        Raises
        ------
        MockClusterError
            It exists already, or the library refuses its name or partition count.
        """
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, REPLICATION)
        if code:
            told: bytes = self._library.rd_kafka_err2str(code)
            msg = f"topic {name} with {partitions} partitions was refused: {told.decode()}"
            raise MockClusterError(msg)

    def close(self) -> None:
        """Stop the broker and forget every record. Idempotent."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._cluster = self._client = None
