"""Run requests of the sensors, and what the Dagster instance knows about earlier and other runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

from titan10_dagster.dagster_internals.backfills import IMPLICIT_ASSET_JOB_NAME, assets_of_active_backfills
from titan10_dagster.defs.partitions import PARTITION, RANGE_END, RANGE_START, daily_keys, days_per_run
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.clients import healths_of
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.planning.attempts import Attempt
from titan10_dagster.planning.missing_days import FailedRequest, Stretch
from titan10_dagster.planning.repairs import Repairable

# Tags of a requested run: its exchange, under the sensor's tag, and the time of the request (the context's clock).
REPAIR, AUTOPILOT = "titan10/repair", "titan10/autopilot"
REQUESTED = "titan10/requested"
# Limits for attempts: their age, and their number per exchange. The days of attempts beyond these limits may be fetched
# again sooner.
REMEMBERED, MOST_REMEMBERED = timedelta(days=7), 200
# The jobs that fetch days: backfills of the UI and the command line, the daily settlement, repairs.
REPAIR_JOB = "repair"
JOBS_OF_DAYS = (IMPLICIT_ASSET_JOB_NAME, "settle", REPAIR_JOB)
_BATCH = 500  # runs that are read at once
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def request_of_days(
    tag: str,
    exchange: str,
    first: date,
    last: date,
    now: datetime,
    *,
    config: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
) -> dg.RunRequest:
    """Return a run request for the days `first` to `last`, with `config` for `<exchange>/candles`.

    The run key holds the minute of the attempt. Dagster never accepts a key twice, and a failed run needs another run
    for the same days.
    """
    return dg.RunRequest(
        run_key=f"{tag.removeprefix('titan10/')}/{exchange}/{first}/{last}/{now:%Y-%m-%dT%H:%M}",
        asset_selection=daily_keys(exchange),
        tags={
            RANGE_START: str(first),
            RANGE_END: str(last),
            tag: exchange,
            REQUESTED: now.isoformat(),
            **(tags or {}),
        },
        run_config={"ops": {f"{exchange}__candles": {"config": dict(config)}}},
    )


def symbols_of_run(run: dg.DagsterRun, exchange: str) -> list[str] | None:
    """Return the symbols to which the run's config restricts it; None if it takes all symbols."""
    ops: Any = run.run_config.get("ops", {})
    symbols: list[str] | None = ops.get(f"{exchange}__candles", {}).get("config", {}).get("symbols")
    return symbols


def repairable(titan10: IngestContext, under_way: Iterable[str]) -> dict[str, Repairable]:
    """Return the facts that a plan needs, by exchange. Other runs fetch days of the exchanges `under_way`."""
    busy, sizes = set(under_way), days_per_run(titan10.settings)
    return {
        name: Repairable(health, venue_of(name).depth, sizes[name], name in busy)
        for name, health in healths_of(titan10).items()
    }


def attempts_of(instance: DagsterInstance, tag: str, exchanges: Sequence[str], since: datetime) -> Iterator[Attempt]:
    """Yield the runs with this tag that were requested since then or have not finished."""
    for name in exchanges:
        for run in instance.get_runs(RunsFilter(tags={tag: name}), limit=MOST_REMEMBERED):
            at = datetime.fromisoformat(run.tags[REQUESTED])
            if at >= since or not run.is_finished:
                yield Attempt(
                    exchange=name,
                    first=date.fromisoformat(run.tags[RANGE_START]),
                    last=date.fromisoformat(run.tags[RANGE_END]),
                    symbols=frozenset(symbols_of_run(run, name) or ()),
                    at=at,
                    in_flight=not run.is_finished,
                    failed=run.is_finished and not run.is_success,
                )


def failed_requests(instance: DagsterInstance, exchanges: Sequence[str]) -> list[FailedRequest]:
    """Return the days of failed runs of a backfill, the settlement or a repair.

    Runs of the autopilot are left out, because it requests their days again itself. A run that a user
    cancelled does not count. Some of the days may no longer be missing: check the ledger.
    """
    found = []
    for job in JOBS_OF_DAYS:
        for record in _failed_runs(instance, job):
            run, ended = record.dagster_run, record.end_time
            at = datetime.fromtimestamp(ended, UTC) if ended is not None else record.update_timestamp
            stretch = _days_of_run(run)
            if stretch is None or AUTOPILOT in run.tags:
                continue
            for name in exchanges:
                if not set(daily_keys(name)).isdisjoint(run.asset_selection or ()):
                    symbols = symbols_of_run(run, name)
                    found.append(FailedRequest(name, stretch, frozenset(symbols) if symbols else None, at))
    return found


def _failed_runs(instance: DagsterInstance, job: str) -> Iterator[RunRecord]:
    """Yield the failed runs of the job, newest first.

    Housekeeping deletes no run of days, and a backfill of years may fail in a thousand runs. All of them count, so that
    no requested day is forgotten. Of repairs the newest are enough, because they request days of other failed runs.
    """
    failed, cursor = RunsFilter(job_name=job, statuses=[DagsterRunStatus.FAILURE]), None
    most = MOST_REMEMBERED if job == REPAIR_JOB else None
    while records := instance.get_run_records(failed, limit=most or _BATCH, cursor=cursor):
        yield from records
        if most is not None:
            return
        cursor = records[-1].dagster_run.run_id


def _days_of_run(run: dg.DagsterRun) -> Stretch | None:
    """Return the partitions of a run, from its tags; None if it has none."""
    first = run.tags.get(RANGE_START) or run.tags.get(PARTITION)
    last = run.tags.get(RANGE_END) or run.tags.get(PARTITION)
    if first is None or last is None:
        return None
    return Stretch(date.fromisoformat(first), date.fromisoformat(last))


def fetched_by_other_runs(instance: DagsterInstance, own: Sequence[str]) -> set[str]:
    """Return the exchanges with queued or running runs for their days. Runs with a tag in `own` do not count."""
    keys: set[dg.AssetKey] = set()
    for run in instance.get_runs(RunsFilter(statuses=UNFINISHED)):
        if run.tags.keys().isdisjoint(own):
            keys.update(run.asset_selection or ())
    # The runs of a backfill are submitted a few at a time, so it may have no unfinished run at the moment.
    keys |= assets_of_active_backfills(instance)
    return {key.path[0] for key in keys if key in daily_keys(key.path[0])}


def is_under_way(instance: DagsterInstance, job: str) -> bool:
    """Return whether a run of the job is queued or under way."""
    return bool(instance.get_run_records(RunsFilter(job_name=job, statuses=UNFINISHED), limit=1))
