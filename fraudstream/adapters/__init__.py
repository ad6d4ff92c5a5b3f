"""One module for each outside system that plays a role of ``ports``, and the choice among them by URL."""

from urllib.parse import urlsplit

from fraudstream.errors import InvalidSettings
from fraudstream.ports import Archive, CountStore

__all__ = ["connect_archive", "connect_count_store"]

# Each driver is imported only when its URL is used: they take a third of a second to load together.


def connect_archive(url: str) -> Archive:
    """Return the archive a URL names, not yet open.

    Parameters
    ----------
    url
        ``mongodb://…``, ``mongodb+srv://…`` or ``sqlite:///file``.

    Raises
    ------
    InvalidSettings
        If it names none. The message never shows the URL, which may hold a password.
    """
    scheme = _scheme(url)
    if scheme in {"mongodb", "mongodb+srv"}:
        from fraudstream.adapters.mongo import MongoArchive  # noqa: PLC0415

        return MongoArchive(url)
    if scheme == "sqlite":
        from fraudstream.adapters.sqlite_archive import SqliteArchive  # noqa: PLC0415

        return SqliteArchive(url)
    msg = f"expected the archive as mongodb://…, mongodb+srv://… or sqlite:///file, got {_named(scheme)}"
    raise InvalidSettings(msg)


def connect_count_store(url: str) -> CountStore:
    """Return the store of counts a URL names, not yet open.

    Parameters
    ----------
    url
        ``mysql://user:password@host:port/database``, the same with ``mariadb``, or ``sqlite:///file``.

    Raises
    ------
    InvalidSettings
        If it names none. The message never shows the URL, which may hold a password.
    """
    scheme = _scheme(url)
    if scheme in {"mysql", "mariadb"}:
        from fraudstream.adapters.mariadb import MariaDbCountStore  # noqa: PLC0415

        return MariaDbCountStore(url)
    if scheme == "sqlite":
        from fraudstream.adapters.sqlite_counts import SqliteCountStore  # noqa: PLC0415

        return SqliteCountStore(url)
    msg = f"expected the store of counts as mysql://…, mariadb://… or sqlite:///file, got {_named(scheme)}"
    raise InvalidSettings(msg)


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _named(scheme: str) -> str:
    return f"{scheme}://…" if scheme else "something that is no URL"
