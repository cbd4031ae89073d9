"""Finds and creates the location of Dagster's tables: the schema `dagster` of a PostgreSQL database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import sql

from titan10_dagster.errors import StoreError
from titan10_dagster.store.database import Database
from titan10_dagster.store.urls import sqlalchemy_url

if TYPE_CHECKING:  # importing Dagster takes a second, and some commands do not need it
    from dagster import DagsterInstance

DAGSTER_SCHEMA = "dagster"


def dagster_url(database_url: str) -> str:
    """Return the URL of Dagster's tables, which are in the same database, in the schema `dagster`."""
    return sqlalchemy_url(database_url, options=f"-csearch_path={DAGSTER_SCHEMA}")


def ensure_dagster_schema(database_url: str) -> None:
    """Create the schema `dagster` if it does not exist. Several processes can call this at the same time.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
        SettingsError: the URL is invalid.
        StoreError: the role is not allowed to create a schema.
    """
    with Database(database_url).session() as cursor:
        cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", (DAGSTER_SCHEMA,))
        if cursor.rowcount:
            return
        try:
            cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(DAGSTER_SCHEMA)))
        except psycopg2.errors.UniqueViolation:
            return  # another process has created the schema at the same time
        except psycopg2.errors.InsufficientPrivilege:
            raise StoreError(
                f"This role is not allowed to create the schema {DAGSTER_SCHEMA}: let the database's owner run "
                f"`CREATE SCHEMA {DAGSTER_SCHEMA} AUTHORIZATION <role>`, or set database.dagster_url."
            ) from None


def database_url(instance: DagsterInstance) -> str | None:
    """Return the URL of the database in which the instance stores runs, or None if it is not PostgreSQL."""
    return getattr(instance.run_storage, "postgres_url", None)
