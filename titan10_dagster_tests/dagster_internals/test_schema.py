"""The version of Dagster's tables is recognized, refused if it differs, and migrated."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
from dagster_postgres.utils import pg_alembic_config

from titan10_dagster.dagster_internals.database import ensure_dagster_schema
from titan10_dagster.dagster_internals.schema import refuse_other_version, revisions, upgrade
from titan10_dagster.dagster_internals.storage import PooledPostgresStorage
from titan10_dagster.errors import MigrationError, StoreError
from titan10_dagster.local.exit_codes import FAILED
from titan10_dagster_tests.local.servers import ask
from titan10_dagster_tests.local.test_cli import Project, exchange, project, working

__all__ = ["exchange", "project", "working"]

DAY = ("backfill", "binance", "--from", "2024-03-01", "--to", "2024-03-01", "--symbol", "BTC/USDT")
OLDER_TABLES = Path(__file__).with_name("dagster_1_4_17.sql")


def older_revision() -> str:
    """Return the revision before the newest revision of the installed Dagster."""
    from alembic.script import ScriptDirectory
    from dagster_postgres.run_storage import run_storage

    script = ScriptDirectory.from_config(pg_alembic_config(run_storage.__file__))
    newest = script.get_revision(script.get_current_head() or "")
    assert newest is not None
    assert isinstance(newest.down_revision, str)
    return newest.down_revision


def pretend(database_url: str, revision: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE dagster.alembic_version SET version_num = %s", (revision,))


def test_a_database_without_tables_is_of_no_version_and_needs_no_migration(dagsters_url: str) -> None:
    found, newest = revisions(dagsters_url)
    assert found is None
    assert newest
    refuse_other_version(dagsters_url)
    assert not upgrade(dagsters_url, print)


def test_new_tables_are_of_the_installed_version(instance: dg.DagsterInstance, dagsters_url: str) -> None:
    assert instance.get_runs_count() == 0
    found, newest = revisions(dagsters_url)
    assert found == newest
    refuse_other_version(dagsters_url)
    assert not upgrade(dagsters_url, print)


def test_tables_of_another_version_are_refused_with_what_to_do(
    instance: dg.DagsterInstance, dagsters_url: str, database_url: str
) -> None:
    assert instance.get_runs_count() == 0
    pretend(database_url, older_revision())
    assert revisions(dagsters_url)[0] == older_revision()
    with pytest.raises(MigrationError, match="run `titan10 migrate`"):
        refuse_other_version(dagsters_url)


def test_tables_of_a_newer_version_are_refused_and_stay_as_they_are(
    dagsters_url: str, database_url: str, working: Project
) -> None:
    PooledPostgresStorage(dagsters_url)
    pretend(database_url, "ffffffffffff")
    with pytest.raises(MigrationError, match=r"a newer version of Dagster .* Install the newer version again"):
        refuse_other_version(dagsters_url)
    done = working.titan10("migrate")
    assert done.returncode == FAILED
    assert done.stderr.startswith("Error: Dagster's tables belong to a newer version of Dagster")
    assert "Traceback" not in done.stderr
    assert revisions(dagsters_url)[0] == "ffffffffffff"


def test_tables_of_an_older_version_are_migrated_once(
    instance: dg.DagsterInstance, dagsters_url: str, database_url: str
) -> None:
    assert instance.get_runs_count() == 0
    pretend(database_url, older_revision())
    assert upgrade(dagsters_url, print)
    refuse_other_version(dagsters_url)
    assert not upgrade(dagsters_url, print)
    assert ask(database_url, "SELECT count(*) FROM dagster.alembic_version") == 1


def test_a_database_that_cannot_be_read_is_an_error_of_the_store() -> None:
    with pytest.raises(StoreError, match="Dagster's database cannot be read"):
        revisions("postgresql://me@127.0.0.1:1/x")


def load_older_tables(database_url: str) -> None:
    """Create the tables of Dagster 1.4.17 with one run of `binance/candles`, as pg_dump wrote them."""
    ensure_dagster_schema(database_url)
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(OLDER_TABLES.read_text())


def layout(database_url: str, schema: str) -> set[tuple[object, ...]]:
    """Return the columns and the indexes of all tables of a schema."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = %s",
            (schema,),
        )
        columns = set(cursor.fetchall())
        cursor.execute("SELECT tablename, indexname FROM pg_indexes WHERE schemaname = %s", (schema,))
        return columns | set(cursor.fetchall())


def test_tables_of_dagster_1_4_are_migrated_with_their_runs(dagsters_url: str, database_url: str) -> None:
    load_older_tables(database_url)
    assert revisions(dagsters_url)[0] == "ec80dd91891a"
    with pytest.raises(MigrationError, match="run `titan10 migrate`"):
        refuse_other_version(dagsters_url)
    assert upgrade(dagsters_url, print)
    refuse_other_version(dagsters_url)
    assert not upgrade(dagsters_url, print)
    storage = PooledPostgresStorage(dagsters_url)
    (run,) = storage.run_storage.get_runs(dg.RunsFilter(tags={"old": "yes"}))
    assert run.status is dg.DagsterRunStatus.SUCCESS
    key = dg.AssetKey(["binance", "candles"])
    assert storage.event_log_storage.get_materialized_partitions(key) == {"2024-01-02"}
    storage.event_log_storage.set_concurrency_slots("binance", 1)
    assert storage.event_log_storage.claim_concurrency_slot("binance", run.run_id, "step").is_claimed


def test_the_command_migrates_older_tables_and_says_so(working: Project, database_url: str) -> None:
    load_older_tables(database_url)
    refused = working.titan10(*DAY)
    assert refused.returncode == FAILED
    assert "stop `titan10 up` where it runs, then run `titan10 migrate`" in refused.stderr
    first, second = working.titan10("migrate"), working.titan10("migrate")
    assert (first.returncode, first.stdout) == (0, "applied the tables of Dagster\n")
    assert first.stderr.startswith("Migrating Dagster's tables to the installed version of Dagster.")
    assert (second.returncode, second.stdout, second.stderr) == (0, "The tables are up to date.\n", "")
    done = working.titan10(*DAY)
    assert done.returncode == 0, done.stderr
    assert "1,440 of 1,440 candles stored" in done.stdout


def test_migrated_tables_have_every_column_and_index_of_new_ones(dagsters_url: str, database_url: str) -> None:
    load_older_tables(database_url)
    upgrade(dagsters_url, print)
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA fresh")
    PooledPostgresStorage(dagsters_url.replace("search_path%3Ddagster", "search_path%3Dfresh"))
    new, migrated = layout(database_url, "fresh"), layout(database_url, "dagster")
    assert new
    # Dagster's migration 047 replaces this index by an index that begins with the same columns. New tables have both
    # indexes.
    assert new - migrated == {("run_tags", "idx_run_tags")}
    assert ("run_tags", "idx_run_tags_run_id") in migrated
