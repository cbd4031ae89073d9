"""The storage of dagster.yaml: Dagster's own on PostgreSQL, with connections that are kept.

Dagster's connects anew for each of its statements, three times for an event of a run: half of the time of a run that
fetches a month went into connecting, for a password costs milliseconds on either side. Here a process keeps a few
connections, whichever of Dagster's storages asks, and looks before each use whether the server still knows them.

A server that goes away in the middle of a statement ends a run with Dagster's own storage. Here an event is stored
again until it is there; should the server have stored it before it went, it stands there twice, which changes nothing.

An event is one transaction instead of up to four, and nobody waits until the disk has it: that was half of the time of
the checks of a run, which store a result for each day. What a crash of the server takes are the events of its last
moments; their run is then taken for lost and run again, and finds its candles where it stored them. Everything else
waits for the disk, above all who holds the pool of an exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from threading import local
from typing import Any, Self

from dagster import EventLogEntry
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import DagsterPostgresException, create_pg_engine, pg_url_from_config
from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from titan10_dagster.dagster_internals.database import with_driver

_KEPT = 3  # a process; what its threads need beyond that is connected for the moment
_PATIENTLY = Retrying(
    retry=retry_if_exception_type((OperationalError, InterfaceError, DagsterPostgresException)),
    stop=stop_after_delay(120),
    wait=wait_exponential_jitter(multiplier=0.2, max=5),
    reraise=True,
)


class PatientEventLogStorage(PostgresEventLogStorage):
    """Dagster's, which waits for a server that is away while an event is to be stored, and stores it in one go."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._storing = local()  # of each thread: the connection of the transaction under way
        super().__init__(*args, **options)

    def store_event(self, event: EventLogEntry) -> None:
        _PATIENTLY(self._store_whole, event)

    def _store_whole(self, event: EventLogEntry) -> None:
        with super()._connect() as connection:
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.execute(text("SET LOCAL synchronous_commit = off"))
                self._storing.connection = connection
                try:
                    super().store_event(event)
                finally:
                    del self._storing.connection

    def _connect(self) -> AbstractContextManager[Connection]:
        storing: Connection | None = getattr(self._storing, "connection", None)
        return super()._connect() if storing is None else nullcontext(storing)


class PooledPostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules in one database; the config is that of `storage: postgres:`, with a password."""

    def __init__(self, postgres_url: str, **options: Any) -> None:
        postgres_url = with_driver(postgres_url)
        super().__init__(postgres_url, **options)
        self._event_log_storage = PatientEventLogStorage(postgres_url, should_autocreate_tables=False)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = _engine(postgres_url)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(
            pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
        )


@cache
def _engine(url: str) -> Engine:
    """One for all instances of a process; without a transaction around statements, as Dagster's own."""
    return create_pg_engine(url, isolation_level="AUTOCOMMIT", pool_size=_KEPT, max_overflow=-1, pool_pre_ping=True)
