"""The storage of dagster.yaml: Dagster's storage on PostgreSQL, with pooled connections and patience.

Pool: Dagster opens a connection for each statement, three for an event of a run. Without the pool, half of the time of
a run that fetches a month was spent on connecting, because the check of a password takes milliseconds on both sides.
Here a process keeps a few connections for all of Dagster's storages, and checks before each use that they are still
open.

Patience: a call is repeated if the server is unavailable, recovering, read-only or out of disk space (see patience.py).
    If the connection breaks after the server has finished a statement, the statement is executed twice. An event may
    then be stored twice, which changes nothing, and a run or backfill that already exists counts as added.

Events: an event is stored in one transaction instead of up to four, and without waiting for the disk. Waiting took half
    of the time of a run's checks, which store a result for each day. A crash of the server loses its last events. The
    run of these events then counts as lost and is run again, and finds the candles that it had stored. All other writes
    wait for the disk, in particular the slots of an exchange's pool.

Without the variable TITAN10_DATABASE__DAGSTER_URL, which every `titan10` command sets, and without DAGSTER_HOME, as
with `dg dev` or `dg check defs` in a fresh clone, Dagster keeps its tables in SQLite files below `data`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from threading import local
from typing import Any, TypeVar

import sqlalchemy as sa
from dagster import DagsterRun, EventLogEntry
from dagster._core.errors import DagsterRunAlreadyExists
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, pg_url_from_config, set_pg_statement_timeout
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError

from titan10_dagster.dagster_internals.patience import is_read_only, patient, patiently
from titan10_dagster.errors import SettingsError
from titan10_dagster.store.urls import sqlalchemy_url

T = TypeVar("T")

URL_VARIABLE = "TITAN10_DATABASE__DAGSTER_URL"
KEPT_CONNECTIONS = 3  # connections per process; if its threads need more, more are opened and closed again


class _Pooled:
    """A storage that takes its connections from the pool of the process."""

    postgres_url: str
    _engine: Engine

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Limit the time of statements; Dagster's own method would set up a pool that does not check connections."""
        self._engine = engine(self.postgres_url, statement_timeout)


@patient
class PatientRunStorage(_Pooled, PostgresRunStorage):
    """Dagster's run storage; its calls wait for the database."""

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        _insert_once(lambda: super(PatientRunStorage, self).add_run(dagster_run), DagsterRunAlreadyExists)
        return dagster_run

    def add_backfill(self, partition_backfill: PartitionBackfill) -> None:
        _insert_once(lambda: super(PatientRunStorage, self).add_backfill(partition_backfill), IntegrityError)


@patient
class PatientScheduleStorage(_Pooled, PostgresScheduleStorage):
    """Dagster's storage of schedules and sensors; its calls wait for the database."""


@patient
class PatientEventLogStorage(_Pooled, PostgresEventLogStorage):
    """Dagster's event log. Its calls wait for the database, and an event is stored in one transaction."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._storing = local()  # per thread: the connection of the current transaction
        super().__init__(*args, **options)

    def store_event(self, event: EventLogEntry) -> None:
        patiently(lambda: self._store_in_one_transaction(event))

    def _store_in_one_transaction(self, event: EventLogEntry) -> None:
        with super()._connect() as connection:
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.execute(sa.text("SET LOCAL synchronous_commit = off"))
                self._storing.connection = connection
                try:
                    super().store_event(event)
                finally:
                    del self._storing.connection

    def _connect(self) -> AbstractContextManager[Connection]:
        storing: Connection | None = getattr(self._storing, "connection", None)
        return super()._connect() if storing is None else nullcontext(storing)


class PooledPostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules in one database."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        # DagsterPostgresStorage.__init__ is not called, because it would create storages without pool and patience.
        self.postgres_url = url = sqlalchemy_url(postgres_url)
        self.should_autocreate_tables = should_autocreate_tables
        self._inst_data = inst_data
        self._run_storage = patiently(lambda: PatientRunStorage(url, should_autocreate_tables))
        self._event_log_storage = patiently(lambda: PatientEventLogStorage(url, should_autocreate_tables))
        self._schedule_storage = patiently(lambda: PatientScheduleStorage(url, should_autocreate_tables))
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine(url)
        DagsterStorage.__init__(self)  # type: ignore[no-untyped-call,arg-type]  # its own type parameter

    @classmethod
    def from_config_value(  # type: ignore[override]  # SQLite's storage is not a DagsterPostgresStorage
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterStorage[Any]:
        """Return the storage of a dagster.yaml. For the storage without a database, see the module's docstring.

        Raises:
            SettingsError: DAGSTER_HOME is set, but no database is named.
        """
        if config_value.get("postgres_url") or config_value.get("postgres_db"):
            url = pg_url_from_config(config_value)
        else:
            url = os.environ.get(URL_VARIABLE, "")
        if url:
            return cls(url, config_value.get("should_autocreate_tables", True), inst_data)
        if "DAGSTER_HOME" in os.environ:
            raise SettingsError(
                f"{URL_VARIABLE} is not set: start Dagster with `titan10 up`, or set the variable to the URL of the "
                "database in which Dagster keeps its tables."
            )
        return _sqlite_storage()


@cache
def engine(url: str, statement_timeout: int | None = None) -> Engine:
    """Return the engine that all storages of the process share; statements commit at once, as with Dagster's own.

    `statement_timeout` is in milliseconds.
    """
    made = create_pg_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=KEPT_CONNECTIONS,
        max_overflow=-1,
        pool_pre_ping=True,
        client_encoding="utf8",  # symbols in tags and metadata need it, whatever the role's default is
    )

    @sa.event.listens_for(made, "handle_error")
    def drop_read_only_sessions(context: sa.engine.ExceptionContext) -> None:
        # After a failover an old session may be on a standby: the next attempt needs a new connection.
        if is_read_only(context.original_exception):
            context.is_disconnect = True

    if statement_timeout is not None:
        limit = statement_timeout

        @sa.event.listens_for(made, "connect")
        def limit_statements(connection: Any, _: object) -> None:
            set_pg_statement_timeout(connection, limit)

    return made


def _insert_once(insert: Callable[[], object], already_exists: type[Exception]) -> None:
    """Insert a row with a unique key. After a failed attempt the row may already exist, which is no error."""
    attempts = 0

    def attempt() -> None:
        nonlocal attempts
        attempts += 1
        try:
            insert()
        except already_exists:
            if attempts == 1:
                raise

    patiently(attempt)


def _sqlite_storage() -> DagsterSqliteStorage:
    from titan10_dagster import settings

    return DagsterSqliteStorage(str(settings.load().data / "dagster" / "without-database"))
