"""The metadata and the status of each partition, as the UI shows them."""

from __future__ import annotations

from datetime import date

from titan10_dagster.candles.slices import days
from titan10_dagster.defs.metadata import MOST_ROWS, table
from titan10_dagster_tests.integration.results import metadata, shown, statuses
from titan10_dagster_tests.world import MakeWorld

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 4)
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def test_a_table_has_the_types_of_its_first_row_and_a_bound() -> None:
    rows = [{"symbol": "BTC/USDT", "active": True, "candles": 3, "share": 0.5}] * (MOST_ROWS + 1)
    shown_table = table(rows)
    assert [(column.name, column.type) for column in shown_table.schema.columns] == [
        ("symbol", "string"),
        ("active", "bool"),
        ("candles", "int"),
        ("share", "float"),
    ]
    assert len(shown_table.records) == MOST_ROWS
    assert table([]).records == []


def test_a_symbol_that_failed_is_in_the_metadata_of_each_of_its_days(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "http_400", symbol="ETH/USDT")
    world.backfill("binance", FIRST, FIRST)
    found = metadata(world, "binance/candles")[str(FIRST)]
    assert found["failed_symbols"] == ["ETH/USDT"]
    failures = found["failures"]
    assert isinstance(failures, dict)
    assert set(failures) == {"ETH/USDT"}
    stored = metadata(world, "binance/ohlcv")[str(FIRST)]
    assert (stored["slices_written"], stored["inserted"], stored["missing_unknown"]) == (2, 1440, 1440)


def test_forecast_and_result_of_the_run_stand_in_the_metadata_of_its_days(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.backfill("binance", FIRST, LAST)
    shown_days = metadata(world, "binance/candles")
    assert len(shown_days) == 4
    for found in shown_days.values():
        assert str(found["run_forecast"]).startswith("Forecast for 8 slices in 1 run(s): 12 requests, ")
        assert str(found["run_result"]).startswith("Result: 12 requests, 11,520 candles in ")
    world.backfill("binance", FIRST, LAST)
    assert all("run_forecast" not in found for found in metadata(world, "binance/candles").values())


def test_every_day_of_a_range_run_has_its_own_status_and_metadata(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "high_below_low", symbol="BTC/USDT", count=1, index=10)
    assert not world.backfill("binance", FIRST, LAST).failed
    keys = {str(day) for day in days(FIRST, LAST)}
    for asset, check in (
        ("candles", "valid"),
        ("candles", "on_grid"),
        ("candles", "complete"),
        ("ohlcv", "accounted_for"),
        ("ohlcv", "explained"),
        ("ohlcv", "near_others"),
    ):
        assert keys <= set(statuses(world, f"binance/{asset}", check)), (asset, check)
    assert shown(world, "binance/candles", "on_grid") == {"SUCCEEDED": keys}
    assert {status: len(days) for status, days in shown(world, "binance/candles", "valid").items()} == {
        "SUCCEEDED": 3,
        "FAILED": 1,
    }
    valid = statuses(world, "binance/candles", "valid")
    assert sorted(valid[key] for key in keys) == [False, True, True, True]
    candles, ohlcv = metadata(world, "binance/candles"), metadata(world, "binance/ohlcv")
    assert set(candles) == set(ohlcv) == keys
    assert {row["expected"] for row in ohlcv.values()} == {2 * 1440}
    assert sum(int(str(row["quarantined"])) for row in ohlcv.values()) == 1
    assert sum(int(str(row["requests"])) for row in candles.values()) == len(world.candle_requests("binance"))


def test_a_run_of_one_day_has_a_status_for_it(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST).failed
    for asset, check in (("candles", "valid"), ("candles", "complete"), ("ohlcv", "accounted_for")):
        assert shown(world, f"binance/{asset}", check) == {"SUCCEEDED": {str(FIRST)}}
