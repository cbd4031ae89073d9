from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import dagster as dg

from titan10_dagster.defs.archives import AGREES, CHECK_AT, UNCHANGED, archive_asset, archives_schedule
from titan10_dagster.defs.compose import compose
from titan10_dagster_tests.world import NOW, MakeWorld, World, make_world, ticking  # noqa: F401

FIRST, LAST = date(2024, 3, 4), date(2024, 3, 5)
MONTH = timedelta(days=31)


def checks_of(world: World, after: timedelta) -> dict[str, dg.AssetCheckEvaluation]:
    later = replace(world.titan10, now=ticking(NOW + after))
    result = dg.materialize([archive_asset("binance")], resources={"titan10": later}, instance=world.instance)
    assert result.success
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def test_a_replaced_file_and_values_that_differ_from_rest_are_warnings(make_world: MakeWorld) -> None:  # noqa: F811
    world = make_world({"binance": ["BTC/USDT"]}, settings={"binance": {"sources": ("archive", "rest")}})
    world.backfill("binance", FIRST, LAST)
    before = checks_of(world, timedelta(0))
    assert before[UNCHANGED].passed
    assert before[AGREES].passed
    assert "0 of 2,880 candles differ" in (before[AGREES].description or "")

    world.sandbox.files["binance"].defect("replaced", match="2024-03-05")
    after = checks_of(world, MONTH)
    assert not after[UNCHANGED].passed
    assert after[UNCHANGED].severity is dg.AssetCheckSeverity.WARN
    assert "BTCUSDT-1m-2024-03-05.zip" in (after[UNCHANGED].description or "")
    assert not after[AGREES].passed
    assert after[AGREES].metadata["differing_candles"].value == 1440


def test_an_archive_that_is_the_only_source_is_not_compared_with_rest(make_world: MakeWorld) -> None:  # noqa: F811
    world = make_world({"binance": ["BTC/USDT"]}, settings={"binance": {"sources": ("archive",)}})
    world.backfill("binance", FIRST, LAST)
    assert "does not contain REST" in (checks_of(world, timedelta(0))[AGREES].description or "")
    assert world.candle_requests("binance") == []


def test_exchanges_with_an_archive_are_checked_once_a_month(make_world: MakeWorld) -> None:  # noqa: F811
    assert archives_schedule(("binance",)).cron_schedule == CHECK_AT
    assert CHECK_AT.split()[2:] == ["3", "*", "*"]
    world = make_world(
        {"binance": ["BTC/USDT"], "okx": ["BTC/USDT"]}, settings={"okx": {"sources": ("archive", "rest")}}
    )
    keys = {key.to_user_string() for key in compose(world.titan10).resolve_asset_graph().get_all_asset_keys()}
    assert "okx/archive" in keys
    assert "binance/archive" not in keys
