"""If the market or the unit of a series changes, a check fails, an alert is sent, and the status shows the event."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import midnight
from titan10_dagster.defs.compose import compose
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.markets import market_events, refresh_markets
from titan10_dagster.operate.alerts import conditions
from titan10_dagster.operate.status import health_report
from titan10_dagster.planning.alerts import Kind
from titan10_dagster.store.identities import breaks_of
from titan10_dagster_tests.world import MakeWorld, World

DAY = date(2024, 3, 5)
NEXT = DAY + timedelta(days=1)
SYMBOL = "BTC/USDT"


def check(world: World, name: str, asset: str = "ohlcv") -> tuple[bool, str]:
    """Return the last result of a check of binance."""
    key = dg.AssetCheckKey(dg.AssetKey(["binance", asset]), name)
    record = world.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None
    evaluation = record.event.asset_check_evaluation
    assert evaluation is not None
    return evaluation.passed, evaluation.description or ""


def alerts(world: World) -> list[str]:
    return [found.message for found in conditions(world.titan10, world.titan10.now()) if found.kind is Kind.SERIES]


def changed_market(make_world: MakeWorld) -> World:
    """A world with a stored day of BTCUSDT. Then the exchange uses the symbol for BTCV2USDT, at 9.9 times the price."""
    world = make_world({"binance": [SYMBOL]})
    world.backfill("binance", DAY)
    world.sandbox.fault("binance", "new_id", symbol=SYMBOL, market_id="BTCV2USDT", prices=9.9, time=midnight(NEXT))
    refresh_markets(world.titan10, "binance")
    return world


def test_another_market_under_the_symbol_breaks_the_series_and_says_so(make_world: MakeWorld) -> None:
    world = changed_market(make_world)
    assert "its market was BTCUSDT and is BTCV2USDT" in market_events(world.titan10, "binance")[0]
    world.backfill("binance", NEXT)
    (series,) = {slice_.series for slice_ in world.titan10.slices("binance", [DAY])}
    assert breaks_of(world.titan10.database, series, midnight(DAY), midnight(NEXT) + timedelta(days=1)) == [
        midnight(NEXT)
    ]
    passed, sentence = check(world, "same_series")
    assert not passed
    assert "BTCV2USDT" in sentence
    assert "BTCV2USDT" in alerts(world)[0]
    (report,) = health_report(world.titan10, world.titan10.now())
    assert "BTCV2USDT" in report.events[0]


def test_days_of_the_former_market_are_not_fetched_from_the_present_one(make_world: MakeWorld) -> None:
    world = changed_market(make_world)
    world.sandbox.clear_requests("binance")
    before = DAY - timedelta(days=1)
    world.backfill("binance", before)
    assert world.candle_requests("binance") == []
    (row,) = ledger_rows(world.titan10, world.titan10.slices("binance", [before])).values()
    assert (row.state, row.present, row.missing[Reason.BEYOND_HORIZON]) == ("settled", 0, 1440)
    assert "belong to the market BTCUSDT. They are not fetched" in str(row.note)
    assert "this symbol is now the market BTCV2USDT" in str(row.note)


def test_the_markets_asset_has_a_check_of_its_own(make_world: MakeWorld) -> None:
    world = changed_market(make_world)
    job = compose(world.titan10).resolve_implicit_global_asset_job_def()
    markets = dg.AssetKey(["binance", "markets"])
    assert job.execute_in_process(instance=world.instance, asset_selection=[markets]).success
    passed, sentence = check(world, "same_markets", "markets")
    assert not passed
    assert "BTCV2USDT" in sentence


def test_a_redenomination_is_a_break(make_world: MakeWorld) -> None:
    world = make_world({"binance": [SYMBOL]})
    world.sandbox.fault("binance", "redenominate", symbol=SYMBOL, factor=1000.0, time=midnight(NEXT))
    world.backfill("binance", DAY, NEXT)
    (series,) = {slice_.series for slice_ in world.titan10.slices("binance", [DAY])}
    assert breaks_of(world.titan10.database, series, midnight(DAY), midnight(NEXT) + timedelta(days=1)) == [
        midnight(NEXT)
    ]
    passed, sentence = check(world, "same_series")
    assert not passed
    assert "redenomination" in sentence
    assert "redenomination" in alerts(world)[0]


def test_a_rewrite_of_a_whole_day_is_an_event_with_both_values(make_world: MakeWorld) -> None:
    world = make_world({"binance": [SYMBOL]})
    world.backfill("binance", DAY)
    assert check(world, "same_series") == (True, "No series changed.")
    world.sandbox.fault(
        "binance", "revise", symbol=SYMBOL, prices=1.0, volumes=0.001, time=midnight(DAY), until=midnight(NEXT)
    )
    world.backfill("binance", DAY, refresh=True)
    passed, sentence = check(world, "same_series")
    assert not passed
    assert "binance rewrote 1,440 of 1,440 candles" in sentence
    assert "the typical volume was" in sentence
    assert "rewrote" in alerts(world)[0]
