"""The URL of Dagster's tables, and the schema of these tables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster.dagster_internals.storage import PooledPostgresStorage
from titan10_dagster.errors import DatabaseUnavailable, SettingsError
from titan10_dagster_tests.local.servers import ask


def test_dagsters_url_names_driver_and_schema_and_keeps_what_was_there() -> None:
    url = dagster_url("postgresql://me:p%40ss@host:5433/candles?sslmode=require&options=-cjit%3Doff")
    assert url == (
        "postgresql+psycopg2://me:p%40ss@host:5433/candles"
        "?sslmode=require&options=-cjit%3Doff%20-csearch_path%3Ddagster"
    )


def test_dagsters_tables_are_in_a_schema_of_their_own(empty_database_url: str) -> None:
    for _ in range(2):
        ensure_dagster_schema(empty_database_url)
    for _ in range(2):  # the second time, the tables and alembic's stamp exist already
        storage = PooledPostgresStorage(dagster_url(empty_database_url))
        storage.run_storage.get_runs_count()
    tables = "tablename IN ('runs', 'event_logs', 'alembic_version')"
    schemas = f"SELECT string_agg(DISTINCT schemaname, ',') FROM pg_tables WHERE {tables}"
    assert ask(empty_database_url, schemas) == "dagster"


def test_an_unreachable_database_is_named_without_its_password(free_port: Callable[[], int]) -> None:
    port = free_port()
    with pytest.raises(DatabaseUnavailable, match=f"cannot connect to the database x at 127.0.0.1:{port}") as caught:
        ensure_dagster_schema(f"postgresql://me:sesame@127.0.0.1:{port}/x")
    assert "sesame" not in str(caught.value)


def test_a_password_that_is_not_percent_encoded_is_reported_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="percent-encoded") as caught:
        ensure_dagster_schema("postgresql://me:Sesame/open@127.0.0.1:5432/x")
    assert "Sesame" not in str(caught.value)


def test_two_installations_in_one_database_do_not_share_dagsters_tables(empty_database_url: str) -> None:
    second = f"{empty_database_url}?options=-csearch_path%3Dsecond"
    ask(empty_database_url, "CREATE SCHEMA second")
    ensure_dagster_schema(empty_database_url)
    with pytest.raises(SettingsError, match=r"stores its candles in the schema public .*database\.dagster_url"):
        ensure_dagster_schema(second)
    ensure_dagster_schema(empty_database_url)  # the first installation is not affected
    # the error advises this if the first installation no longer exists
    ask(empty_database_url, "COMMENT ON SCHEMA dagster IS NULL")
    ensure_dagster_schema(second)
    with pytest.raises(SettingsError, match="stores its candles in the schema second"):
        ensure_dagster_schema(empty_database_url)


def test_a_schema_without_a_comment_or_with_another_one_is_used(empty_database_url: str) -> None:
    ask(empty_database_url, "CREATE SCHEMA dagster")  # as an administrator or an earlier version does
    ensure_dagster_schema(empty_database_url)
    assert ask(empty_database_url, "SELECT obj_description('dagster'::regnamespace)").endswith(" public")
    ask(empty_database_url, "COMMENT ON SCHEMA dagster IS 'mine'")
    ensure_dagster_schema(empty_database_url)
    assert ask(empty_database_url, "SELECT obj_description('dagster'::regnamespace)") == "mine"
