"""The version of Dagster's tables, and their migration to the version of the installed Dagster."""

from __future__ import annotations

from dagster_postgres.utils import pg_alembic_config
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from titan10_dagster.dagster_internals.storage import (
    PatientEventLogStorage,
    PatientRunStorage,
    PatientScheduleStorage,
)
from titan10_dagster.errors import MigrationError, StoreError
from titan10_dagster.store.urls import sqlalchemy_url


def revisions(url: str) -> tuple[str | None, str | None]:
    """Return two revisions: of Dagster's tables at `url` (None if there are no tables), and of the installed Dagster.

    Raises:
        StoreError: the database cannot be read.
    """
    from alembic.script import ScriptDirectory
    from dagster_postgres.run_storage import run_storage

    newest = ScriptDirectory.from_config(pg_alembic_config(run_storage.__file__)).get_current_head()
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
                return None, newest
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return (str(found) if found else None), newest
    except SQLAlchemyError as error:
        raise StoreError(f"Dagster's database cannot be read: {' '.join(str(error).split())[:200]}") from None


def refuse_other_version(url: str) -> None:
    """Raise MigrationError if Dagster's tables have a different version than the installed Dagster."""
    found, newest = revisions(url)
    if found not in {None, newest}:
        raise MigrationError(
            "Dagster's tables are of another version than the installed Dagster: stop `titan10 up` where it runs, then "
            "run `titan10 migrate`."
        )


def upgrade(url: str) -> bool:
    """Migrate Dagster's tables at `url` to the installed version; return whether that was necessary."""
    found, newest = revisions(url)
    if found in {None, newest}:
        return False
    url = sqlalchemy_url(url)
    runs = PatientRunStorage(url)
    runs.upgrade()  # the tables; all storages share their revisions
    runs.migrate()  # the rows in them
    events = PatientEventLogStorage(url)
    events.reindex_events()
    events.reindex_assets()
    PatientScheduleStorage(url).migrate()
    return True
