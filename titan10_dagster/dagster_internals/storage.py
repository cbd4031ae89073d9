"""The storage of dagster.yaml: Dagster's storage on PostgreSQL, with a pool of connections and repeated calls.

Pool: Dagster opens a connection for each statement, and three connections for an event of a run. Without the pool, a
run that fetched a month spent half of its time on connecting, because the check of a password takes milliseconds in
the client and in the server. Here a process keeps a few connections for all of Dagster's storages. Before each use of
a connection, the process checks that the connection is still open.

Repeated calls: if the server is unavailable, recovering, read-only or out of disk space, a call is repeated (see
patience.py). If the connection breaks after a statement is executed and before its result arrives, the statement is
executed a second time. Then an event is possibly stored twice, which has no effect. A run or backfill that the first
attempt has added counts as added.

Events: an event is stored in one transaction instead of up to four, and the transaction does not wait for the disk. The
checks of a run store a result for each day, and waiting for the disk took half of their time. If the server crashes,
the events of the last moments are lost. If the end of a run is among them, the run counts as failed, because its
process no longer exists. The run is executed again, and finds the candles that the first execution stored. All other
writes wait for the disk, in particular the slots of an exchange's pool.

SQLite: `titan10` sets the variable TITAN10_DATABASE__DAGSTER_URL before it uses Dagster. If neither this variable nor
DAGSTER_HOME is set, Dagster keeps its tables in SQLite files in the folder `data`. This is the case for `dg dev` or
`dg check defs` in a fresh clone.
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
from titan10_dagster.store import running_statements
from titan10_dagster.store.urls import sqlalchemy_url

T = TypeVar("T")

URL_VARIABLE = "TITAN10_DATABASE__DAGSTER_URL"
# Number of connections that a process keeps open. If its threads need more, the process opens further connections, and
# closes them after their use.
KEPT_CONNECTIONS = 3


class _Pooled:
    """A storage that uses the connection pool of the process."""

    postgres_url: str
    _engine: Engine

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Set a time limit for each statement.

        This method replaces Dagster's own method, which creates a pool that does not check its connections.
        """
        self._engine = engine(self.postgres_url, statement_timeout)


@patient
class PatientRunStorage(_Pooled, PostgresRunStorage):
    """Dagster's run storage. A call that fails because the database is unavailable is repeated."""

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        _insert_once(lambda: super(PatientRunStorage, self).add_run(dagster_run), DagsterRunAlreadyExists)
        return dagster_run

    def add_backfill(self, partition_backfill: PartitionBackfill) -> None:
        _insert_once(lambda: super(PatientRunStorage, self).add_backfill(partition_backfill), IntegrityError)


@patient
class PatientScheduleStorage(_Pooled, PostgresScheduleStorage):
    """Dagster's storage of schedules and sensors. A call that fails because the database is unavailable is repeated."""


@patient
class PatientEventLogStorage(_Pooled, PostgresEventLogStorage):
    """Dagster's event log, which stores an event in one transaction.

    A call that fails because the database is unavailable is repeated.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._storing = local()  # `connection`: the connection of the current thread's transaction
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
    """The storage of runs, events and schedules in one PostgreSQL database."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        # DagsterPostgresStorage.__init__ is not called, because it would create storages without these changes.
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
        """Return the storage for the configuration in dagster.yaml. Without a database, this is a SQLite storage.

        Raises:
            SettingsError: DAGSTER_HOME is set, but no database is configured.
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
    """Return the engine that all storages of the process share.

    Each statement is committed immediately, as in Dagster's own storage. `statement_timeout` is in milliseconds.
    """
    shared = create_pg_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=KEPT_CONNECTIONS,
        max_overflow=-1,
        pool_pre_ping=True,
        # symbols in tags and metadata need this encoding, and the role may have another default
        client_encoding="utf8",
    )

    @sa.event.listens_for(shared, "handle_error")
    def drop_read_only_sessions(context: sa.engine.ExceptionContext) -> None:
        # After a failover, an old session is possibly connected to a standby, so the next attempt needs a new session.
        if is_read_only(context.original_exception):
            context.is_disconnect = True

    @sa.event.listens_for(shared, "connect")
    def let_signals_end_statements(connection: Any, _: object) -> None:
        running_statements.register(connection)

    if statement_timeout is not None:
        limit = statement_timeout

        @sa.event.listens_for(shared, "connect")
        def limit_statements(connection: Any, _: object) -> None:
            set_pg_statement_timeout(connection, limit)

    return shared


def _insert_once(insert: Callable[[], object], already_exists: type[Exception]) -> None:
    """Insert a row with a unique key.

    If the connection breaks before the result arrives, an attempt fails although it has inserted the row. Therefore an
    existing row is an error only for the first attempt.
    """
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
