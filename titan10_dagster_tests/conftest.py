"""What the tests share: real servers and a fresh database each, free ports, real candles.

`TITAN10_TEST_POSTGRES_URL`     a PostgreSQL whose role may create databases, instead of the embedded one
`TITAN10_TEST_TIMESCALEDB_URL`  the same with TimescaleDB; without it those tests are skipped, and say so
`TITAN10_TEST_DATA`             a folder of real candles; without it those tests are skipped, and say so
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from hypothesis import HealthCheck, settings
from psycopg2 import sql
from psycopg2.errors import InsufficientPrivilege
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.local.postgres import free_port as find_free_port

_numbers = itertools.count(1)

# Of properties: no time limit, for the machine may be busy; the same examples each time, so that a change is judged by
# what it changes. `make nightly` looks for others. Fixtures serve all examples of a test.
settings.register_profile(
    "same",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("others", settings.get_profile("same"), derandomize=False, max_examples=1000)
settings.load_profile("same")


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Call it for a TCP port of 127.0.0.1 that nobody listens on."""
    return find_free_port


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that other accounts may pass through, as pytest's own may not be.

    A test that starts the embedded PostgreSQL as root needs it: the server runs as another account.
    """
    with passable_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server without TimescaleDB, as the URL of a role that may create databases."""
    given = os.environ.get("TITAN10_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    with passable_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres")
        url = server.start()
        wait_for_no_disk(server)
        yield url
        server.stop()


@pytest.fixture(scope="session")
def timescaledb_url() -> str:
    """A PostgreSQL server with TimescaleDB, as the URL of a role that may create databases and extensions."""
    given = os.environ.get("TITAN10_TEST_TIMESCALEDB_URL")
    if not given:
        pytest.skip("no TimescaleDB: TITAN10_TEST_TIMESCALEDB_URL names none, so this was NOT tested")
    return given


@pytest.fixture
def database_url(postgres_url: str, _postgres_template: str) -> Iterator[str]:
    """A fresh, migrated database without TimescaleDB, dropped afterwards."""
    with copied_database(postgres_url, _postgres_template) as url:
        yield url


@pytest.fixture
def timescaledb_database_url(timescaledb_url: str, _timescaledb_template: str) -> Iterator[str]:
    """A fresh, migrated database with TimescaleDB, dropped afterwards."""
    with copied_database(timescaledb_url, _timescaledb_template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A fresh database with nothing in it, dropped afterwards."""
    with _made(postgres_url, _name("empty")) as url:
        yield url


@pytest.fixture
def empty_timescaledb_database_url(timescaledb_url: str) -> Iterator[str]:
    """A fresh database with nothing in it but the extension TimescaleDB, dropped afterwards."""
    with _made(timescaledb_url, _name("empty")) as url:
        _execute(url, sql.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb"))
        yield url


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real candles."""
    given = os.environ.get("TITAN10_TEST_DATA")
    if not given or not Path(given).is_dir():
        pytest.skip("no real candles: TITAN10_TEST_DATA names no folder, so this was NOT tested")
    return Path(given)


@pytest.fixture(scope="session")
def _postgres_template(postgres_url: str) -> Iterator[str]:
    with template_database(postgres_url, extension=None) as name:
        yield name


@pytest.fixture(scope="session")
def _timescaledb_template(timescaledb_url: str) -> Iterator[str]:
    with template_database(timescaledb_url, extension="timescaledb") as name:
        yield name


@contextmanager
def passable_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="titan10-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_no_disk(server: EmbeddedPostgres) -> None:
    """Nobody pulls the plug of a server that is thrown away afterwards."""
    superuser = server.url("postgres", "postgres")
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        _execute(superuser, sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
    _execute(superuser, "SELECT pg_reload_conf()")


@contextmanager
def template_database(server: str, extension: str | None) -> Iterator[str]:
    """A migrated database to copy: copying takes a tenth of what migrating does."""
    from titan10_dagster.store.migrations import migrate

    name = _name("template")
    with _made(server, name) as url:
        if extension:
            _execute(url, sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension)))
        migrate(url)
        # TimescaleDB's background workers would sit in it, and a database with sessions cannot be copied.
        _execute(server, sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        # Autovacuum makes way by itself, and only a superuser may end it.
        _execute(
            server,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND backend_type <> 'autovacuum worker'",
            name,
        )
        yield name


@contextmanager
def copied_database(server: str, template: str) -> Iterator[str]:
    with _made(server, _name("test"), template) as url:
        yield url


@contextmanager
def _made(server: str, name: str, template: str = "template0") -> Iterator[str]:
    database, source, strategy = sql.Identifier(name), sql.Identifier(template), sql.Identifier(_strategy(server))
    _execute(server, sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}").format(database, source, strategy))
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        _drop(server, database)


@retry(
    retry=retry_if_exception_type(InsufficientPrivilege), wait=wait_fixed(0.5), stop=stop_after_delay(60), reraise=True
)
def _drop(server: str, database: sql.Identifier) -> None:
    """Drops a database with whoever is in it; an autovacuum worker, which we may not end, soon goes by itself."""
    _execute(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))


@cache
def _strategy(server: str) -> str:
    """The fastest way to copy a database: files make checkpoints, which cost little where no disk is waited for."""
    with closing(psycopg2.connect(server)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW fsync")
        return "file_copy" if cursor.fetchone() == ("off",) else "wal_log"


def _name(kind: str) -> str:
    return f"titan10_{kind}_{os.getpid()}_{next(_numbers)}"


def _execute(url: str, statement: str | sql.Composable, *parameters: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
