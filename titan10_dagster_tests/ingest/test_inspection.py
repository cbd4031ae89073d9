"""The data for the asset checks."""

from __future__ import annotations

import shutil
from datetime import date

from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.ingest.inspection import inspect_slices, price_distances, unaccounted_slices
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.store.deviation import comparable_symbols
from titan10_dagster_tests.world import START, MakeWorld

DAY, NEXT = date(2024, 2, 1), date(2024, 2, 2)


def test_a_slice_is_inspected_by_its_file_then_by_the_ledger(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    world.sandbox.fault("binance", "high_below_low", symbol="BTC/USDT", count=1)
    titan10 = world.titan10
    slices = titan10.slices("binance", [DAY, NEXT])
    fetch_and_land(titan10, "binance", slices[:1])
    landed, not_requested = inspect_slices(titan10, slices)
    assert (landed.valid, landed.broken, landed.counts["high_below_low"]) == (1439, 1, 1)
    assert not_requested.note == "not requested yet"
    store_slices(titan10, slices[:1])
    shutil.rmtree(titan10.landing.root)
    (from_ledger, _) = inspect_slices(titan10, slices)
    assert (from_ledger.valid, from_ledger.broken, from_ledger.answered) == (1439, 0, True)
    assert from_ledger.note is not None
    assert "landed file no longer exists" in from_ledger.note


def test_days_before_the_start_are_not_inspected(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10
    before = date(START.year - 1, 12, 31)
    assert list(inspect_slices(titan10, titan10.slices("binance", [before]))) == []


def test_tables_that_contradict_each_other_are_found(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    assert not world.backfill("binance", DAY).failed
    assert unaccounted_slices(world.titan10, "binance", [DAY]) == []
    with world.titan10.database.transaction() as cursor:
        cursor.execute("DELETE FROM candles WHERE time = '2024-02-01 05:00+00'")
    (found,) = unaccounted_slices(world.titan10, "binance", [DAY])
    assert (found.present, found.stored) == (1440, 1439)


def test_longer_candles_have_no_price_distances(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}, settings={"binance": {"timeframe": "1h"}}).titan10
    assert price_distances(titan10, "binance", [DAY, NEXT]) == {DAY: [], NEXT: []}


def test_symbols_of_too_few_exchanges_are_not_compared_day_by_day(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"], "bybit": ["BTC/USDT"], "okx": ["BTC/USDT"]})
    for exchange in ("binance", "bybit"):
        assert not world.backfill(exchange, DAY).failed
    assert comparable_symbols(world.titan10.database, ["BTC/USDT"]) == []
    assert price_distances(world.titan10, "binance", [DAY]) == {DAY: []}
    assert not world.backfill("okx", DAY).failed
    (distance,) = price_distances(world.titan10, "binance", [DAY])[DAY]
    assert distance.symbol == "BTC/USDT"
