"""The daily schedules. At 01:30 UTC the market lists are read, and at 02:00 UTC yesterday's candles are fetched."""

from datetime import datetime, timedelta

import dagster as dg

from titan10_dagster.defs.partitions import daily_keys
from titan10_dagster.planning.repairs import SETTLEMENT

MARKETS_JOB = "markets"
SETTLE_AT, MARKETS_AT = f"0 {SETTLEMENT // timedelta(hours=1)} * * *", "30 1 * * *"
# higher than the priority of backfills and repairs (0 or 1), and lower than the priority of live polling (10)
SETTLE_PRIORITY = "5"


def settle_requests(exchanges: tuple[str, ...], now: datetime) -> list[dg.RunRequest]:
    """Return a run request for each exchange, for the UTC day before `now`.

    The run key prevents a second run for the same day.
    """
    day = (now - timedelta(days=1)).date().isoformat()
    return [
        dg.RunRequest(
            run_key=f"settle/{exchange}/{day}",
            partition_key=day,
            asset_selection=daily_keys(exchange),
            tags={"dagster/priority": SETTLE_PRIORITY},
        )
        for exchange in exchanges
    ]


def settle_schedule(exchanges: tuple[str, ...]) -> dg.ScheduleDefinition:
    """Return the schedule that fetches yesterday's candles of every exchange at 02:00 UTC."""
    job = dg.define_asset_job(
        "settle",
        selection=dg.AssetSelection.assets(*daily_keys(*exchanges)),
        description="Fetch, check and store whole UTC days.",
    )

    @dg.schedule(
        cron_schedule=SETTLE_AT,
        name="settle_yesterday",
        job=job,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Fetches, checks and stores the candles of yesterday, in one run per exchange.",
    )
    def settle_yesterday(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        return settle_requests(exchanges, context.scheduled_execution_time)

    return settle_yesterday


def markets_schedule(exchanges: tuple[str, ...]) -> dg.ScheduleDefinition:
    """Return the schedule that reads the market lists at 01:30 UTC, before the daily settlement needs the lists."""
    return materializing(
        *(dg.AssetKey([name, "markets"]) for name in exchanges),
        at=MARKETS_AT,
        name="read_markets",
        job=MARKETS_JOB,
        description="Reads the spot markets of every exchange.",
    )


def materializing(*keys: dg.AssetKey, at: str, name: str, job: str, description: str) -> dg.ScheduleDefinition:
    """Return a schedule of a job that materializes the given assets. The schedule is on by default.

    `at`: the times of the schedule as a cron string, in UTC.
    """
    return dg.ScheduleDefinition(
        name=name,
        cron_schedule=at,
        job=dg.define_asset_job(job, selection=dg.AssetSelection.assets(*keys), description=description),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
