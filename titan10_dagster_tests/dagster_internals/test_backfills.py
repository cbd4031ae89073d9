"""The assets with a running backfill. `get_backfills` needs Dagster's private API."""

from __future__ import annotations

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from titan10_dagster.dagster_internals.backfills import assets_of_active_backfills
from titan10_dagster.defs.partitions import daily_keys
from titan10_dagster.defs.requests import AUTOPILOT, fetched_by_other_runs


def add_backfill(instance: dg.DagsterInstance, exchange: str, status: BulkActionStatus) -> None:
    instance.add_backfill(
        PartitionBackfill(
            backfill_id=exchange,
            status=status,
            from_failure=False,
            tags={},
            backfill_timestamp=0.0,
            asset_selection=daily_keys(exchange),
        )
    )


def test_only_backfills_that_are_not_finished_are_active() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert assets_of_active_backfills(instance) == set()
        add_backfill(instance, "binance", BulkActionStatus.REQUESTED)
        add_backfill(instance, "okx", BulkActionStatus.COMPLETED_SUCCESS)
        assert assets_of_active_backfills(instance) == set(daily_keys("binance"))


def test_a_backfill_counts_for_the_sensors_between_two_of_its_runs() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        add_backfill(instance, "binance", BulkActionStatus.REQUESTED)
        assert fetched_by_other_runs(instance, [AUTOPILOT]) == {"binance"}
