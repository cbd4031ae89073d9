"""Maintains the stored data: refreshes rollups, applies TimescaleDB's policies, and deletes old candles."""

from __future__ import annotations

from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.store import policies, rollups
from titan10_dagster.store import storage as chunk_storage
from titan10_dagster.store.database import retrying
from titan10_dagster.store.retention import Dropped, drop_before
from titan10_dagster.store.storage import Storage


def catch_up_rollups(titan10: IngestContext) -> None:
    """Refresh the rollups of all changed candles. On plain PostgreSQL, nothing happens."""
    retrying(lambda: rollups.catch_up(titan10.database))


def apply_policies(titan10: IngestContext) -> list[str]:
    """Apply the storage settings to TimescaleDB, and return a text for each change."""
    wanted = policies.Policies.in_days(**titan10.settings.timescaledb.policies)
    return retrying(lambda: policies.apply(titan10.database, wanted))


def drop_old_candles(titan10: IngestContext) -> Dropped | None:
    """Delete the candles that are older than the settings allow, and refresh the rollups.

    If the settings keep candles forever, nothing happens, and the result is None.
    """
    day = titan10.kept_from
    if day is None:
        return None
    dropped = retrying(lambda: drop_before(titan10.database, day))
    catch_up_rollups(titan10)
    return dropped


def read_storage(titan10: IngestContext) -> Storage | None:
    """Return the state of the candle chunks, or None on plain PostgreSQL."""
    return retrying(lambda: chunk_storage.read_storage(titan10.database))
