"""Live polling: each minute an op polls all exchanges.

For each exchange, the op records an observation of `<exchange>/ohlcv`.
"""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from titan10_dagster.defs.requests import is_under_way
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.live import LiveReport, poll_exchanges
from titan10_dagster.logs import about

JOB = "live"
STALE = timedelta(minutes=1)  # if the schedule is evaluated more than this long after its tick, no run starts


def live_schedule(exchanges: tuple[str, ...], *, enabled: bool) -> dg.ScheduleDefinition:
    """Return the schedule. Each minute it starts a run that polls the newest candles of all exchanges."""

    @dg.schedule(
        cron_schedule="* * * * *",
        name="poll_live",
        job=live_job(exchanges),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if enabled else dg.DefaultScheduleStatus.STOPPED,
        description="Polls the newest candles of every exchange. No poll starts while the previous poll is running.",
    )
    def poll_live(
        context: dg.ScheduleEvaluationContext, titan10: dg.ResourceParam[IngestContext]
    ) -> dg.RunRequest | dg.SkipReason:
        under_way = is_under_way(context.instance, JOB)
        return live_request(context.scheduled_execution_time, titan10.now(), under_way=under_way)

    return poll_live


def live_request(tick: datetime, now: datetime, *, under_way: bool) -> dg.RunRequest | dg.SkipReason:
    """Return the run request of a tick, or the reason why no run starts.

    If the tick is late, no run starts, because the next poll also fetches the candles of this tick.
    """
    if now - tick > STALE:
        return dg.SkipReason(
            "This tick is late, so no poll starts. The next poll also fetches the candles of this tick."
        )
    if under_way:
        return dg.SkipReason("The previous poll is still running.")
    return dg.RunRequest(run_key=f"live/{tick:%Y-%m-%dT%H:%M}", tags={"dagster/priority": "10"})


def live_job(exchanges: tuple[str, ...]) -> dg.JobDefinition:
    """Return the job. It is not in a Dagster pool, so that it does not wait for the steps of a backfill.

    A share of each exchange's request budget is reserved for polling.
    """

    @dg.op(description="Poll the newest candles of all exchanges at the same time, and store them.")
    def poll_candles(context: dg.OpExecutionContext, titan10: dg.ResourceParam[IngestContext]) -> None:
        with about(run=context.run.run_id):
            reports = poll_exchanges(titan10, exchanges)
        for report in reports:
            context.log_event(observation(report))
            for line in complaints(report):
                context.log.warning(line)
        if all(report.error for report in reports):
            raise dg.Failure(
                f"Nothing was polled. {'; '.join(f'{report.exchange}: {report.error}' for report in reports)}"
            )

    @dg.job(name=JOB, description="Poll the newest candles of all exchanges.", executor_def=dg.in_process_executor)
    def live() -> None:
        poll_candles()

    return live


def observation(report: LiveReport) -> dg.AssetObservation:
    """Return the observation that the UI shows for the asset `<exchange>/ohlcv`."""
    metadata: dict[str, Any] = {
        "rows": report.inserted,
        "restated": report.restated,
        "series": report.series,
        "requests": report.requests,
        **({"lag_seconds": round(report.lag.total_seconds(), 3)} if report.lag is not None else {}),
        **({"failed_symbols": dict(report.failed)} if report.failed else {}),
        **({"postponed": list(report.postponed)} if report.postponed else {}),
        **({"error": report.error} if report.error else {}),
    }
    return dg.AssetObservation(asset_key=dg.AssetKey([report.exchange, "ohlcv"]), metadata=metadata)


def complaints(report: LiveReport) -> list[str]:
    """Return a sentence for each problem of the poll."""
    problems = []
    if report.error:
        problems.append(f"{report.exchange}: {report.error}")
    if report.postponed:
        postponed = ", ".join(report.postponed)
        problems.append(
            f"{report.exchange}: there was no time to poll {postponed}; the next poll begins with these symbols"
        )
    for symbol, why in report.failed.items():
        problems.append(f"{report.exchange} {symbol}: {why}")
    return problems
