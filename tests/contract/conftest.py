"""Both stores of each port: what passes here may stand in for the other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fraudstream.adapters import connect_archive, connect_count_store
from fraudstream.ports import Archive, CountStore


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.services)])
def archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'archive.db'}"
    return request.getfixturevalue("mongo_url")


@pytest.fixture
async def archive(archive_url: str) -> AsyncIterator[Archive]:
    store = connect_archive(archive_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.services)])
def counts_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'counts.db'}"
    return request.getfixturevalue("mariadb_url")


@pytest.fixture
async def counts(counts_url: str) -> AsyncIterator[CountStore]:
    store = connect_count_store(counts_url)
    await store.open()
    yield store
    await store.close()
