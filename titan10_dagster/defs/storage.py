"""The asset `system/storage`. Once a day it applies the storage settings and checks the chunks of TimescaleDB."""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of configs and resources.

import dagster as dg

from titan10_dagster.defs.assets import OWNERS
from titan10_dagster.defs.schedules import materializing
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.maintenance import apply_policies, drop_old_candles, read_storage
from titan10_dagster.store.storage import complaints

KEY = dg.AssetKey(["system", "storage"])
JOB = "storage"
STORAGE_AT = "50 3 * * *"


def storage_asset() -> dg.AssetsDefinition:
    """Return `system/storage`. Its metadata shows the size of the stored data, and which data was deleted."""

    @dg.asset(
        key=KEY,
        group_name="system",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description="Applies the settings of TimescaleDB. If `timescaledb.retention_days` is set, candles that are "
        "older than this number of days are deleted with their ledger rows, and are not fetched again.",
        check_specs=[
            dg.AssetCheckSpec(
                "chunks_are_sound",
                asset=KEY,
                description="Warns if there are too many chunks, or if chunks are too small or not compressed in time.",
            )
        ],
    )
    def storage(titan10: dg.ResourceParam[IngestContext]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        changed, dropped, seen = apply_policies(titan10), drop_old_candles(titan10), read_storage(titan10)
        chunks = seen.chunks if seen else ()
        wrong = complaints(seen, titan10.now()) if seen else []
        return dg.MaterializeResult(
            metadata={
                "changed": changed,
                "chunks": len(chunks),
                "compressed": sum(chunk.compressed for chunk in chunks),
                "partial": sum(chunk.partial for chunk in chunks),
                "bytes": seen.bytes if seen else 0,
                **({"slices_dropped": dropped.slices, "kept_from": str(dropped.before)} if dropped else {}),
            },
            check_results=[
                dg.AssetCheckResult(
                    passed=not wrong,
                    check_name="chunks_are_sound",
                    severity=dg.AssetCheckSeverity.WARN,
                    description=" ".join(wrong)
                    or ("There are no problems with the chunks." if seen else "Plain PostgreSQL has no chunks."),
                )
            ],
        )

    return storage


def storage_schedule() -> dg.ScheduleDefinition:
    """Return the schedule, which runs at 03:50 UTC, after the housekeeping."""
    return materializing(
        KEY,
        at=STORAGE_AT,
        name="keep_storage",
        job=JOB,
        description="Applies the storage settings. If `timescaledb.retention_days` is set, deletes candles that are "
        "older than this number of days.",
    )
