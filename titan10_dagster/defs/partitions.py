"""The daily partitions, and the maximum number of partitions in a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import dagster as dg

from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.settings import Settings
from titan10_dagster.settings_values import FIRST_DAY

# Tag of a run of one partition.
PARTITION = "dagster/partition"
# Tags of a run of a range of partitions: the first and the last partition. Such a range can also be a single day.
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def daily_keys(*exchanges: str) -> list[dg.AssetKey]:
    """Return the keys of the assets with daily partitions, `candles` and `ohlcv`, for each of the given exchanges.

    A run that fetches days materializes these assets.
    """
    return [dg.AssetKey([name, kind]) for name in exchanges for kind in ("candles", "ohlcv")]


def daily(first_day: date = FIRST_DAY) -> dg.DailyPartitionsDefinition:
    """Return the definition of the daily partitions.

    All exchanges share this definition, because a backfill in the UI cannot combine assets with different definitions
    of partitions.

    The first partition is `first_day` of the settings. If it were the earliest `start` of all exchanges, Dagster would
    cancel all backfills when this `start` changes or its exchange is removed ("Targeted partitions have been removed").
    The partitions before the `start` of an exchange are empty, and no request is made for them.
    """
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone="UTC")


def days_per_run(settings: Settings) -> Mapping[str, int]:
    """Return the maximum number of days in a run of each exchange.

    The number comes from the settings, or else from the venue. If an earlier exchange in the settings already has this
    number, the number is increased until no earlier exchange has it.

    The numbers must differ, because Dagster combines assets with equal backfill policies into one run. In such a run,
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
    """Return the UTC days of daily partition keys (`YYYY-MM-DD`)."""
    return [date.fromisoformat(key) for key in partition_keys]
