"""The rollups in Dagster, downstream of every exchange."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import pytest

from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.rollups import KEY
from titan10_dagster.store.database import Database
from titan10_dagster_tests.store.making import Sql
from titan10_dagster_tests.world import MakeWorld, World

DAY = date(2024, 2, 1)


def test_the_rollups_lie_downstream_of_every_exchange(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"], "okx": ["BTC/USDT"]})
    graph = compose(world.titan10).resolve_asset_graph()
    assert graph.get(KEY).parent_keys == {dg.AssetKey(["binance", "ohlcv"]), dg.AssetKey(["okx", "ohlcv"])}


@pytest.mark.parametrize("timeframe", ["5m", "1h", "1d"])
def test_a_rollup_answers_after_a_backfill(make_world: MakeWorld, timeframe: str) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    assert not world.backfill("binance", DAY).failed
    job = compose(world.titan10).resolve_job_def("rollups")
    assert job.execute_in_process(instance=world.instance).success
    truth = world.sandbox.truth("binance", "BTC/USDT", 1706745600000, 1706832000000, timeframe)
    with world.titan10.database.transaction() as cursor:
        cursor.execute(f"SELECT open, high, low, close FROM ohlcv_{timeframe} ORDER BY time")
        assert cursor.fetchall() == [tuple(row) for row in truth[:, 1:5].tolist()]


@pytest.fixture
def kept(make_world: MakeWorld, timescaledb_database_url: str) -> Iterator[World]:
    """A world with TimescaleDB, which stores the rollups."""
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"], "okx": ["BTC/USDT"]})
    database = Database(timescaledb_database_url)
    world.titan10 = replace(world.titan10, database=database)
    yield world
    database.close()


def hours(world: World, exchange: str, symbol: str) -> Sequence[tuple[float, ...]]:
    query = "SELECT open, high, low, close FROM ohlcv_1h WHERE exchange = %s AND symbol = %s ORDER BY time"
    return Sql(world.titan10.database)(query, [exchange, symbol])


def truth(world: World, exchange: str, symbol: str, first: date, last: date) -> Sequence[tuple[float, ...]]:
    day = timedelta(days=1)
    start, end = (int((day_ - date(1970, 1, 1)) / day * 86_400_000) for day_ in (first, last + day))
    return [tuple(row) for row in world.sandbox.truth(exchange, symbol, start, end, "1h")[:, 1:5].tolist()]


def test_backfills_of_several_exchanges_refresh_the_rollups_themselves(kept: World) -> None:
    last = DAY + timedelta(days=2)
    for exchange in ("binance", "okx"):
        assert not kept.backfill(exchange, DAY, last).failed
    for exchange, symbol in (("binance", "BTC/USDT"), ("binance", "ETH/USDT"), ("okx", "BTC/USDT")):
        assert hours(kept, exchange, symbol) == truth(kept, exchange, symbol, DAY, last)


def test_days_that_come_out_of_order_or_again_are_rolled_up_too(kept: World) -> None:
    kept.sandbox.fault("binance", "lost_rows", symbol="BTC/USDT", rows=90, count=1)
    for day in (DAY + timedelta(days=3), DAY):
        assert not kept.backfill("binance", day, symbols=["BTC/USDT"]).failed
    for day in (DAY, DAY + timedelta(days=3)):
        assert not kept.backfill("binance", day, symbols=["BTC/USDT"], refresh=True).failed
    days = [truth(kept, "binance", "BTC/USDT", day, day) for day in (DAY, DAY + timedelta(days=3))]
    assert hours(kept, "binance", "BTC/USDT") == [*days[0], *days[1]]


def test_rollups_that_cannot_be_refreshed_fail_no_backfill(kept: World, caplog: pytest.LogCaptureFixture) -> None:
    Sql(kept.titan10.database)("DROP VIEW ohlcv_1w; DROP MATERIALIZED VIEW rollup_1w")
    assert not kept.backfill("binance", DAY).failed
    assert kept.equals_truth("binance", DAY, DAY)
    assert "the rollups were not refreshed" in caplog.text
