"""Which address leads to which store, and what wrong ones say."""

import pytest

from fraudstream.adapters import connect_archive, connect_count_store
from fraudstream.adapters.mariadb import MariaDbCountStore
from fraudstream.adapters.mariadb_connection import parse_address
from fraudstream.adapters.mongo import MongoArchive
from fraudstream.adapters.sqlite_archive import SqliteArchive
from fraudstream.adapters.sqlite_counts import SqliteCountStore
from fraudstream.errors import InvalidSettings


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("mongodb://localhost:27017/fraudstream", MongoArchive),
        ("mongodb://a,b,c/fraudstream?replicaSet=rs", MongoArchive),
        ("mongodb+srv://cluster.example.org/fraudstream", MongoArchive),
        ("sqlite:////var/lib/archive.db", SqliteArchive),
    ],
)
def test_the_scheme_chooses_the_archive(url: str, kind: type) -> None:
    assert isinstance(connect_archive(url), kind)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("mysql://fraudstream@localhost:3306/fraudstream", MariaDbCountStore),
        ("mariadb://fraudstream@localhost/fraudstream", MariaDbCountStore),
        ("sqlite:///counts.db", SqliteCountStore),
    ],
)
def test_the_scheme_chooses_the_store_of_counts(url: str, kind: type) -> None:
    assert isinstance(connect_count_store(url), kind)


@pytest.mark.parametrize(
    "url", ["postgres://u:geheim@h/d", "geheim", "", "mysql://u:geheim@[h/d", "sqlite://geheim"]
)
def test_an_unknown_address_names_the_accepted_ones_and_no_secret(url: str) -> None:
    for connect, accepted in ((connect_archive, "mongodb://"), (connect_count_store, "mysql://")):
        with pytest.raises(InvalidSettings) as raised:
            connect(url)
        assert "sqlite:///" in str(raised.value)
        assert accepted in str(raised.value) or url.startswith("sqlite")
        assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://user:ge/heim@host/db",
        "mongodb://user:geheim@host:port/db",
        "mongodb://user:geheim@",
        "mongodb://user:geheim@host/db?retryWrites=geheim&w=0&journal=true",
    ],
)
def test_a_malformed_mongo_address_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        connect_archive(url)
    assert "heim" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:geheim@host:port/db",
        "mysql://user:geheim@host",
        "mysql://user:geheim@/db",
        "mysql://user:geheim@host/db/other",
        "mysql://user:geheim@host/db?charset=geheim",
        "mysql://user:geheim@host/db?tls=maybe",
        "mysql://user:geheim@host/db?geheim",
        "mysql://user:geheim@host/db?tls_ca=/nowhere/ca.pem",
    ],
)
def test_a_malformed_mariadb_address_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        connect_count_store(url)
    assert "geheim" not in str(raised.value)


def test_an_address_of_mariadb_is_read_percent_decoded() -> None:
    address = parse_address("mariadb://us%40er:p%2Fw%3A@db.example.org:3307/fraud%20stream")
    assert (address.host, address.port, address.database) == ("db.example.org", 3307, "fraud stream")
    assert (address.user, address.password, address.tls) == ("us@er", "p/w:", None)


def test_tls_is_asked_for_in_the_address() -> None:
    assert parse_address("mysql://u@h/d?tls=off").tls is None
    context = parse_address("mysql://u@h/d?tls=required").tls
    assert context is not None
    assert context.check_hostname


def test_no_store_shows_its_password() -> None:
    stores = [
        connect_archive("mongodb://user:geheim@host/db"),
        connect_count_store("mysql://user:geheim@host/db"),
    ]
    assert [repr(store) for store in stores] == [
        "<MongoArchive host/db>",
        "<MariaDbCountStore <MariaDbConnection mysql://user:***@host:3306/db>>",
    ]
