"""The rollups of all exchanges: refreshed on TimescaleDB, plain views on PostgreSQL."""

# No `from __future__ import annotations`: Dagster reads the annotations of configs and resources as they stand.

from typing import Any

import dagster as dg

from titan10_dagster.defs.assets import OWNERS
from titan10_dagster.defs.requests import is_under_way
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.maintenance import catch_up_rollups
from titan10_dagster.store.rollups import ROLLUPS

JOB = "rollups"
KEY = dg.AssetKey(["rollups", "ohlcv"])


def rollups_asset(exchanges: tuple[str, ...]) -> dg.AssetsDefinition:
    """Return `rollups/ohlcv`, which is downstream of every exchange."""

    @dg.asset(
        key=KEY,
        deps=[dg.AssetKey([name, "ohlcv"]) for name in exchanges],
        group_name="rollups",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description=f"The candles of {', '.join(ROLLUPS)}, made from 1m candles: the views `ohlcv_5m` to "
        "`ohlcv_1w`. Their column `candles` says how many minutes each one holds. On TimescaleDB they are continuous "
        "aggregates that are refreshed where a minute changed. On plain PostgreSQL they are views.",
    )
    def rollups(titan10: dg.ResourceParam[IngestContext]) -> dg.MaterializeResult[Any]:
        catch_up_rollups(titan10)
        return dg.MaterializeResult(metadata={"kept_by_timescaledb": titan10.database.has_timescaledb()})

    return rollups


def rollups_schedule() -> dg.ScheduleDefinition:
    """Return the schedule: every ten minutes on TimescaleDB. A refresh without changes takes milliseconds."""

    @dg.schedule(
        cron_schedule="*/10 * * * *",
        name="catch_up_rollups",
        job=dg.define_asset_job(JOB, selection=dg.AssetSelection.assets(KEY)),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Refreshes rollups for live candles; backfills refresh their own.",
    )
    def catch_up_rollups(
        context: dg.ScheduleEvaluationContext, titan10: dg.ResourceParam[IngestContext]
    ) -> dg.RunRequest | dg.SkipReason:
        if not titan10.database.has_timescaledb():
            return dg.SkipReason("On plain PostgreSQL the rollups are views: there is nothing to refresh.")
        if is_under_way(context.instance, JOB):
            return dg.SkipReason("The last run is still under way.")
        return dg.RunRequest()

    return catch_up_rollups
