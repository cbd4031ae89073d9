"""The IO managers between the assets: files in the landing zone, then rows in the database."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from titan10_dagster.candles.slices import days
from titan10_dagster.defs.assets import LandedCandles
from titan10_dagster.defs.io_managers import LandingIOManager
from titan10_dagster.defs.partitions import daily
from titan10_dagster.errors import LandingError
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster_tests.integration.results import asked_slice, statuses
from titan10_dagster_tests.world import MakeWorld

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 4)
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def test_files_that_are_gone_when_the_asset_ends_fail_its_step(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    slices = tuple(world.titan10.slices("binance", [FIRST]))
    fetch_and_land(world.titan10, "binance", slices)
    manager = LandingIOManager(world.titan10)
    landed = LandedCandles(slices, landed=slices)
    context = dg.build_output_context(asset_key=dg.AssetKey(["binance", "candles"]))
    manager.handle_output(context, landed)
    world.titan10.landing.path(slices[0]).unlink()
    with pytest.raises(LandingError, match=r"1 slices were fetched, but their files are missing in the landing zone"):
        manager.handle_output(context, landed)


def test_the_next_asset_gets_all_slices_of_its_partitions(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    context = dg.build_input_context(
        asset_key=dg.AssetKey(["binance", "candles"]),
        asset_partition_key_range=dg.PartitionKeyRange(str(FIRST), str(LAST)),
        asset_partitions_def=daily(),
    )
    slices = LandingIOManager(world.titan10).load_input(context).slices
    assert {(slice_.series.symbol, slice_.day) for slice_ in slices} == {
        (symbol, day) for symbol in SYMBOLS for day in days(FIRST, LAST)
    }


def test_what_a_dead_run_landed_is_stored_without_a_request(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    slices = world.titan10.slices("binance", days(FIRST, LAST))
    fetch_and_land(world.titan10, "binance", slices[:5])
    world.sandbox.clear_requests("binance")
    assert not world.backfill("binance", FIRST, LAST).failed
    asked = {asked_slice(world, entry["symbol"], entry["since"]) for entry in world.candle_requests("binance")}
    assert not asked & set(slices[:5])
    assert world.equals_truth("binance", FIRST, LAST)


def test_a_database_that_was_written_past_the_store_is_reported(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST).failed
    with world.titan10.database.transaction() as cursor:
        cursor.execute("DELETE FROM candles WHERE symbol = 'BTC/USDT' AND time = '2024-02-01 05:00+00'")
    assert not world.backfill("binance", FIRST).failed
    assert statuses(world, "binance/ohlcv", "accounted_for")[str(FIRST)] is False
