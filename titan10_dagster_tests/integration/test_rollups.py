"""The rollups in Dagster, downstream of every exchange."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.rollups import KEY
from titan10_dagster_tests.integration.conftest import MakeWorld

DAY = date(2024, 2, 1)


def test_the_rollups_lie_downstream_of_every_exchange(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"], "okx": ["BTC/USDT"]})
    graph = compose(world.pipeline).resolve_asset_graph()
    assert graph.get(KEY).parent_keys == {dg.AssetKey(["binance", "ohlcv"]), dg.AssetKey(["okx", "ohlcv"])}


@pytest.mark.parametrize("timeframe", ["5m", "1h", "1d"])
def test_a_rollup_answers_after_a_backfill(make_world: MakeWorld, timeframe: str) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    assert not world.backfill("binance", DAY).failed
    job = compose(world.pipeline).resolve_job_def("rollups")
    assert job.execute_in_process(instance=world.instance).success
    truth = world.sandbox.truth("binance", "BTC/USDT", 1706745600000, 1706832000000, timeframe)
    with world.pipeline.database.transaction() as cursor:
        cursor.execute(f"SELECT open, high, low, close FROM ohlcv_{timeframe} ORDER BY time")
        assert cursor.fetchall() == [tuple(row) for row in truth[:, 1:5].tolist()]
