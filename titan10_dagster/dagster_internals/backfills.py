"""Reads from the Dagster instance which backfills of the UI are still creating runs.

`DagsterInstance.get_backfills` is public, but its filter and the states in the filter are private.
"""

from __future__ import annotations

import dagster as dg
from dagster import DagsterInstance
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME as IMPLICIT_ASSET_JOB_NAME
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus


def assets_of_active_backfills(instance: DagsterInstance) -> set[dg.AssetKey]:
    """Return the assets of all backfills that were requested and have not finished."""
    requested = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])
    assets: set[dg.AssetKey] = set()
    for backfill in instance.get_backfills(filters=requested):
        assets.update(backfill.asset_selection or ())
    return assets
