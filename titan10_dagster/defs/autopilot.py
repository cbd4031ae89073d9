"""The autopilot: a sensor that starts the runs planned by `planning.autopilot`, until no history is missing."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
from dagster import DagsterInstance

from titan10_dagster.defs.partitions import daily_keys
from titan10_dagster.defs.requests import (
    AUTOPILOT,
    REMEMBERED,
    attempts_of,
    fetched_by_other_runs,
    repairable,
    request_of_days,
)
from titan10_dagster.ingest.backlog import days_without_row, reopened_by_archives
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.planning.autopilot import HistoryPlan, plan_history

EVERY = timedelta(seconds=30)


def autopilot_sensor(exchanges: tuple[str, ...], *, enabled: bool) -> dg.SensorDefinition:
    """Return the sensor. Every half minute it requests at most one run for each exchange: its next chunk of history."""
    job = dg.define_asset_job(
        "history",
        selection=dg.AssetSelection.assets(*daily_keys(*exchanges)),
        description="Fetch a chunk of history that was never requested.",
    )

    @dg.sensor(
        name="autopilot",
        job=job,
        minimum_interval_seconds=int(EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING if enabled else dg.DefaultSensorStatus.STOPPED,
        description="Fetches history that was never requested, chunk by chunk, back to `start` of each exchange. "
        "Each exchange has at most one run of the autopilot at a time. No run starts while another run fetches days "
        "of the exchange, or while the exchange's breaker is open.",
    )
    def autopilot(context: dg.SensorEvaluationContext, titan10: dg.ResourceParam[IngestContext]) -> dg.SensorResult:
        plan = plan_of(titan10, context.instance)
        now = titan10.now()
        requests = []
        for chunk in plan.chunks:
            config = {"symbols": list(chunk.symbols)}
            requests.append(request_of_days(AUTOPILOT, chunk.exchange, chunk.first, chunk.last, now, config=config))
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else summary(plan))

    return autopilot


def plan_of(titan10: IngestContext, instance: DagsterInstance) -> HistoryPlan:
    """Plan which history to fetch now, based on the ledger, the breakers, and the queued and running runs.

    If an archive is configured, the history also includes days that REST no longer serves, if the archive possibly has
    them.
    """
    now = titan10.now()
    return plan_history(
        (*days_without_row(titan10).history, *reopened_by_archives(titan10)),
        exchanges=repairable(titan10, fetched_by_other_runs(instance, [AUTOPILOT])),
        attempts=list(attempts_of(instance, AUTOPILOT, list(titan10.settings.enabled), now - REMEMBERED)),
        now=now,
        order=titan10.settings.autopilot.order,
    )


def summary(plan: HistoryPlan) -> str:
    """Return sentences that explain why no run is requested."""
    if not plan.missing:
        return (
            "All history of the configured exchanges was requested. The sensor repair_gaps fetches failed days again."
        )
    left = ", ".join(f"{name} {days:,} days" for name, days in sorted(plan.missing.items()))
    why = {
        "another run is fetching days of this exchange": plan.busy,
        "the breaker is open": plan.blocked,
        "the autopilot waits after a failure, or for the daily settlement": plan.resting,
    }
    because = []
    for reason, names in why.items():
        if names:
            because.append(f"{', '.join(names)}: {reason}")
    return f"Still missing: {left}. {'; '.join(because)}."
