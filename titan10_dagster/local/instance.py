"""The database and the Dagster instance of a project folder, as every command finds them.

`open_database` serves the database: the one that database.url names, or the embedded one for as long as it is
open. `prepare` makes DAGSTER_HOME below the data folder, with the project's dagster.yaml in it, and returns
the environment variables by which Dagster and its processes find all of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import titan10_dagster
from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema, with_driver
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.directories import ensure_directory
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.settings import Settings
from titan10_dagster.store.database import Database, connect

Say: TypeAlias = Callable[[str], None]


def embedded(settings: Settings, say: Say) -> EmbeddedPostgres | None:
    """The embedded server of these settings, not started; None where they name a database."""
    if settings.database.url is not None:
        return None
    return EmbeddedPostgres(settings.data / "postgres", port=settings.server.postgres_port, say=say)


@contextmanager
def open_database(settings: Settings, say: Say) -> Iterator[str]:
    """The URL of a database that answers; the embedded server runs at least as long as this is open."""
    server = embedded(settings, say)
    if server is None:
        assert settings.database.url is not None
        yield settings.database.url.get_secret_value()
        return
    try:
        yield server.start()
    finally:
        server.stop()


@contextmanager
def open_instance(settings: Settings, home: Path, say: Say) -> Iterator[str]:
    """A migrated database, and this process's environment set so that Dagster finds its instance; yields the
    URL.
    """
    with open_database(settings, say) as url:
        migrate_all(settings, url)
        before = dict(os.environ)
        os.environ.update(prepare(settings, home, url))
        try:
            yield url
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def open_tables(settings: Settings, say: Say) -> Iterator[Database]:
    """Yield the candles' database with its tables up to date; the first command may well be `titan10 status`."""
    with open_database(settings, say) as url:
        migrate_all(settings, url)
        with closing(Database(url, max_connections=1)) as db:
            yield db


def migrate_all(settings: Settings, url: str) -> list[str]:
    """Brings our tables up to date, with the settings that they hold and how TimescaleDB keeps them, and makes the
    schema of Dagster's; returns the names of applied migrations.

    Raises:
        DatabaseUnavailable: the server is away, or that of database.dagster_url.
    """
    from titan10_dagster.store import policies, preferences
    from titan10_dagster.store.migrations import migrate

    dagsters = _dagsters_database(settings, url)
    if dagsters == dagster_url(url):
        ensure_dagster_schema(url)
    else:
        connect(dagsters).close()  # told here with a sentence, by Dagster with its whole stack
    applied = migrate(url)
    with closing(Database(url, max_connections=1)) as db:
        preferences.keep(db, settings.preferences)
        policies.apply(db, policies.Policies.in_days(**settings.timescaledb.policies))
    return applied


def prepare(settings: Settings, home: Path, url: str) -> dict[str, str]:
    """Makes DAGSTER_HOME and returns the variables that name it, the project and its databases.

    Raises:
        SettingsError: the project folder has no dagster.yaml, or the data folder cannot be written to.
    """
    return {
        "DAGSTER_HOME": str(_dagster_home(settings, home)),
        "TITAN10_HOME": str(home),
        "TITAN10_DATABASE__URL": url,
        "TITAN10_DATABASE__DAGSTER_URL": _dagsters_database(settings, url),
    }


def _dagsters_database(settings: Settings, url: str) -> str:
    """Where Dagster keeps its tables: what database.dagster_url names, or a schema of the candles' database."""
    configured = settings.database.dagster_url
    return with_driver(configured.get_secret_value()) if configured else dagster_url(url)


def child_environment(variables: Mapping[str, str], base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process: `base` and `variables`, with bytecode kept and output not held
    back.
    """
    environment = {**base, **variables, "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # every import of Dagster would take three times as long
    package_folder = Path(titan10_dagster.__file__).resolve().parents[1]
    if "site-packages" not in package_folder.parts:  # a clone: its processes may stand in another folder
        paths = [str(package_folder), *filter(None, [base.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


def _dagster_home(settings: Settings, home: Path) -> Path:
    source = home / "dagster.yaml"
    if not source.is_file():  # also where Docker made a folder of it
        raise SettingsError(f"There is no dagster.yaml in {home}: it says how Dagster runs; restore it.")
    folder = ensure_directory(settings.data / "dagster")
    link = folder / "dagster.yaml"
    if not link.is_symlink() or link.resolve() != source.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(source.resolve())
    return folder
