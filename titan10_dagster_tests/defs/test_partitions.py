from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import DagsterDefinitionChangedDeserializationError
from dagster._core.execution.asset_backfill import _check_target_partitions_subset_is_valid
from dagster._core.loader import LoadingContextForTest
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer

from titan10_dagster.defs.partitions import daily, days_per_run, to_days
from titan10_dagster.settings import ExchangeSettings, Settings
from titan10_dagster.settings_values import FIRST_DAY


def settings(**days: int | None) -> Settings:
    exchanges = {
        name: ExchangeSettings(symbols=("BTC/USDT",), start=date(2020, 1, 1 + n), days_per_run=size)
        for n, (name, size) in enumerate(days.items())
    }
    return Settings.model_construct(data=Path("data"), exchanges=exchanges)


def test_runs_of_two_exchanges_are_never_of_equal_size() -> None:
    sizes = days_per_run(settings(binance=None, bybit=31, okx=31, htx=None, mexc=None))
    assert len(set(sizes.values())) == len(sizes)


def test_a_size_that_was_set_is_kept_where_it_can_be() -> None:
    assert days_per_run(settings(binance=7, okx=9)) == {"binance": 7, "okx": 9}


def test_the_partitions_begin_on_the_earliest_day_that_any_exchange_may_start_on() -> None:
    partitions = daily()
    assert partitions.get_first_partition_key() == FIRST_DAY.isoformat()
    assert str(partitions.timezone) == "UTC"


def check_running_backfill(before: dg.PartitionsDefinition, after: dg.PartitionsDefinition) -> None:
    """Have Dagster's daemon check a backfill of March 2024 that was launched before the code location changed."""
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


def test_partitions_that_begin_with_a_setting_would_fail_it() -> None:
    """The check above can fail: partitions that begin with the earliest `start` are gone when that one leaves."""
    by_setting = dg.DailyPartitionsDefinition(start_date="2024-03-15", timezone="UTC")
    with pytest.raises(DagsterDefinitionChangedDeserializationError, match="have been removed"):
        check_running_backfill(before=daily(), after=by_setting)


def test_partition_keys_are_utc_days() -> None:
    assert to_days(["2024-02-29", "2024-03-01"]) == [date(2024, 2, 29), date(2024, 3, 1)]
