"""The nightly housekeeping. It deletes old runs of polling and maintenance, old step logs, and archive files that were
not used for a long time. It also deletes landed files some time after their candles were stored in the database.

Only runs of the jobs in `FREQUENT` are deleted. These jobs do not materialize partitions. The UI shows a partition as
materialized only as long as the events of its run exist. Therefore the runs of backfills, settlements and repairs are
kept forever. Dagster's daemon deletes old ticks (`retention` in dagster.yaml).
"""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of configs and resources.

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from titan10_dagster.dagster_internals import run_deletion
from titan10_dagster.defs.assets import OWNERS
from titan10_dagster.defs.live import JOB as LIVE_JOB
from titan10_dagster.defs.rollups import JOB as ROLLUPS_JOB
from titan10_dagster.defs.schedules import MARKETS_JOB, materializing
from titan10_dagster.defs.status import JOB as HEALTH_JOB
from titan10_dagster.defs.storage import JOB as STORAGE_JOB
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.operate.cleanup import clear_archives, clear_landing

KEY = dg.AssetKey(["system", "housekeeping"])
JOB = "housekeeping"
# Old runs of these jobs are deleted. The jobs have many runs, and the runs do not materialize partitions.
FREQUENT = (LIVE_JOB, ROLLUPS_JOB, MARKETS_JOB, HEALTH_JOB, STORAGE_JOB, JOB)
FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
HOUSEKEEPING_AT = "30 3 * * *"
BATCH = 200  # number of runs that are deleted together
LONGEST = timedelta(minutes=20)  # the deletion of runs stops after this time, and continues in the next night


@dataclass(frozen=True)
class Deleted:
    """The number of deleted runs, with the number and size of their events."""

    runs: int = 0
    events: int = 0
    bytes: int = 0

    def __add__(self, other: "Deleted") -> "Deleted":
        return Deleted(self.runs + other.runs, self.events + other.events, self.bytes + other.bytes)


def housekeeping_asset() -> dg.AssetsDefinition:
    """Return `system/housekeeping`. Its metadata shows what was deleted."""

    @dg.asset(
        key=KEY,
        group_name="system",
        owners=OWNERS,
        kinds={"python"},
        description=f"Deletes old runs of {', '.join(FREQUENT)} with their events, old step logs, landed files whose "
        "candles are stored in the database, old evidence (replaced or unreadable landed files), and archive files "
        "that were not used for a long time. Runs that materialized partitions are kept.",
    )
    def housekeeping(
        context: dg.AssetExecutionContext, titan10: dg.ResourceParam[IngestContext]
    ) -> dg.MaterializeResult[Any]:
        keep, now, deleted = titan10.settings.housekeeping, titan10.now(), Deleted()
        if keep.live_runs_days:
            deleted = delete_runs(context.instance, now - timedelta(days=keep.live_runs_days))
        logs = 0
        if keep.step_logs_days:
            logs = delete_step_logs(
                Path(context.instance.storage_directory()), now - timedelta(days=keep.step_logs_days)
            )
        landing, archives = clear_landing(titan10), clear_archives(titan10)
        return dg.MaterializeResult(
            metadata={
                "runs": deleted.runs,
                "events": deleted.events,
                "event_bytes": deleted.bytes,
                "step_logs_of_runs": logs,
                "landed_files": sum(freed.files for freed in landing.values()),
                "landed_bytes": sum(freed.bytes for freed in landing.values()),
                "archive_files": archives.files,
                "archive_bytes": archives.bytes,
                **{f"files_{kind.name.lower()}": freed.files for kind, freed in landing.items()},
            }
        )

    return housekeeping


def housekeeping_schedule() -> dg.ScheduleDefinition:
    """Return the schedule, which runs at 03:30 UTC. By then the daily settlement has usually finished."""
    return materializing(
        KEY,
        at=HOUSEKEEPING_AT,
        name="keep_house",
        job=JOB,
        description="Deletes old runs of polling and maintenance, and landed files whose candles are stored in the "
        "database.",
    )


def delete_runs(instance: DagsterInstance, before: datetime, *, longest: timedelta = LONGEST) -> Deleted:
    """Delete finished runs of the jobs in FREQUENT that were created before `before`, oldest first.

    `longest`: the time after which no further batch of runs is deleted.
    """
    deleted, end = Deleted(), time.monotonic() + longest.total_seconds()
    for batch in _batches(instance, before):
        deleted += Deleted(len(batch), *run_deletion.size_of_events(instance, batch))
        run_deletion.delete_runs(instance, batch)
        if time.monotonic() > end:
            break
    return deleted


def delete_step_logs(folder: Path, before: datetime) -> int:
    """Delete the logs of steps and sensor ticks that are older than `before`.

    Return for how many runs logs were deleted.
    """
    old = [logs for logs in _folders_of_runs(folder) if logs.stat().st_mtime < before.timestamp()]
    for logs in old:
        shutil.rmtree(logs, ignore_errors=True)
    for file in folder.glob("*/*/*.err"):  # <repository>/<sensor>/<tick>.err
        if file.is_file() and file.stat().st_mtime < before.timestamp():
            file.unlink(missing_ok=True)
    return len(old)


def _batches(instance: DagsterInstance, before: datetime) -> Iterator[list[str]]:
    for job in FREQUENT:
        kept = _newest(instance, job)
        while batch := _oldest(instance, job, before, kept):
            yield batch


def _oldest(instance: DagsterInstance, job: str, before: datetime, kept: set[str]) -> list[str]:
    filters = RunsFilter(job_name=job, statuses=FINISHED, created_before=before)
    records = instance.get_run_records(filters, limit=BATCH, ascending=True)
    return [record.dagster_run.run_id for record in records if record.dagster_run.run_id not in kept]


def _newest(instance: DagsterInstance, job: str) -> set[str]:
    """Return the ids of the job's newest run and of its newest successful run. The UI shows both with the asset."""
    newest = [
        *instance.get_run_records(RunsFilter(job_name=job), limit=1),
        *instance.get_run_records(RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS]), limit=1),
    ]
    return {record.dagster_run.run_id for record in newest}


def _folders_of_runs(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for entry in folder.iterdir():
            if entry.is_dir() and _is_run(entry.name):
                yield entry


def _is_run(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
