"""The state of a running backfill in Dagster, for tests. This module needs Dagster's private API."""

from __future__ import annotations

import dagster as dg
from dagster._core.errors import DagsterDefinitionChangedDeserializationError
from dagster._core.execution.asset_backfill import _check_target_partitions_subset_is_valid
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.loader import LoadingContextForTest
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer

from titan10_dagster.defs.partitions import daily

REQUESTED, COMPLETED = BulkActionStatus.REQUESTED, BulkActionStatus.COMPLETED_SUCCESS


def fault_of_target(definitions: dg.Definitions, key: dg.AssetKey, partitions: list[str]) -> str | None:
    """Return why a running backfill of these partitions of an asset fails; None if the backfill continues."""
    graph = definitions.resolve_asset_graph()
    with dg.DagsterInstance.ephemeral() as ephemeral:
        queryer = CachingInstanceQueryer(ephemeral, graph, LoadingContextForTest(ephemeral))
        subset = daily().subset_with_partition_keys(partitions)
        try:
            _check_target_partitions_subset_is_valid(key, graph, subset, queryer)
        except DagsterDefinitionChangedDeserializationError as error:
            return str(error)
    return None
