"""Days and runs: the partitions, and the number of partitions per run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import dagster as dg

from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.settings import Settings
from titan10_dagster.settings_values import FIRST_DAY

# Tags of a run over a range of partitions, both included.
PARTITION = "dagster/partition"  # tag of a run of one partition; a run of a range has the tags above, even for one day
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def daily_keys(*exchanges: str) -> list[dg.AssetKey]:
    """Return the assets of these exchanges that have daily partitions. A run of days consists of them."""
    return [dg.AssetKey([name, kind]) for name in exchanges for kind in ("candles", "ohlcv")]


def daily(first_day: date = FIRST_DAY) -> dg.DailyPartitionsDefinition:
    """Return the one definition of all exchanges: the UI refuses a backfill over assets of several definitions.

    It starts on `first_day` of the settings, and depends on no exchange: if it did, editing or removing the exchange
    with the earliest start would cancel the backfills of all others ("Targeted partitions have been removed"). Days
    before an exchange's own start materialize empty, without a request.
    """
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone="UTC")


def days_per_run(settings: Settings) -> Mapping[str, int]:
    """Return the number of days per run of each exchange: the setting or the venue's figure, made unique.

    The numbers must differ, because Dagster combines assets with equal backfill policies into one run, in which
    exchanges would wait for each other.
    """
    sizes: dict[str, int] = {}
    for name, exchange in settings.exchanges.items():
        size = exchange.days_per_run or venue_of(name).days_per_run
        while size in sizes.values():
            size += 1
        sizes[name] = size
    return sizes


def to_days(partition_keys: Iterable[str]) -> list[date]:
    """UTC days of daily partition keys (`YYYY-MM-DD`)."""
    return [date.fromisoformat(key) for key in partition_keys]
