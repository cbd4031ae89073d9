"""The gap sensor: what `candles.repairs` plans becomes runs, and runs become what it knows of earlier attempts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import dagster as dg
from dagster import DagsterInstance, RunsFilter

from titan10_dagster.candles.repairs import Attempt, Repair, Repairable, RepairPlan, plan_repairs
from titan10_dagster.defs.checks import symbols_of_run
from titan10_dagster.defs.partitions import RANGE_END, RANGE_START, daily_keys, days_per_run
from titan10_dagster.exchanges.capabilities import capabilities_of
from titan10_dagster.pipeline import Pipeline

REPAIR = "titan10/repair"  # tag of a run, with the exchange that it repairs
REQUESTED = "titan10/repair_requested"  # and when the sensor asked for it, by the pipeline's clock
EVERY = timedelta(minutes=5)
# What is older, or further back, is forgotten: its slices may be tried again sooner than they would have been.
REMEMBERED, MOST_REMEMBERED = timedelta(days=7), 500


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
        description="Reads the ledger for missing candles that nobody explained yet, and requests runs that fetch "
        "them again: what perishes soonest first, never while the exchange's breaker is open.",
    )
    def repair_gaps(context: dg.SensorEvaluationContext, titan10: dg.ResourceParam[Pipeline]) -> dg.SensorResult:
        plan = plan_of(titan10, context.instance)
        context.log.info(told(plan))
        now = titan10.now()
        requests = [request(repair, now) for repair in plan.repairs]
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else told(plan))

    return repair_gaps


def plan_of(titan10: Pipeline, instance: DagsterInstance) -> RepairPlan:
    """What is to be repaired now, by the ledger, the breakers and the repairs requested before."""
    now, sizes = titan10.now(), days_per_run(titan10.settings)
    exchanges = {
        name: Repairable(titan10.health(name), capabilities_of(name).depth, sizes[name])
        for name in titan10.settings.enabled
    }
    attempts = list(attempts_of(instance, titan10, now - REMEMBERED))
    return plan_repairs(titan10.open_slices(), exchanges=exchanges, attempts=attempts, now=now)


def attempts_of(instance: DagsterInstance, titan10: Pipeline, since: datetime) -> Iterator[Attempt]:
    """The repairs requested since then, as the instance remembers them."""
    names = list(titan10.settings.enabled)
    for run in instance.get_runs(RunsFilter(tags={REPAIR: names}), limit=MOST_REMEMBERED):
        name, at = run.tags[REPAIR], datetime.fromisoformat(run.tags[REQUESTED])
        if at >= since or not run.is_finished:
            yield Attempt(
                exchange=name,
                first=date.fromisoformat(run.tags[RANGE_START]),
                last=date.fromisoformat(run.tags[RANGE_END]),
                symbols=frozenset(symbols_of_run(run, name) or ()),
                at=at,
                in_flight=not run.is_finished,
            )


def request(repair: Repair, now: datetime) -> dg.RunRequest:
    """The run of a repair. Its key names the attempt by its minute: a key is remembered for ever, and a run that
    failed has to be followed by another one for the same days."""
    return dg.RunRequest(
        run_key=f"repair/{repair.exchange}/{repair.first}/{repair.last}/{now:%Y-%m-%dT%H:%M}",
        asset_selection=daily_keys(repair.exchange),
        tags={
            RANGE_START: str(repair.first),
            RANGE_END: str(repair.last),
            REPAIR: repair.exchange,
            REQUESTED: now.isoformat(),
            **({"dagster/priority": "1"} if repair.perishable else {}),
        },
        run_config={
            "ops": {
                f"{repair.exchange}__candles": {"config": {"symbols": list(repair.symbols), "repair": True}},
            }
        },
    )


def told(plan: RepairPlan) -> str:
    """The plan in a sentence."""
    runs = "; ".join(f"{one.exchange} {one.first} to {one.last}: {', '.join(one.symbols)}" for one in plan.repairs)
    return (
        f"{runs or 'Nothing to repair now'}. Of the other slices with unexplained gaps {plan.waiting} are not due yet, "
        f"{plan.busy} belong to exchanges under repair, {plan.shut_out} to exchanges that may not be asked, and "
        f"{plan.postponed} found no room."
    )
