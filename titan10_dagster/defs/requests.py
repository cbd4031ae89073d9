"""Runs that the sensors request, and what the instance remembers of them and of the runs of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from titan10_dagster.dagster_internals.backfills import IMPLICIT_ASSET_JOB_NAME, assets_of_active_backfills
from titan10_dagster.defs.partitions import PARTITION, RANGE_END, RANGE_START, daily_keys, days_per_run
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.clients import health_of
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.planning.attempts import Attempt
from titan10_dagster.planning.missing_days import FailedRequest, Stretch
from titan10_dagster.planning.repairs import Repairable

# Tags of a requested run: the exchange, by who asked for it, and when that was, by the context's clock.
REPAIR, AUTOPILOT = "titan10/repair", "titan10/autopilot"
REQUESTED = "titan10/requested"
# What is older, or further back of its exchange, is forgotten: it may be tried again sooner than it would have been.
REMEMBERED, MOST_REMEMBERED = timedelta(days=7), 200
# The jobs whose runs bring days: backfills of the UI and the command line, the daily settlement, repairs.
JOBS_OF_DAYS = (IMPLICIT_ASSET_JOB_NAME, "settle", "repair")
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
    """A run over the days `first` to `last`, with `config` for `<exchange>/candles`. Its key names the attempt by its
    minute: a key is remembered for ever, and a run that failed has to be followed by another for the same days."""
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
    """Return the symbols to which the run's config restricts it; None if it takes all of them."""
    ops: Any = run.run_config.get("ops", {})
    symbols: list[str] | None = ops.get(f"{exchange}__candles", {}).get("config", {}).get("symbols")
    return symbols


def repairable(titan10: IngestContext, under_way: Iterable[str]) -> dict[str, Repairable]:
    """What a plan must know of each exchange; days of those `under_way` are fetched by others."""
    busy, sizes = set(under_way), days_per_run(titan10.settings)
    return {
        name: Repairable(health_of(titan10, name), venue_of(name).depth, sizes[name], name in busy)
        for name in titan10.settings.enabled
    }


def attempts_of(instance: DagsterInstance, tag: str, exchanges: Sequence[str], since: datetime) -> Iterator[Attempt]:
    """The runs with this tag that were requested since then, as the instance remembers them."""
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
    """Return the days that failed runs were to bring, of whatever kind: backfill, settlement or repair.

    Runs of the autopilot are left out, because it requests their days again itself. A run that a user cancelled is no
    failure. Whether its days are still missing is a question for the ledger.
    """
    found = []
    for job in JOBS_OF_DAYS:
        failed = RunsFilter(job_name=job, statuses=[DagsterRunStatus.FAILURE])
        for run in instance.get_runs(failed, limit=MOST_REMEMBERED):
            stretch = _days_of_run(run)
            if stretch is None or AUTOPILOT in run.tags:
                continue
            for name in exchanges:
                if not set(daily_keys(name)).isdisjoint(run.asset_selection or ()):
                    symbols = symbols_of_run(run, name)
                    found.append(FailedRequest(name, stretch, frozenset(symbols) if symbols else None))
    return found


def _days_of_run(run: dg.DagsterRun) -> Stretch | None:
    """Return the partitions of a run, from its tags; None if it has none."""
    first = run.tags.get(RANGE_START) or run.tags.get(PARTITION)
    last = run.tags.get(RANGE_END) or run.tags.get(PARTITION)
    if first is None or last is None:
        return None
    return Stretch(date.fromisoformat(first), date.fromisoformat(last))


def in_other_hands(instance: DagsterInstance, own: Sequence[str]) -> set[str]:
    """The exchanges of which days are being fetched, or are about to be, by runs without a tag of `own`."""
    runs = instance.get_runs(RunsFilter(statuses=UNFINISHED))
    keys = {key for run in runs if run.tags.keys().isdisjoint(own) for key in run.asset_selection or ()}
    # A backfill's runs are submitted a few at a time: between two of them none may be there.
    keys |= assets_of_active_backfills(instance)
    return {key.path[0] for key in keys if key in daily_keys(key.path[0])}


def is_under_way(instance: DagsterInstance, job: str) -> bool:
    """Whether a run of the job is queued or runs."""
    return bool(instance.get_run_records(RunsFilter(job_name=job, statuses=UNFINISHED), limit=1))
