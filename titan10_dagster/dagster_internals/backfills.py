"""Reads the assets of unfinished backfills and runs from Dagster's tables.

`DagsterInstance.get_backfills` is public, but the types of its filter are private.
"""

from __future__ import annotations

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME as IMPLICIT_ASSET_JOB_NAME
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from sqlalchemy.exc import ProgrammingError

from titan10_dagster.dagster_internals.storage import PatientRunStorage
from titan10_dagster.errors import Titan10Error
from titan10_dagster.store.database import connect
from titan10_dagster.store.urls import sqlalchemy_url

_REQUESTED = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])
_UNFINISHED = RunsFilter(
    statuses=[
        DagsterRunStatus.QUEUED,
        DagsterRunStatus.NOT_STARTED,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
    ]
)


def assets_of_active_backfills(instance: DagsterInstance) -> set[dg.AssetKey]:
    """Return the assets of all backfills in progress. Backfills that are being cancelled do not count."""
    assets: set[dg.AssetKey] = set()
    for backfill in instance.get_backfills(filters=_REQUESTED):
        assets.update(backfill.asset_selection or ())
    return assets


def assets_under_way(url: str) -> set[dg.AssetKey]:
    """Return the assets of all unfinished backfills and runs in Dagster's tables at `url`.

    Backfills and runs that are being cancelled do not count.
    No instance is opened, because that would create missing tables. A code location must load quickly at any time.
    Therefore the result is empty if there are no tables, or if the database does not answer.
    """
    try:
        # If the database does not answer, `connect` soon raises an error. PatientRunStorage would try for two minutes.
        connect(url).close()
    except Titan10Error:
        return set()
    storage = PatientRunStorage(sqlalchemy_url(url), should_autocreate_tables=False)
    assets: set[dg.AssetKey] = set()
    try:
        for backfill in storage.get_backfills(filters=_REQUESTED):
            assets.update(backfill.asset_selection or ())
        for run in storage.get_runs(_UNFINISHED):
            assets.update(run.asset_selection or ())
    except ProgrammingError:  # a new database has no tables
        return set()
    return assets
