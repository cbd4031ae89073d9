"""The storage of dagster.yaml: Dagster's own on PostgreSQL, with connections that are kept.

Dagster's connects anew for each of its statements, three times for an event of a run: half of the time of a run that
fetches a month went into connecting, for a password costs milliseconds on either side. Here a process keeps a few
connections, whichever of Dagster's storages asks, and looks before each use whether the server still knows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, pg_url_from_config
from sqlalchemy.engine import Engine

_KEPT = 3  # a process; what its threads need beyond that is connected for the moment


class PooledPostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules in one database; the config is that of `storage: postgres:`, with a password."""

    def __init__(self, postgres_url: str, **options: Any) -> None:
        super().__init__(postgres_url, **options)
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
