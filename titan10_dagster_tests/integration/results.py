"""The results of runs: requests, results of checks and metadata of partitions."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from titan10_dagster.candles.slices import Slice
from titan10_dagster.defs.partitions import daily
from titan10_dagster_tests.world import World


def statuses(world: World, asset: str, check: str) -> dict[str | None, bool]:
    """Return whether the latest result of a check was a success, by partition."""
    history = world.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(asset.split("/")), check), limit=1000
    )
    latest = {record.partition: record.status.value for record in sorted(history, key=lambda record: record.id)}
    assert "PLANNED" not in latest.values()
    return {partition: status == "SUCCEEDED" for partition, status in latest.items()}


def shown(world: World, asset: str, check: str) -> dict[str, set[str]]:
    """Return the status of each partition of a check, as in the UI."""
    key = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), check)
    partitions = daily()
    state = world.instance.event_log_storage.get_asset_check_state([(key, partitions)])[key]
    return {
        status.value: set(subset.value.get_partition_keys()) for status, subset in state.subsets.items() if subset.size
    }


def metadata(world: World, asset: str) -> dict[str, dict[str, object]]:
    """Return the metadata of the latest materialization of each partition."""
    records = world.instance.fetch_materializations(dg.AssetKey(asset.split("/")), limit=1000).records
    found: dict[str, dict[str, object]] = {}
    for record in records:
        assert record.asset_materialization is not None
        values = {key: value.value for key, value in record.asset_materialization.metadata.items()}
        found.setdefault(record.partition_key or "", values)
    return found


def asked_slice(world: World, symbol: str, since: int) -> Slice:
    """Return the slice of binance to which a request belongs. `since`: the start of the request (ms)."""
    (slice_,) = world.titan10.slices("binance", [datetime.fromtimestamp(since / 1000, UTC).date()], [symbol])
    return slice_
