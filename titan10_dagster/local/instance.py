"""Opens the database and the Dagster instance of a project folder, for the commands.

`open_database` yields the URL of the database. If database.url is not set, it starts the embedded server. `prepare`
creates DAGSTER_HOME below the data folder, with a link to the project's dagster.yaml, and returns the environment
variables for Dagster's processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import titan10_dagster
from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.directories import ensure_directory
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.settings import Settings
from titan10_dagster.store.database import Database, connect
from titan10_dagster.store.urls import sqlalchemy_url

Say: TypeAlias = Callable[[str], None]


def embedded(settings: Settings, say: Say) -> EmbeddedPostgres | None:
    """Return the embedded server of the settings, without starting it. Return None if database.url is set."""
    if settings.database.url is not None:
        return None
    return EmbeddedPostgres(settings.data / "postgres", port=settings.server.postgres_port, say=say)


@contextmanager
def open_database(settings: Settings, say: Say) -> Iterator[str]:
    """Yield the URL of the database. The embedded server runs at least until the context ends."""
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
    """Yield the URL of the migrated database.

    While the context is open, this process has the environment variables that Dagster needs.

    Raises:
        SettingsError: dagster.yaml is missing or wrong.
        MigrationError: Dagster's tables do not have the version of the installed Dagster.
    """
    from titan10_dagster.dagster_internals.schema import refuse_other_version

    refuse_wrong_configuration(home)
    with open_database(settings, say) as url:
        migrate_all(settings, url)
        refuse_other_version(database_of_dagster(settings, url))
        before = dict(os.environ)
        os.environ.update(prepare(settings, home, url))
        try:
            yield url
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def open_tables(settings: Settings, say: Say) -> Iterator[Database]:
    """Yield the database of the candles, after its tables were created or updated.

    Each command that uses this function updates the tables, because a user may run any command first.
    """
    with open_database(settings, say) as url:
        migrate_all(settings, url)
        with closing(Database(url, max_connections=1)) as db:
            yield db


def migrate_all(settings: Settings, url: str) -> list[str]:
    """Apply the migrations of Titan-10. If Dagster uses the same database, create the schema of Dagster's tables first.

    Then write the preferred exchanges and the TimescaleDB policies of the settings into the database. Return the names
    of the applied migrations.

    Raises:
        DatabaseUnavailable: the server, or the server of database.dagster_url, does not answer.
    """
    from titan10_dagster.store import policies, preferences
    from titan10_dagster.store.migrations import migrate

    dagsters = database_of_dagster(settings, url)
    if dagsters == dagster_url(url):
        ensure_dagster_schema(url)
    else:
        connect(dagsters).close()  # a failure here is reported as one sentence; Dagster would print a stack trace
    applied = migrate(url)
    with closing(Database(url, max_connections=1)) as db:
        preferences.keep(db, settings.preferences)
        policies.apply(db, policies.Policies.in_days(**settings.timescaledb.policies))
    return applied


def prepare(settings: Settings, home: Path, url: str) -> dict[str, str]:
    """Create DAGSTER_HOME. Return the environment variables for Dagster's processes.

    Raises:
        SettingsError: the project folder has no dagster.yaml, or the data folder cannot be written to.
    """
    return {
        "DAGSTER_HOME": str(_dagster_home(settings, home)),
        "TITAN10_HOME": str(home),
        "TITAN10_DATABASE__URL": url,
        "TITAN10_DATABASE__DAGSTER_URL": database_of_dagster(settings, url),
        # A mistake in titan10.toml can prevent the code location from loading. With this variable, backfills then wait
        # and do not fail.
        "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1",
    }


def database_of_dagster(settings: Settings, url: str) -> str:
    """Return the URL for Dagster's tables: database.dagster_url, or else a schema in the database of the candles."""
    configured = settings.database.dagster_url
    return sqlalchemy_url(configured.get_secret_value()) if configured else dagster_url(url)


def child_environment(variables: Mapping[str, str], base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child process: `base` with `variables` added.

    Python's output is not buffered, and Python may write bytecode files. If the package is not in site-packages,
    PYTHONPATH contains its folder.
    """
    environment = {**base, **variables, "PYTHONUNBUFFERED": "1"}
    # Without bytecode files, imports of Dagster take three times as long.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    package_folder = Path(titan10_dagster.__file__).resolve().parents[1]
    # A clone is possibly not installed, so a child process in another folder would not find the package.
    if "site-packages" not in package_folder.parts:
        paths = [str(package_folder), *filter(None, [base.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


def refuse_wrong_configuration(home: Path) -> None:
    """Refuse a project with a missing or wrong dagster.yaml, before a server or a process is started.

    Raises:
        SettingsError: the text says what is wrong with the file.
    """
    from titan10_dagster.dagster_internals.configuration import fault_of_instance

    file = _configuration_file(home)
    fault = fault_of_instance(file)
    if fault:
        raise SettingsError(
            f"Dagster cannot use {file}: {fault}. Correct the file, or copy it from the repository again."
        )


def _configuration_file(home: Path) -> Path:
    file = home / "dagster.yaml"
    if not file.is_file():  # if the file is missing, Docker may have created a folder with its name
        raise SettingsError(
            f"There is no dagster.yaml in {home}: copy this configuration of Dagster from the repository."
        )
    return file


def _dagster_home(settings: Settings, home: Path) -> Path:
    source = _configuration_file(home)
    folder = ensure_directory(settings.data / "dagster")
    ensure_directory(settings.landing)
    ensure_directory(settings.data / "logs")
    link = folder / "dagster.yaml"
    if not link.is_symlink() or link.resolve() != source.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(source.resolve())
    return folder
