from __future__ import annotations

from datetime import date
from pathlib import Path

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


def test_the_partitions_begin_on_the_first_day_of_the_settings_or_before_any_candle() -> None:
    assert daily().get_first_partition_key() == FIRST_DAY.isoformat()
    assert daily(date(2024, 2, 29)).get_first_partition_key() == "2024-02-29"
    assert str(daily().timezone) == "UTC"


def test_partition_keys_are_utc_days() -> None:
    assert to_days(["2024-02-29", "2024-03-01"]) == [date(2024, 2, 29), date(2024, 3, 1)]
