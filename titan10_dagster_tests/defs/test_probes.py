from __future__ import annotations

from datetime import date

import dagster as dg

from titan10_dagster.defs.probes import CHECK, PROBE_AT, probe_asset, probes_schedule
from titan10_dagster_tests.world import MakeWorld, World

SYMBOLS = {"binance": ("BTC/USDT", "ALGO/USDT")}


def probed(world: World) -> dg.ExecuteInProcessResult:
    return dg.materialize([probe_asset("binance")], resources={"titan10": world.titan10}, instance=world.instance)


def check_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def test_a_difference_is_a_failed_check_with_the_measured_value(make_world: MakeWorld) -> None:
    world = make_world(SYMBOLS)
    world.backfill("binance", date(2024, 3, 4), date(2024, 3, 5))
    first = check_of(probed(world))
    assert (first.check_name, first.passed, first.description) == (CHECK, True, "Nothing differs.")
    world.sandbox.fault("binance", "page_third")
    second = check_of(probed(world))
    assert not second.passed
    assert second.severity is dg.AssetCheckSeverity.WARN
    assert second.metadata["page_size"].value == "333"
    assert "page_size: 333, not 1000." in (second.description or "")


def test_every_exchange_is_probed_once_a_week() -> None:
    schedule = probes_schedule(("binance", "okx"))
    assert schedule.cron_schedule == PROBE_AT
    assert PROBE_AT.split()[-1] == "1"
