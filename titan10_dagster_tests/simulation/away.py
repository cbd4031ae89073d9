"""Functions that make a database refuse sessions for a while, or commit without waiting for the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql


def let_in(database_url: str, allowed: bool) -> None:
    """Allow sessions, or end all sessions and allow no new sessions."""
    with _beside(database_url) as (cursor, name):
        statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        cursor.execute(statement.format(sql.Identifier(name), sql.Literal(allowed)))
        if not allowed:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND backend_type = 'client backend'",
                [name],
            )


def hurry(database_url: str) -> None:
    """Let a database of a simulation commit without waiting for the disk. It need not survive a power failure."""
    with _beside(database_url) as (cursor, name):
        cursor.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))


@contextmanager
def _beside(database_url: str) -> Iterator[tuple[Any, str]]:
    """Yield a cursor on the same server but in another database, and the name of the database."""
    parts = urlsplit(database_url)
    with closing(psycopg2.connect(urlunsplit(parts._replace(path="/postgres")))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor, parts.path.lstrip("/")
