"""The gap sensor, which starts the runs that `planning.repairs` plans. Earlier runs of the sensor count as attempts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import dagster as dg
from dagster import DagsterInstance

from titan10_dagster.defs.partitions import daily_keys
from titan10_dagster.defs.requests import (
    AUTOPILOT,
    REMEMBERED,
    REPAIR,
    REPAIR_JOB,
    attempts_of,
    failed_requests,
    fetched_by_other_runs,
    repairable,
    request_of_days,
)
from titan10_dagster.ingest.backlog import (
    days_without_row,
    open_slices,
    reopened_by_archives,
    slices_to_check_later,
)
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.planning.attempts import Attempt
from titan10_dagster.planning.missing_days import FailedRequest, with_failed_requests
from titan10_dagster.planning.repairs import Repair, RepairPlan, plan_repairs

EVERY = timedelta(minutes=5)


def gap_sensor(exchanges: tuple[str, ...]) -> dg.SensorDefinition:
    """Return the sensor. Every five minutes it requests runs for the days that must be fetched now."""
    job = dg.define_asset_job(
        REPAIR_JOB,
        selection=dg.AssetSelection.assets(*daily_keys(*exchanges)),
        description="Fetch days again if candles are missing without a final reason.",
    )

    @dg.sensor(
        name="repair_gaps",
        job=job,
        minimum_interval_seconds=int(EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts runs for days on which candles are missing and the reason is not final, for days that were "
        "missed while Titan-10 was stopped, and for days of failed runs. Data that exchanges delete soon is fetched "
        "first. No run starts for an exchange with an open breaker.",
    )
    def repair_gaps(context: dg.SensorEvaluationContext, titan10: dg.ResourceParam[IngestContext]) -> dg.SensorResult:
        plan = plan_of(titan10, context.instance)
        context.log.info(summary(plan))
        now = titan10.now()
        requests = [request(repair, now) for repair in plan.repairs]
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else summary(plan))

    return repair_gaps


def plan_of(titan10: IngestContext, instance: DagsterInstance) -> RepairPlan:
    """Plan which repairs to start now, based on the ledger, the breakers, and the queued and running runs."""
    since = titan10.now() - REMEMBERED
    exchanges = list(titan10.settings.enabled)
    attempts = list(attempts_of(instance, REPAIR, exchanges, since))
    busy = fetched_by_other_runs(instance, [REPAIR, AUTOPILOT])
    return plan_after(titan10, attempts, busy, failed_requests(instance, exchanges))


def plan_after(
    titan10: IngestContext,
    attempts: Sequence[Attempt],
    under_way: Iterable[str] = (),
    failed: Sequence[FailedRequest] = (),
) -> RepairPlan:
    """Plan which repairs to start now, based on the ledger and the breakers.

    attempts: earlier repairs.
    under_way: the exchanges for which a queued or running run, or an active backfill, fetches days. Repairs and runs of
        the autopilot do not count.
    failed: the days of failed runs.

    If the autopilot is off, repairs also fetch days that REST no longer serves, if the archive possibly has them.
    """
    holes = with_failed_requests(days_without_row(titan10), failed).holes
    reopened = () if titan10.settings.autopilot.enabled else reopened_by_archives(titan10)
    return plan_repairs(
        open_slices(titan10),
        holes=(*holes, *reopened),
        later=slices_to_check_later(titan10),
        exchanges=repairable(titan10, under_way),
        attempts=attempts,
        now=titan10.now(),
    )


def request(repair: Repair, now: datetime) -> dg.RunRequest:
    """Return the run request of a repair."""
    return request_of_days(
        REPAIR,
        repair.exchange,
        repair.first,
        repair.last,
        now,
        config={"symbols": list(repair.symbols), "repair": True},
        tags={"dagster/priority": "1"} if repair.expiring else {},
    )


def summary(plan: RepairPlan) -> str:
    """Return a text that describes the plan."""
    runs = []
    for repair in plan.repairs:
        runs.append(f"{repair.exchange} {repair.first} to {repair.last}: {', '.join(repair.symbols)}")
    return (
        f"{'; '.join(runs) or 'Nothing to repair now'}. Other slices to fetch: {plan.waiting} are not due "
        f"yet, {plan.busy} wait for another run of their exchange, {plan.blocked} wait because a breaker is open, and "
        f"{plan.postponed} are above the limit of one plan."
    )
