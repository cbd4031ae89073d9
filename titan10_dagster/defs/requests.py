"""Creates the run requests of the sensors, and reads from Dagster which other runs a new request must consider.

These other runs are earlier attempts of the same sensor, failed runs, and runs that are fetching days now.
"""

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

# A requested run has the tag of its sensor, with the exchange as the value.
REPAIR, AUTOPILOT = "titan10/repair", "titan10/autopilot"
# A requested run also has this tag, with the time of the request as the value.
REQUESTED = "titan10/requested"
# If a run ended because requests were not allowed, it has this tag, with the end of the ban or pause as the value.
BLOCKED = "titan10/blocked"
# A sensor reads its attempts (the runs that it requested) to decide how long to wait before it requests the same days
# again. It reads the unfinished attempts, and the attempts that were requested within the last REMEMBERED. It reads at
# most MOST_REMEMBERED attempts of each exchange, the newest first. The days of all other attempts may be requested
# again at once.
REMEMBERED, MOST_REMEMBERED = timedelta(days=7), 200
# The jobs that fetch days, except for the job of the autopilot: backfills from the UI and the command line, the daily
# settlement, and repairs.
REPAIR_JOB = "repair"
JOBS_OF_DAYS = (IMPLICIT_ASSET_JOB_NAME, "settle", REPAIR_JOB)
_BATCH = 500  # number of runs that are read together
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
    """Return a run request for the days from `first` to `last`, with `config` for `<exchange>/candles`.

    The run key contains the minute of the request. Dagster never accepts the same key twice. Without the minute, the
    days of a failed run could not be requested again.
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
    """Return the symbols in the run's config, or None if the run fetches all symbols."""
    ops: Any = run.run_config.get("ops", {})
    symbols: list[str] | None = ops.get(f"{exchange}__candles", {}).get("config", {}).get("symbols")
    return symbols


def repairable(titan10: IngestContext, under_way: Iterable[str]) -> dict[str, Repairable]:
    """Return the facts about each exchange that a plan of repairs or of history needs.

    `under_way`: the exchanges for which other runs are fetching days.
    """
    busy, sizes = set(under_way), days_per_run(titan10.settings)
    return {
        name: Repairable(health, venue_of(name).depth, sizes[name], name in busy)
        for name, health in healths_of(titan10).items()
    }


def attempts_of(instance: DagsterInstance, tag: str, exchanges: Sequence[str], since: datetime) -> Iterator[Attempt]:
    """Yield an attempt for each run with this tag that was requested at or after `since`, or has not finished.

    For each exchange, only the newest MOST_REMEMBERED runs are read. A run that was not allowed to make requests is not
    an attempt. The days of such a run are due again as soon as the breaker allows requests.
    """
    for name in exchanges:
        for run in instance.get_runs(RunsFilter(tags={tag: name}), limit=MOST_REMEMBERED):
            if BLOCKED in run.tags and run.is_finished:
                continue
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
    """Return the days of failed backfills, settlements and repairs.

    Runs of the autopilot are left out, because the autopilot itself requests their days again. Runs that a user
    cancelled are left out too. Some of the days are possibly no longer missing, so the caller must check the ledger.
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

    For the job of repairs, only the newest failed runs are yielded, because repairs request the days of other failed
    runs. For all other jobs, every failed run is yielded, so that no requested day is lost. A backfill of years may
    have a thousand failed runs, and housekeeping does not delete such runs.
    """
    failed, cursor = RunsFilter(job_name=job, statuses=[DagsterRunStatus.FAILURE]), None
    most = MOST_REMEMBERED if job == REPAIR_JOB else None
    while records := instance.get_run_records(failed, limit=most or _BATCH, cursor=cursor):
        yield from records
        if most is not None:
            return
        cursor = records[-1].dagster_run.run_id


def _days_of_run(run: dg.DagsterRun) -> Stretch | None:
    """Return the partitions in the tags of a run, or None if the run has no partitions."""
    first = run.tags.get(RANGE_START) or run.tags.get(PARTITION)
    last = run.tags.get(RANGE_END) or run.tags.get(PARTITION)
    if first is None or last is None:
        return None
    return Stretch(date.fromisoformat(first), date.fromisoformat(last))


def fetched_by_other_runs(instance: DagsterInstance, own: Sequence[str]) -> set[str]:
    """Return the exchanges for which queued or running runs, or active backfills, fetch days.

    Runs with a tag in `own` are left out.
    """
    keys: set[dg.AssetKey] = set()
    for run in instance.get_runs(RunsFilter(statuses=UNFINISHED)):
        if run.tags.keys().isdisjoint(own):
            keys.update(run.asset_selection or ())
    # The runs of a backfill are submitted a few at a time. So a backfill may have no unfinished run at the moment.
    keys |= assets_of_active_backfills(instance)
    return {key.path[0] for key in keys if key in daily_keys(key.path[0])}


def is_under_way(instance: DagsterInstance, job: str) -> bool:
    """Return whether the job has a queued or running run."""
    return bool(instance.get_run_records(RunsFilter(job_name=job, statuses=UNFINISHED), limit=1))
