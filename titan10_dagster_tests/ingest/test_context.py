"""The context gives settings, slices and the first day that is kept."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from titan10_dagster.errors import SettingsError
from titan10_dagster.ingest.context import open_context
from titan10_dagster.settings import Settings, TimescaleSettings
from titan10_dagster_tests.world import NOW, START, MakeWorld


def test_slices_come_series_after_series_and_day_after_day(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT", "ETH/USDT"]}).titan10
    days = [date(2024, 2, 2), date(2024, 2, 1)]
    slices = titan10.slices("binance", days)
    assert [(slice_.series.symbol, slice_.day.day) for slice_ in slices] == [
        ("BTC/USDT", 1),
        ("BTC/USDT", 2),
        ("ETH/USDT", 1),
        ("ETH/USDT", 2),
    ]
    assert {slice_.series.symbol for slice_ in titan10.slices("binance", days, ["ETH/USDT"])} == {"ETH/USDT"}


def test_an_exchange_starts_at_its_own_first_day_while_candles_are_kept_for_ever(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10
    assert titan10.kept_from is None
    assert titan10.exchange("binance").start == START


def test_an_exchange_starts_at_the_first_day_that_is_kept(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    kept = TimescaleSettings(retention_days=30)
    settings = world.titan10.settings.model_copy(update={"timescaledb": kept})
    object.__setattr__(world.titan10, "settings", settings)
    assert world.titan10.kept_from == NOW.date() - timedelta(days=30)
    assert world.titan10.exchange("binance").start == world.titan10.kept_from


def test_a_run_may_have_its_own_order_of_sources(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"], "bybit": ["BTC/USDT"]}).titan10
    changed = titan10.with_sources("binance", ["archive", "rest"])
    assert changed.exchange("binance").sources == ("archive", "rest")
    assert titan10.exchange("binance").sources == ("rest",)
    assert changed.judged is titan10.judged


@pytest.mark.parametrize(
    ("exchange", "sources", "sentence"),
    [
        ("bybit", ["archive"], "Titan-10 reads no archive of bybit"),
        ("binance", ["ftp"], "'ftp' is not a source of candles"),
        ("binance", [], "the list is empty"),
    ],
)
def test_a_source_that_does_not_exist_is_refused(
    make_world: MakeWorld, exchange: str, sources: list[str], sentence: str
) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"], "bybit": ["BTC/USDT"]}).titan10
    with pytest.raises(SettingsError, match=sentence):
        titan10.with_sources(exchange, sources)


def test_without_a_database_the_error_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="start `titan10 up`"):
        open_context(Settings(data=tmp_path))


def test_definitions_load_without_a_database_and_its_first_use_says_what_to_start(tmp_path: Path) -> None:
    titan10 = open_context(Settings(data=tmp_path), needs_database=False)
    with pytest.raises(SettingsError, match="start `titan10 up`"):
        titan10.database.has_timescaledb()
