"""Results of asset checks for single partitions, reported from a run of many partitions.

Dagster stores one result per check and run (dagster issues 17005 and 32894). A result for each partition therefore has
to be reported as an event of the run, because `DagsterInstance.report_runless_asset_event` can store only a single
result per check and partition. The UI shows a result only if it names the latest materialization of its partition.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

Target = AssetCheckEvaluationTargetMaterializationData


def latest_materializations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Sequence[str]
) -> dict[str, Target]:
    """Return the latest materialization of each of these partitions, for `AssetCheckEvaluation`."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=partitions)
    # Newest first. A partition that was recently materialized more than ten times may hide another one.
    records = instance.fetch_materializations(wanted, limit=10 * len(partitions)).records
    targets: dict[str, Target] = {}
    for record in reversed(records):
        if record.partition_key is not None:
            targets[record.partition_key] = Target(
                storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
            )
    return targets


def report_evaluation(context: dg.AssetCheckExecutionContext, evaluation: dg.AssetCheckEvaluation) -> None:
    """Store a result as an event of the current run and step."""
    event = dg.DagsterEvent.asset_check_evaluation(context.get_step_execution_context(), evaluation)
    context.instance.report_dagster_event(event, context.run.run_id)
