"""The rollups of all exchanges. On TimescaleDB they must be refreshed. On plain PostgreSQL they are views."""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of configs and resources.

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
    """Return `rollups/ohlcv`, which depends on the asset `ohlcv` of every exchange."""

    @dg.asset(
        key=KEY,
        deps=[dg.AssetKey([name, "ohlcv"]) for name in exchanges],
        group_name="rollups",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description=f"The candles of {', '.join(ROLLUPS)} that are built from 1m candles: the views `ohlcv_5m` to "
        "`ohlcv_1w`. Their column `candles` is the number of 1m candles in each candle. On TimescaleDB the views read "
        "continuous aggregates, which are refreshed where a 1m candle changed. On plain PostgreSQL the views are "
        "computed from the 1m candles.",
    )
    def rollups(titan10: dg.ResourceParam[IngestContext]) -> dg.MaterializeResult[Any]:
        catch_up_rollups(titan10)
        return dg.MaterializeResult(metadata={"kept_by_timescaledb": titan10.database.has_timescaledb()})

    return rollups


def rollups_schedule() -> dg.ScheduleDefinition:
    """Return the schedule, which runs every ten minutes. A refresh without changes takes milliseconds."""

    @dg.schedule(
        cron_schedule="*/10 * * * *",
        name="catch_up_rollups",
        job=dg.define_asset_job(JOB, selection=dg.AssetSelection.assets(KEY)),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Refreshes the rollups of live candles. Backfills refresh the rollups of their days themselves.",
    )
    def catch_up_rollups(
        context: dg.ScheduleEvaluationContext, titan10: dg.ResourceParam[IngestContext]
    ) -> dg.RunRequest | dg.SkipReason:
        if not titan10.database.has_timescaledb():
            return dg.SkipReason("On plain PostgreSQL the rollups are views, so there is nothing to refresh.")
        if is_under_way(context.instance, JOB):
            return dg.SkipReason("The last run has not finished.")
        return dg.RunRequest()

    return catch_up_rollups
