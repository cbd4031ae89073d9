"""A fresh, migrated database for each test. Each test runs on plain PostgreSQL and on TimescaleDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.store.database import Database
from titan10_dagster_tests.store.making import Sql


@pytest.fixture(params=["database_url", "quiet_timescaledb_url"], ids=["postgresql", "timescaledb"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def quiet_timescaledb_url(timescaledb_database_url: str) -> str:
    """A database with TimescaleDB. During a test, no compression starts by itself."""
    db = Database(timescaledb_database_url)
    Sql(db)("SELECT remove_compression_policy('candles')")
    db.close()
    return timescaledb_database_url


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def sql(db: Database) -> Sql:
    return Sql(db)


@pytest.fixture
def timescaledb(quiet_timescaledb_url: str) -> Iterator[Database]:
    """A database for features that plain PostgreSQL does not have."""
    database = Database(quiet_timescaledb_url)
    yield database
    database.close()


@pytest.fixture
def own_server(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server for one test, without migrations. The test may crash the server or read its roles."""
    server = EmbeddedPostgres(open_folder / "server")
    server.start()
    yield server
    server.stop()
