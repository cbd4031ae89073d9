"""Migrates the database: applies the files in sql/postgresql and sql/timescaledb that were not applied yet, with yoyo.

You can start a migration several times, kill it at any time, and start it in two processes at once. An advisory lock
lets only one process migrate at a time. The server releases this lock when the connection of the process ends. Each SQL
file is applied in one transaction, which also contains yoyo's record of the file.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import psycopg2
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import Migration, default_migration_table

from titan10_dagster.errors import MigrationError
from titan10_dagster.store import locks
from titan10_dagster.store.database import SESSION, Connection, connect
from titan10_dagster.store.server_errors import sentence, translated
from titan10_dagster.store.statements import folder, statement

log = logging.getLogger(__name__)

LOCK_POLL_SECONDS = 0.3
_HOLDER = """
    SELECT application_name, pid FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) + objid::bigint = %s AND objsubid = 1
"""

OLDEST = "2.23"  # oldest supported version of TimescaleDB; older versions are not tested

# A migration has no timeouts, because it takes a long time to convert a large plain table into a hypertable.
_PATIENT = {**SESSION, **{name: "0" for name in SESSION if name.endswith("_timeout")}}


def migrate(url: str, *, timescaledb: bool = True) -> list[str]:
    """Apply the missing migrations, and return their names in order. The list is empty if no migration was missing.

    `timescaledb`: whether to use TimescaleDB, if the server has version 2.23 or newer and this role may install it.

    Raises DatabaseUnavailable if the server cannot be reached. Raises MigrationError if the server rejects a migration,
    if the database has no schema that can be used, or if an older version of TimescaleDB is installed in the database.
    """
    logging.getLogger("yoyo").setLevel(logging.WARNING)  # below this level, yoyo logs every statement
    with _Backend(url) as backend, backend.lock():
        try:
            schema = _schema_of(backend)
            extended = timescaledb and _extend(backend)
            applied = _apply(backend, ["postgresql", "timescaledb"] if extended else ["postgresql"], schema)
            with backend.connection.cursor() as cursor:
                cursor.execute(statement("grant_readers"))
            return applied
        except psycopg2.Error as error:
            raise MigrationError(f"the database could not be migrated: {_advice(error)}") from error


def pending(connection: Connection) -> list[str]:
    """Return the names of the migrations in sql/postgresql that were not applied yet, in order.

    The database is only read.
    """
    names = sorted(path.stem for path in folder("postgresql").glob("*.sql") if not path.stem.endswith(".rollback"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [default_migration_table])
        (table,) = cursor.fetchone() or (None,)
        if table is None:
            return names
        cursor.execute(f"SELECT migration_id FROM {default_migration_table}")
        applied = {name for (name,) in cursor.fetchall()}
    return [name for name in names if name not in applied]


def _apply(backend: _Backend, folders: list[str], schema: str) -> list[str]:
    with _migrations_for(folders, schema) as paths:
        migrations = read_migrations(*(escape(str(path)) for path in paths))
        missing = list(backend.to_apply(migrations))
        for migration in missing:  # backend.apply_migrations is not used, because it skips files that it cannot read
            backend.apply_one(migration)
        return [migration.id for migration in missing]


@contextmanager
def _migrations_for(folders: list[str], schema: str) -> Iterator[list[Path]]:
    """Yield the folders with the migrations for a schema.

    The first migration grants rights on the schema with the name `public`, and existing migrations are never changed.
    Therefore, for a schema with another name, the files are copied, and the name is replaced in the copies.
    """
    if schema == "public":
        yield [folder(name) for name in folders]
        return
    with TemporaryDirectory(prefix="titan10-migrations-") as copies:
        paths = []
        for name in folders:
            path = Path(copies) / name
            path.mkdir()
            for file in folder(name).glob("*.sql"):
                (path / file.name).write_text(file.read_text().replace("SCHEMA public", f"SCHEMA {schema}"))
            paths.append(path)
        yield paths


def _schema_of(backend: _Backend) -> str:
    """Return the schema in which tables are created: the first schema of the search path that this role can use.

    Raises MigrationError if there is no such schema, or if its name would need quotes in SQL.
    """
    with backend.connection.cursor() as cursor:
        cursor.execute("SELECT current_schema(), current_setting('search_path')")
        schema, path = cursor.fetchone()
    if schema is None:
        raise MigrationError(
            f"the search path ({path}) has no schema that this role can use: run CREATE SCHEMA for one of its schemas "
            '("$user" stands for the name of the role), or run GRANT USAGE ON SCHEMA if the schema exists'
        )
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", schema):
        raise MigrationError(
            f"the schema {schema!r} cannot be used: rename it, so that it has only lower-case letters, digits and _"
        )
    return str(schema)


def _advice(error: psycopg2.Error) -> str:
    """Return a description of the error. For a known error, the description says what to do."""
    if "start background process" in str(error):
        return (
            f"TimescaleDB runs its jobs as the owner of the tables, but the owner cannot log in: run ALTER ROLE ... "
            f"LOGIN for it, or let another role own the tables. ({sentence(error)})"
        )
    return str(translated(error))


def _extend(backend: _Backend) -> bool:
    """Install TimescaleDB in the database if the server has a supported version and this role may install it.

    Return whether the extension is installed in the database now. Raises MigrationError if the database already has a
    version that is too old.
    """
    with backend.connection.cursor() as cursor:
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
        installed = cursor.fetchone()
        if installed is not None:
            _refuse_too_old(*installed)
            return True
        # The setting timescaledb.max_background_workers exists only if the server has preloaded the library. If the
        # library is not preloaded, CREATE EXTENSION ends the connection.
        cursor.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'"
            " AND current_setting('timescaledb.max_background_workers', true) IS NOT NULL"
        )
        offered = cursor.fetchone()
        if offered is None:
            return False
        if _is_too_old(*offered):
            log.warning(
                "the server has TimescaleDB %s, but %s or newer is needed: candles are not compressed",
                *offered,
                OLDEST,
            )
            return False
        try:
            cursor.execute("CREATE EXTENSION timescaledb")
        except psycopg2.errors.InsufficientPrivilege:
            log.warning("the server has TimescaleDB, but this role cannot install it: candles are not compressed")
            return False
    return True


def _refuse_too_old(installed: str) -> None:
    if _is_too_old(installed):
        raise MigrationError(
            f"this database has TimescaleDB {installed}, but {OLDEST} or newer is needed: install a newer version on "
            "the server and run `psql -X -c 'ALTER EXTENSION timescaledb UPDATE'` in this database, or use a database "
            "without the extension."
        )


def _is_too_old(version: str) -> bool:
    return _major_minor(version) < _major_minor(OLDEST)


def _major_minor(version: str) -> list[int]:
    return list(map(int, re.findall(r"\d+", version)[:2]))


class _Backend(PostgresqlBackend):  # type: ignore[misc]
    """yoyo's backend with Titan-10's own connection, an advisory lock, and one transaction for each migration."""

    def __init__(self, url: str) -> None:
        self._url = url
        super().__init__(DatabaseURI("postgresql", None, None, None, None, None, {}), default_migration_table)

    def connect(self, dburi: DatabaseURI) -> Connection:
        opened = connect(self._url, _PATIENT)
        opened.autocommit = True
        return opened

    @contextmanager
    def lock(self, timeout: float = 0) -> Iterator[None]:
        """Hold an advisory lock while the context is open.

        This lock replaces yoyo's own lock. Yoyo's lock is a row in a table, and the row remains if the process is
        killed. If another process holds the advisory lock, this process tries to get the lock every LOCK_POLL_SECONDS.
        This process does not wait inside a statement, because it could not react to Ctrl-C during the statement.
        """
        waited = False
        while not self._try_lock():
            if not waited:
                log.warning("waiting for %s, which migrates this database; Ctrl-C ends this command", self._holder())
                waited = True
            time.sleep(LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            if not self.connection.closed:
                self.execute(f"SELECT pg_advisory_unlock({locks.MIGRATIONS})")

    def _try_lock(self) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_try_advisory_lock({locks.MIGRATIONS})")
            return bool(cursor.fetchone()[0])

    def _holder(self) -> str:
        """Return a description of the session that holds the lock.

        Some roles may not see the session's application name. Then the description calls the session "a client".
        """
        with self.connection.cursor() as cursor:
            cursor.execute(_HOLDER, [locks.MIGRATIONS])
            row = cursor.fetchone()
        return f"{row[0] or 'a client'} (process {row[1]} of the server)" if row else "another session"

    def apply_one(self, migration: Migration, force: bool = False, mark: bool = True) -> None:
        """Apply the migration and record it in the same transaction.

        If the process is killed, the migration is either applied and recorded, or the database is unchanged.
        """
        self.ensure_internal_schema_updated()
        log.info("migration %s", migration.id)
        with self.transaction():
            migration.process_steps(self, "apply", force=force)
            self.mark_one(migration)
        self._log_notices()

    def get_log_data(self, migration: Migration | None = None, operation: str = "apply") -> dict[str, Any]:
        """Return yoyo's log entry without user and host name. In minimal containers, looking up these names hangs."""
        return {
            "id": str(uuid4()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": "titan10",
            "hostname": "",
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
            "operation": operation,
        }

    def _log_notices(self) -> None:
        for notice in self.connection.notices:
            log.info("%s", notice.strip())
        self.connection.notices.clear()
