"""Jobs and what starts them: yesterday is fetched whole at 02:00 UTC, market lists are read before that."""

from datetime import datetime, timedelta

import dagster as dg

from titan10_dagster.defs.partitions import daily_keys
from titan10_dagster.planning.repairs import SETTLEMENT

MARKETS_JOB = "markets"
SETTLE_AT, MARKETS_AT = f"0 {SETTLEMENT // timedelta(hours=1)} * * *", "30 1 * * *"
SETTLE_PRIORITY = "5"  # before all that a backfill has queued for the same exchange, after live polling


def settle_requests(exchanges: tuple[str, ...], now: datetime) -> list[dg.RunRequest]:
    """One run an exchange for the UTC day before `now`; a day asked for before is not asked for again."""
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
    """02:00 UTC: yesterday, whole, of every exchange."""
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
        description="Fetches yesterday whole, checks and stores it: one run an exchange.",
    )
    def settle_yesterday(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        return settle_requests(exchanges, context.scheduled_execution_time)

    return settle_yesterday


def markets_schedule(exchanges: tuple[str, ...]) -> dg.ScheduleDefinition:
    """01:30 UTC: what the exchanges list, before anything is asked of it."""
    return materializing(
        *(dg.AssetKey([name, "markets"]) for name in exchanges),
        at=MARKETS_AT,
        name="read_markets",
        job=MARKETS_JOB,
        description="Reads the spot markets of every exchange.",
    )


def materializing(*keys: dg.AssetKey, at: str, name: str, job: str, description: str) -> dg.ScheduleDefinition:
    """A schedule, running from the start, of a job that materializes these assets; `at` is a cron string, in UTC."""
    return dg.ScheduleDefinition(
        name=name,
        cron_schedule=at,
        job=dg.define_asset_job(job, selection=dg.AssetSelection.assets(*keys), description=description),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
