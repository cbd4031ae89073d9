"""Reads the version of Dagster's tables, and migrates the tables to the version of the installed Dagster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

NEWER = "Dagster's tables belong to a newer version of Dagster than the installed version."


def revisions(url: str) -> tuple[str | None, str | None]:
    """Return the revision of Dagster's tables at `url`, and the revision that the installed Dagster expects.

    The first revision is None if the tables do not exist.

    Raises:
        StoreError: the database cannot be read.
    """
    newest = _migrations().get_current_head()
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
                return None, newest
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return (str(found) if found else None), newest
    except SQLAlchemyError as error:
        raise StoreError(f"Dagster's database cannot be read: {' '.join(str(error).split())[:200]}") from None


def is_known(revision: str) -> bool:
    """Return whether the installed Dagster knows this revision. It does not know a revision of a newer Dagster."""
    from alembic.util import CommandError

    try:
        return _migrations().get_revision(revision) is not None
    except CommandError:
        return False


def refuse_other_version(url: str) -> None:
    """Raise MigrationError if Dagster's tables have a different version than the installed Dagster."""
    found, newest = revisions(url)
    if found not in {None, newest}:
        _refuse_newer(found)
        raise MigrationError(
            "Dagster's tables have another version than the installed Dagster: stop `titan10 up` where it runs, then "
            "run `titan10 migrate`."
        )


def upgrade(url: str, say: Callable[[str], None]) -> bool:
    """Migrate Dagster's tables at `url` to the version of the installed Dagster. Return whether this was necessary.

    `say`: a function that is called with a message to the user before the first change.

    Raises:
        MigrationError: the tables belong to a newer Dagster.
        StoreError: the database cannot be read.
    """
    found, newest = revisions(url)
    if found in {None, newest}:
        return False
    _refuse_newer(found)
    say("Migrating Dagster's tables to the installed version of Dagster. This takes minutes if there are many runs.")
    url = sqlalchemy_url(url)
    runs = PatientRunStorage(url)
    runs.upgrade()  # this migrates the tables of all storages, because all storages share one revision
    runs.migrate()  # this migrates the rows of the tables
    events = PatientEventLogStorage(url)
    events.reindex_events()
    events.reindex_assets()
    PatientScheduleStorage(url).migrate()
    return True


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and not is_known(revision):
        raise MigrationError(f"{NEWER} Install the newer version again. Nothing was changed.")


def _migrations() -> Any:
    """Return the migrations of the installed Dagster."""
    from alembic.script import ScriptDirectory
    from dagster_postgres.run_storage import run_storage

    return ScriptDirectory.from_config(pg_alembic_config(run_storage.__file__))
