"""Servers and databases for tests: a template that is migrated once, and cheap copies of it."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql
from psycopg2.errors import InsufficientPrivilege
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from titan10_dagster.local.postgres import EmbeddedPostgres

_numbers = itertools.count(1)


@contextmanager
def passable_folder() -> Iterator[Path]:
    """A temporary folder that other accounts can pass through.

    If root starts the embedded PostgreSQL, it runs as another account.
    """
    folder = Path(tempfile.mkdtemp(prefix="titan10-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def throwaway_server() -> Iterator[str]:
    """An embedded PostgreSQL server that does not wait for the disk, as the URL of a role that may create databases."""
    with passable_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres")
        url = server.start()
        try:
            _do_not_wait_for_the_disk(server)
            yield url
        finally:
            server.stop()


@contextmanager
def template_database(server: str, extension: str | None) -> Iterator[str]:
    """The name of a migrated database to copy. Copying takes a tenth of the time of migrating."""
    from titan10_dagster.store.migrations import migrate

    name = new_name("template")
    with created_database(server, name) as url:
        if extension:
            execute(url, sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension)))
        migrate(url)
        # TimescaleDB's background workers would connect to the template, and a database with sessions cannot be copied.
        execute(server, sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        # An autovacuum worker soon ends by itself, and only a superuser can end it.
        execute(
            server,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND backend_type <> 'autovacuum worker'",
            name,
        )
        yield name


@contextmanager
def copied_database(server: str, template: str) -> Iterator[str]:
    """Yield the URL of a new copy of the template. The copy is dropped afterwards."""
    with created_database(server, new_name("test"), template) as url:
        yield url


@contextmanager
def created_database(server: str, name: str, template: str = "template0") -> Iterator[str]:
    """Yield the URL of a new database of this name. The database is dropped afterwards."""
    database, source, strategy = sql.Identifier(name), sql.Identifier(template), sql.Identifier(_copy_strategy(server))
    execute(server, sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}").format(database, source, strategy))
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        _drop(server, database)


def new_name(kind: str) -> str:
    """A name for a database that no other test process uses."""
    return f"titan10_{kind}_{os.getpid()}_{next(_numbers)}"


def execute(url: str, statement: str | sql.Composable, *parameters: str) -> None:
    """Execute one statement outside a transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)


@retry(
    retry=retry_if_exception_type(InsufficientPrivilege), wait=wait_fixed(0.5), stop=stop_after_delay(60), reraise=True
)
def _drop(server: str, database: sql.Identifier) -> None:
    """End the sessions of a database, and drop the database.

    Only a superuser can end an autovacuum worker, but such a worker soon ends by itself.
    """
    execute(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))


def _do_not_wait_for_the_disk(server: EmbeddedPostgres) -> None:
    """Turn off settings that only matter in a power failure, because the server is deleted after the tests."""
    superuser = server.url("postgres", "postgres")
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        execute(superuser, sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
    execute(superuser, "SELECT pg_reload_conf()")


@cache
def _copy_strategy(server: str) -> str:
    """Return the fastest strategy to copy a database.

    Copying files needs checkpoints, which are cheap without fsync.
    """
    with closing(psycopg2.connect(server)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW fsync")
        return "file_copy" if cursor.fetchone() == ("off",) else "wal_log"
