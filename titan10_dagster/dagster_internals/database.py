"""Finds and creates the location of Dagster's tables: the schema `dagster` of a PostgreSQL database."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import sql

from titan10_dagster.errors import SettingsError, StoreError
from titan10_dagster.store.database import Database
from titan10_dagster.store.urls import sqlalchemy_url

if TYPE_CHECKING:  # importing Dagster takes a second, and some commands do not need it
    from dagster import DagsterInstance

DAGSTER_SCHEMA = "dagster"
_COMMENT = "Dagster's tables of the Titan-10 with its candles in the schema "
SEPARATE = (
    "Give this installation its own schema for Dagster's tables: run `CREATE SCHEMA dagster_2`, and set "
    "database.dagster_url to the URL of the database followed by ?options=-csearch_path%3Ddagster_2. If the other "
    "installation does not exist any more, run `COMMENT ON SCHEMA dagster IS NULL` instead."
)


def dagster_url(database_url: str) -> str:
    """Return the URL of Dagster's tables: the schema `dagster` in the database at `database_url`."""
    return sqlalchemy_url(database_url, options=f"-csearch_path={DAGSTER_SCHEMA}")


def ensure_dagster_schema(database_url: str) -> None:
    """Create the schema `dagster` if it does not exist. Several processes can call this at the same time.

    The comment of the schema `dagster` contains the name of the schema in which this installation stores its candles.
    Without the comment, two installations in one database would share Dagster's tables, and the daemon of each
    installation would also start the runs of the other.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
        SettingsError: the URL is invalid, or the schema belongs to another installation.
        StoreError: the role is not allowed to create a schema.
    """
    with Database(database_url).session() as cursor:
        cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", (DAGSTER_SCHEMA,))
        if not cursor.rowcount:
            _create(cursor)
        other = other_installation(cursor)
        if other is not None:
            raise SettingsError(
                f"The schema {DAGSTER_SCHEMA} has Dagster's tables of another Titan-10, which stores its candles "
                f"in the schema {other} of this database. {SEPARATE}"
            )
        _claim(cursor)


def other_installation(cursor: psycopg2.extensions.cursor) -> str | None:
    """If the schema `dagster` belongs to another installation, return the name of that installation's candle schema.

    This name is in the comment of the schema `dagster`. If the comment has the name of our own candle schema, or if
    there is no such comment, return None. Nothing is changed.
    """
    cursor.execute("SELECT obj_description(to_regnamespace(%s), 'pg_namespace'), current_schema()", (DAGSTER_SCHEMA,))
    comment, ours = cursor.fetchone() or (None, None)
    if ours is None or comment is None or not comment.startswith(_COMMENT):
        return None
    owner = str(comment).removeprefix(_COMMENT)
    return owner if owner != ours else None


def _create(cursor: psycopg2.extensions.cursor) -> None:
    try:
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(DAGSTER_SCHEMA)))
    except psycopg2.errors.UniqueViolation:
        return  # another process created the schema at the same time
    except psycopg2.errors.InsufficientPrivilege:
        raise StoreError(
            f"This role is not allowed to create the schema {DAGSTER_SCHEMA}: let the database's owner run "
            f"`CREATE SCHEMA {DAGSTER_SCHEMA} AUTHORIZATION <role>`, or set database.dagster_url."
        ) from None


def _claim(cursor: psycopg2.extensions.cursor) -> None:
    """Write the name of our candle schema into the comment of the schema `dagster`, if it has no comment yet."""
    cursor.execute(
        "SELECT obj_description(to_regnamespace(%s), 'pg_namespace') IS NULL, current_schema()", (DAGSTER_SCHEMA,)
    )
    is_free, ours = cursor.fetchone() or (False, None)
    if not is_free or ours is None:
        return
    # These errors are raised if this role does not own the schema, or if another process is writing the comment.
    with suppress(psycopg2.errors.InsufficientPrivilege, psycopg2.errors.InternalError_):
        cursor.execute(
            sql.SQL("COMMENT ON SCHEMA {} IS {}").format(
                sql.Identifier(DAGSTER_SCHEMA), sql.Literal(f"{_COMMENT}{ours}")
            )
        )


def database_url(instance: DagsterInstance) -> str | None:
    """Return the URL of the database in which the instance stores runs, or None if this database is not PostgreSQL."""
    return getattr(instance.run_storage, "postgres_url", None)
