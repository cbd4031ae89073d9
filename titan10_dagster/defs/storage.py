"""`system/storage`: how the candles are kept, once a day; and the check that complains of their chunks."""

# No `from __future__ import annotations`: Dagster reads the annotations of configs and resources as they stand.

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
    """`system/storage`: its metadata shows how much is stored, and what was dropped."""

    @dg.asset(
        key=KEY,
        group_name="system",
        owners=OWNERS,
        kinds={"python", "postgres"},
        description="Applies the settings of TimescaleDB, and lets go of candles older than "
        "`timescaledb.retention_days` where that is set: the ledger forgets them too, and they are not fetched again.",
        check_specs=[
            dg.AssetCheckSpec(
                "chunks_are_sound",
                asset=KEY,
                description="Chunks are neither too many nor too small, and old ones are compressed.",
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
                    or ("All chunks are sound." if seen else "Plain PostgreSQL: there are no chunks."),
                )
            ],
        )

    return storage


def storage_schedule() -> dg.ScheduleDefinition:
    """03:50 UTC, after the housekeeping."""
    return materializing(
        KEY,
        at=STORAGE_AT,
        name="keep_storage",
        job=JOB,
        description="Looks after the chunks of the candles, and lets go of those past their retention.",
    )
