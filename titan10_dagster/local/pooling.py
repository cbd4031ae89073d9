"""The storage of dagster.yaml: Dagster's own on PostgreSQL, with connections that are kept.

Dagster's connects anew for each of its statements, three times for an event of a run: half of the time of a run that
fetches a month went into connecting, for a password costs milliseconds on either side. Here a process keeps a few
connections, whichever of Dagster's storages asks, and looks before each use whether the server still knows them.

A server that goes away in the middle of a statement ends a run with Dagster's own storage. Here an event is stored
again until it is there; should the server have stored it before it went, it stands there twice, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Self

from dagster import EventLogEntry
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import DagsterPostgresException, create_pg_engine, pg_url_from_config
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

_KEPT = 3  # a process; what its threads need beyond that is connected for the moment
_PATIENTLY = Retrying(
    retry=retry_if_exception_type((OperationalError, InterfaceError, DagsterPostgresException)),
    stop=stop_after_delay(120),
    wait=wait_exponential_jitter(multiplier=0.2, max=5),
    reraise=True,
)


class PatientEventLogStorage(PostgresEventLogStorage):
    """Dagster's, which waits for a server that is away while an event is to be stored."""

    def store_event(self, event: EventLogEntry) -> None:
        _PATIENTLY(super().store_event, event)


class PooledPostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules in one database; the config is that of `storage: postgres:`, with a password."""

    def __init__(self, postgres_url: str, **options: Any) -> None:
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
