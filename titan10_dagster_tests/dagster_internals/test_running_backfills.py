"""The behaviour of Dagster's daemon with a running backfill when the settings change."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest
from dagster._core.errors import DagsterDefinitionChangedDeserializationError
from dagster._core.execution.asset_backfill import _check_target_partitions_subset_is_valid
from dagster._core.loader import LoadingContextForTest
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer

from titan10_dagster.defs.partitions import daily


def check_running_backfill(before: dg.PartitionsDefinition, after: dg.PartitionsDefinition) -> None:
    """Let Dagster's daemon check a backfill of March 2024 that was launched before the code location changed."""
    key = dg.AssetKey(["binance", "candles"])

    @dg.asset(key=key, partitions_def=after)
    def candles() -> None: ...

    targeted = before.subset_with_partition_keys([f"2024-03-{day:02}" for day in range(1, 32)])
    graph = dg.Definitions(assets=[candles]).resolve_asset_graph()
    with dg.DagsterInstance.ephemeral() as instance:
        queryer = CachingInstanceQueryer(instance, graph, LoadingContextForTest(instance))
        _check_target_partitions_subset_is_valid(key, graph, targeted, queryer)


def test_a_running_backfill_survives_that_the_exchange_with_the_earliest_start_leaves_the_settings() -> None:
    check_running_backfill(before=daily(), after=daily())


def test_a_running_backfill_survives_an_earlier_first_day() -> None:
    check_running_backfill(before=daily(date(2024, 1, 1)), after=daily(date(2017, 1, 1)))


def test_a_running_backfill_survives_a_later_first_day_that_is_before_its_own_days() -> None:
    check_running_backfill(before=daily(date(2017, 1, 1)), after=daily(date(2024, 3, 1)))


def test_partitions_that_begin_with_a_setting_would_fail_it() -> None:
    """This shows that the check above can fail.

    If the partitions began with the earliest `start`, the removal of the exchange with this `start` would remove
    partitions.
    """
    by_setting = dg.DailyPartitionsDefinition(start_date="2024-03-15", timezone="UTC")
    with pytest.raises(DagsterDefinitionChangedDeserializationError, match="have been removed"):
        check_running_backfill(before=daily(), after=by_setting)
