"""The version of Dagster's tables: recognized, refused where it differs, and migrated."""

from __future__ import annotations

from contextlib import closing

import dagster as dg
import psycopg2
import pytest
from dagster_postgres.utils import pg_alembic_config

from titan10_dagster.dagster_internals.schema import refuse_other_version, revisions, upgrade
from titan10_dagster.errors import MigrationError, StoreError
from titan10_dagster_tests.local.servers import ask


def older_revision() -> str:
    """Return the revision before the newest one of the installed Dagster."""
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
    assert not upgrade(dagsters_url)


def test_new_tables_are_of_the_installed_version(instance: dg.DagsterInstance, dagsters_url: str) -> None:
    assert instance.get_runs_count() == 0
    found, newest = revisions(dagsters_url)
    assert found == newest
    refuse_other_version(dagsters_url)
    assert not upgrade(dagsters_url)


def test_tables_of_another_version_are_refused_with_what_to_do(
    instance: dg.DagsterInstance, dagsters_url: str, database_url: str
) -> None:
    assert instance.get_runs_count() == 0
    pretend(database_url, "ffffffffffff")
    assert revisions(dagsters_url)[0] == "ffffffffffff"
    with pytest.raises(MigrationError, match="run `titan10 migrate`"):
        refuse_other_version(dagsters_url)


def test_tables_of_an_older_version_are_migrated_once(
    instance: dg.DagsterInstance, dagsters_url: str, database_url: str
) -> None:
    assert instance.get_runs_count() == 0
    pretend(database_url, older_revision())
    assert upgrade(dagsters_url)
    refuse_other_version(dagsters_url)
    assert not upgrade(dagsters_url)
    assert ask(database_url, "SELECT count(*) FROM dagster.alembic_version") == 1


def test_a_database_that_cannot_be_read_is_an_error_of_the_store() -> None:
    with pytest.raises(StoreError, match="Dagster's database cannot be read"):
        revisions("postgresql://me@127.0.0.1:1/x")
