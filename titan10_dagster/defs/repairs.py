"""The gap sensor: what `planning.repairs` plans becomes runs, and runs become what it knows of earlier attempts."""

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
    attempts_of,
    failed_requests,
    in_other_hands,
    repairable,
    request_of_days,
)
from titan10_dagster.ingest.backlog import days_without_row, open_slices, slices_to_check_later
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.planning.attempts import Attempt
from titan10_dagster.planning.missing_days import FailedRequest, with_failed_requests
from titan10_dagster.planning.repairs import Repair, RepairPlan, plan_repairs

EVERY = timedelta(minutes=5)


def gap_sensor(exchanges: tuple[str, ...]) -> dg.SensorDefinition:
    """Every five minutes: what misses candles without a final reason is fetched again, when it is due."""
    job = dg.define_asset_job(
        "repair",
        selection=dg.AssetSelection.assets(*daily_keys(*exchanges)),
        description="Fetch again what misses candles without a final reason.",
    )

    @dg.sensor(
        name="repair_gaps",
        job=job,
        minimum_interval_seconds=int(EVERY.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reads the ledger for missing candles without a final reason, and for days that an outage of "
        "our own left out, and requests runs that fetch them: what perishes soonest first, never while the "
        "exchange's breaker is open.",
    )
    def repair_gaps(context: dg.SensorEvaluationContext, titan10: dg.ResourceParam[IngestContext]) -> dg.SensorResult:
        plan = plan_of(titan10, context.instance)
        context.log.info(summary(plan))
        now = titan10.now()
        requests = [request(repair, now) for repair in plan.repairs]
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else summary(plan))

    return repair_gaps


def plan_of(titan10: IngestContext, instance: DagsterInstance) -> RepairPlan:
    """What is to be repaired now, by the ledger, the breakers and the runs of everybody."""
    since = titan10.now() - REMEMBERED
    exchanges = list(titan10.settings.enabled)
    attempts = list(attempts_of(instance, REPAIR, exchanges, since))
    busy = in_other_hands(instance, [REPAIR, AUTOPILOT])
    return plan_after(titan10, attempts, busy, failed_requests(instance, exchanges))


def plan_after(
    titan10: IngestContext,
    attempts: Sequence[Attempt],
    under_way: Iterable[str] = (),
    failed: Sequence[FailedRequest] = (),
) -> RepairPlan:
    """Return the same plan for given attempts, exchanges with other runs under way, and days of failed runs."""
    return plan_repairs(
        open_slices(titan10),
        holes=with_failed_requests(days_without_row(titan10), failed).holes,
        later=slices_to_check_later(titan10),
        exchanges=repairable(titan10, under_way),
        attempts=attempts,
        now=titan10.now(),
    )


def request(repair: Repair, now: datetime) -> dg.RunRequest:
    """The run of a repair."""
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
    """The plan in a sentence."""
    runs = "; ".join(
        f"{repair.exchange} {repair.first} to {repair.last}: {', '.join(repair.symbols)}" for repair in plan.repairs
    )
    return (
        f"{runs or 'Nothing to repair now'}. Of the other slices with unexplained gaps or no row at all {plan.waiting} "
        f"are not due yet, {plan.busy} belong to exchanges of which days are being fetched, {plan.blocked} to "
        f"exchanges that may not be asked, and {plan.postponed} found no room."
    )
