"""The definitions for a list of exchanges: the definitions of each exchange, and that all of them load."""

from __future__ import annotations

import dagster as dg
import pytest

from titan10_dagster.defs.compose import compose
from titan10_dagster_tests.world import MakeWorld


def test_each_enabled_exchange_has_its_assets_and_checks(make_world: MakeWorld) -> None:
    world = make_world(
        {"binance": ["BTC/USDT"], "okx": ["BTC/USDT"], "kraken": ["BTC/USD"]}, settings={"kraken": {"enabled": False}}
    )
    graph = compose(world.titan10).resolve_asset_graph()
    for exchange in ("binance", "okx"):
        keys = {key.path[1] for key in graph.get_all_asset_keys() if key.path[0] == exchange}
        assert keys >= {"markets", "candles", "ohlcv"}
        checks = {key.name for key in graph.asset_check_keys if key.asset_key.path[0] == exchange}
        assert checks >= {"valid", "on_grid", "complete", "accounted_for", "explained", "near_others"}
    assert not [key for key in graph.get_all_asset_keys() if key.path[0] == "kraken"]


def test_every_schedule_and_sensor_has_a_job_that_selects_existing_assets(make_world: MakeWorld) -> None:
    definitions = compose(make_world({"binance": ["BTC/USDT"]}).titan10)
    dg.Definitions.validate_loadable(definitions)
    schedules = {schedule.name for schedule in definitions.schedules or ()}
    sensors = {sensor.name for sensor in definitions.sensors or ()}
    assert {"keep_house", "keep_storage", "catch_up_rollups"} <= schedules
    assert sensors == {"repair_gaps", "autopilot", "send_alerts"}


@pytest.mark.parametrize("enabled", [[], ["binance"]])
def test_without_an_enabled_exchange_there_is_nothing_to_run(make_world: MakeWorld, enabled: list[str]) -> None:
    world = make_world({"binance": ["BTC/USDT"]}, settings={"binance": {"enabled": bool(enabled)}})
    definitions = compose(world.titan10)
    assert bool(definitions.assets) is bool(enabled)
    assert bool(definitions.schedules) is bool(enabled)
    assert bool(definitions.sensors) is bool(enabled)
