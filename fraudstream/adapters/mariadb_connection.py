"""A connection to MariaDB that is made again when it was lost."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import aiomysql
import msgspec
import pymysql

from fraudstream.errors import InvalidSettings, StoreUnavailable

STORE = "mariadb"

CONNECT_SECONDS = 5.0
CALL_SECONDS = 30.0
"""Longest wait for a whole transaction: above the server's own wait for a lock."""

_SESSION = (
    # Strict: a value that does not fit is an error, never cut. Notes ("table exists already") are not
    # warnings.
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', sql_notes = 0,"
    " innodb_lock_wait_timeout = 10",
    # Workers upsert neighbouring rows: without gap locks they cannot block each other.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)

_PASSING = frozenset(
    {
        1021,  # disk full
        1040,  # too many connections
        1053,  # server shutdown in progress
        1077,
        1079,  # normal shutdown, aborting
        1114,  # table full
        1158,
        1159,
        1160,
        1161,  # network read or write failed or timed out
        1180,  # error during commit
        1203,  # too many connections of this user
        1205,  # lock wait timeout
        1213,  # deadlock: this transaction was rolled back, another went on
        1226,  # user's hourly limits
        1290,
        1792,
        1836,  # read-only: a replica that is being promoted
        1317,
        1927,
        1969,  # query or connection killed, statement timeout
        2002,
        2003,
        2006,
        2013,
        2055,  # no connection, or lost
    }
)
"""Codes of what the server may recover from. https://mariadb.com/kb/en/mariadb-error-codes/"""

_REFUSED = frozenset({1044, 1045, 1049, 1142, 1347, 1698})
"""Codes of what a person must put right: credentials, database, rights, a table where a view is to be."""


class MariaDbAddress(msgspec.Struct, frozen=True):
    """Where a database is and who asks; never shows the password."""

    host: str
    port: int
    user: str
    password: str
    database: str
    tls: ssl.SSLContext | None

    def __repr__(self) -> str:
        return f"mysql://{self.user}:***@{self.host}:{self.port}/{self.database}"


def parse_address(url: str) -> MariaDbAddress:
    """Read ``mysql://user:password@host:port/database``.

    User, password and database may be percent-encoded. ``?tls=required`` encrypts and checks the server's
    certificate against the system's authorities, or those in ``tls_ca=FILE``; ``tls_cert=FILE&tls_key=FILE``
    present a certificate of our own.

    Raises
    ------
    InvalidSettings
        Naming what is wrong, never the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 3306
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        msg = "expected mysql://user:password@host:port/database (percent-encode / : @ # ? in a password)"
        raise InvalidSettings(msg) from None
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in {"mysql", "mariadb"} or not host or not database or "/" in database:
        msg = "expected mysql://user:password@host:port/database, with a host and a database"
        raise InvalidSettings(msg)
    return MariaDbAddress(
        host=host,
        port=port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=database,
        tls=_tls_context(options),
    )


def _tls_context(options: dict[str, str]) -> ssl.SSLContext | None:
    unknown = options.keys() - {"tls", "tls_ca", "tls_cert", "tls_key"}
    tls = options.get("tls", "required" if options else "off")
    if unknown or tls not in {"required", "off"}:
        msg = "expected only tls=required|off, tls_ca, tls_cert and tls_key after ? in the address of MariaDB"
        raise InvalidSettings(msg)
    if tls == "off":
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("tls_ca"))
        if "tls_cert" in options:
            context.load_cert_chain(options["tls_cert"], options.get("tls_key"))
    except (OSError, ssl.SSLError) as exc:
        msg = f"cannot use the TLS files named for MariaDB: {exc.strerror or exc}"
        raise InvalidSettings(msg) from exc
    return context


class MariaDbConnection:
    """One connection, used by one transaction at a time and made again after any failure."""

    def __init__(self, address: MariaDbAddress) -> None:
        self._address = address
        self._connection: aiomysql.Connection | None = None
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<MariaDbConnection {self._address!r}>"

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiomysql.Cursor]:
        """Run what is inside as one transaction; roll it back and drop the connection when that fails.

        Raises
        ------
        StoreUnavailable
            If the server does not answer, or answers with something it may recover from.
        InvalidSettings
            If it refuses user, password or database.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    connection = self._connection or await self._connect()
                    self._connection = connection
                    # Never closed: closing reads on, and would wait again for a server that fell silent.
                    yield await connection.cursor()
                    await connection.commit()
            except BaseException as exc:
                # Whatever happened, the state of the session is unknown now. Closing it rolls back.
                self._drop()
                failure = _failure(exc)
                if failure is not None:
                    raise failure from exc
                raise

    async def close(self) -> None:
        """Let go of the connection. Idempotent."""
        async with self._lock:
            self._drop()

    async def _connect(self) -> aiomysql.Connection:
        address = self._address
        connection = await aiomysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            db=address.database,
            charset="utf8mb4",
            ssl=address.tls,
            connect_timeout=CONNECT_SECONDS,
            autocommit=False,
        )
        try:
            cursor = await connection.cursor()
            for statement in _SESSION:
                await cursor.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _failure(exc: BaseException) -> Exception | None:
    """Return what the caller is told instead, or None if the error is our own."""
    if isinstance(exc, pymysql.err.MySQLError):
        code: Any = exc.args[0] if exc.args else None
        if code in _PASSING or isinstance(exc, pymysql.err.InterfaceError):
            return StoreUnavailable(STORE, " ".join(str(arg) for arg in exc.args))
        if code in _REFUSED:
            return InvalidSettings(f"MariaDB refuses: {exc.args[-1]}")
        return None
    if isinstance(exc, TimeoutError):
        return StoreUnavailable(STORE, f"no answer within {CALL_SECONDS:g} seconds")
    if isinstance(exc, OSError | EOFError):
        return StoreUnavailable(STORE, str(exc) or type(exc).__name__)
    return None
