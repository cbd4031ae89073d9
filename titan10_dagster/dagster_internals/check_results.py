"""Reports results of asset checks for single partitions, from a run of many partitions.

Dagster stores only one result for each check and run (dagster issues 17005 and 32894). Therefore the result of each
partition is reported as an event of the run. `DagsterInstance.report_runless_asset_event` cannot be used, because its
second call for the same check and partition fails (IntegrityError). The UI shows a result only if the result refers to
the latest materialization of its partition.
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
    """Return the latest materialization of each given partition, in the form that `AssetCheckEvaluation` expects."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=partitions)
    # The newest records come first, and the limit applies to all partitions together. If one partition has very many
    # newer records, the records of other partitions are possibly not read.
    records = instance.fetch_materializations(wanted, limit=10 * len(partitions)).records
    targets: dict[str, Target] = {}
    for record in reversed(records):
        if record.partition_key is not None:
            targets[record.partition_key] = Target(
                storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
            )
    return targets


def report_evaluation(context: dg.AssetCheckExecutionContext, evaluation: dg.AssetCheckEvaluation) -> None:
    """Store the result of a check as an event of the current run and step."""
    event = dg.DagsterEvent.asset_check_evaluation(context.get_step_execution_context(), evaluation)
    context.instance.report_dagster_event(event, context.run.run_id)
