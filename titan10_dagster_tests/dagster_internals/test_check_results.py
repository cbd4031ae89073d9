"""Results of checks for single partitions, reported from one run of several partitions."""

# `from __future__ import annotations` must not be used here: Dagster reads the annotations of contexts.

import dagster as dg
import pytest

from titan10_dagster.dagster_internals.check_results import latest_materializations, report_evaluation

ASSET = dg.AssetKey(["binance", "candles"])
CHECK = dg.AssetCheckKey(ASSET, "valid")
PARTITIONS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-04")
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


@dg.asset(key=ASSET, partitions_def=PARTITIONS)
def candles() -> None:
    """An asset that the tests materialize."""


@dg.asset_check(asset=ASSET, name="valid")
def valid(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Report a result for each day; the second day fails."""
    for day, target in latest_materializations(context.instance, ASSET, DAYS).items():
        evaluation = dg.AssetCheckEvaluation(
            asset_key=ASSET,
            check_name="valid",
            passed=day != DAYS[1],
            metadata={},
            target_materialization_data=target,
            partition=day,
        )
        report_evaluation(context, evaluation)
    return dg.AssetCheckResult(passed=True)


def materialize(instance: dg.DagsterInstance, day: str) -> str:
    return dg.materialize([candles], instance=instance, partition_key=day).run_id


def test_the_latest_materialization_of_each_partition_is_found(instance: dg.DagsterInstance) -> None:
    for day in DAYS:
        materialize(instance, day)
    latest = {day: materialize(instance, day) for day in DAYS[:2]}
    found = latest_materializations(instance, ASSET, DAYS[:2])
    assert {day: target.run_id for day, target in found.items()} == latest


def test_a_partition_that_was_never_materialized_has_none(instance: dg.DagsterInstance) -> None:
    materialize(instance, DAYS[0])
    assert set(latest_materializations(instance, ASSET, DAYS)) == {DAYS[0]}


@pytest.mark.filterwarnings("ignore::dagster.PreviewWarning")
def test_one_run_reports_a_result_for_each_partition(instance: dg.DagsterInstance) -> None:
    for day in DAYS:
        materialize(instance, day)
    definitions = dg.Definitions(assets=[candles], asset_checks=[valid])
    job = definitions.resolve_implicit_global_asset_job_def()
    selected = job.get_subset(asset_selection=set(), asset_check_selection={CHECK})
    assert selected.execute_in_process(instance=instance).success
    history = instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=10)
    results = {record.partition: record.status.value for record in history if record.partition is not None}
    assert results == {DAYS[0]: "SUCCEEDED", DAYS[1]: "FAILED", DAYS[2]: "SUCCEEDED"}
