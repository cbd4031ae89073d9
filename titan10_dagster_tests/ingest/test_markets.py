"""The market list is requested only when it is needed, and the configured symbols are found in the list."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from titan10_dagster.candles.confirmation import APART
from titan10_dagster.ingest.markets import listed_by_exchange, refresh_markets, resolve_slices, stored_or_read
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster.store.markets import MarketStore
from titan10_dagster_tests.integration.driving import go_to
from titan10_dagster_tests.world import NOW, MakeWorld

DAY = date(2024, 2, 1)


def test_the_list_is_requested_once_and_then_read_from_the_database(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    for _ in range(2):
        assert "BTC/USDT" in {market.symbol for market in stored_or_read(world.titan10, "binance")}
    assert len(world.sandbox.requests("binance")) == 1


def test_a_symbol_that_the_list_lacks_is_searched_for_in_a_new_list(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "BTC/USTD"]})
    refresh_markets(world.titan10, "binance")
    world.sandbox.clear_requests("binance")
    resolution = resolve_slices(world.titan10, "binance", world.titan10.slices("binance", [DAY]))
    assert [market.symbol for market in resolution.markets] == ["BTC/USDT"]
    assert "did you mean BTC/USDT" in str(resolution.unknown["BTC/USTD"])
    assert len(world.sandbox.requests("binance")) == 1


@pytest.mark.parametrize("exchange", ["binance", "bitget", "gate", "gemini", "kucoin", "phemex"])
def test_unreadable_records_cost_no_market_and_are_named(exchange: str, make_world: MakeWorld) -> None:
    world = make_world({exchange: VENUES[exchange].symbols[:1]})
    whole = refresh_markets(world.titan10, exchange)
    world.sandbox.fault(exchange, "bad_markets")
    listed = refresh_markets(world.titan10, exchange)
    assert listed.markets == whole.markets
    assert whole.skipped == ()
    assert all("cannot be read" in sentence or "is not a market" in sentence for sentence in listed.skipped)


def test_days_out_of_reach_cost_no_request(make_world: MakeWorld) -> None:
    world = make_world({"kraken": ["BTC/USD"]})
    resolution = resolve_slices(world.titan10, "kraken", world.titan10.slices("kraken", [DAY]))
    assert (resolution.markets, resolution.unknown) == ((), {})
    assert world.sandbox.requests("kraken") == []


def test_all_symbols_count_as_listed_until_a_list_is_stored(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "BTC/USTD"]})
    assert listed_by_exchange(world.titan10, ["binance"]) == {"binance": ["BTC/USDT", "BTC/USTD"]}
    refresh_markets(world.titan10, "binance")
    assert listed_by_exchange(world.titan10, ["binance"]) == {"binance": ["BTC/USDT"]}


def test_a_change_that_waits_for_a_second_list_is_confirmed_by_a_run_an_hour_later(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    store, slices = MarketStore(world.titan10.database), world.titan10.slices("binance", [DAY])
    refresh_markets(world.titan10, "binance")
    template = store.load("binance")[0]
    gone = [replace(template, symbol=f"C{number}/USDT", market_id=f"C{number}USDT") for number in range(50)]
    store.replace("binance", [*store.load("binance"), *gone], world.titan10.now())
    refresh_markets(world.titan10, "binance")
    assert "50 of the active markets are missing, inactive or different" in caplog.text
    world.sandbox.clear_requests("binance")
    resolve_slices(world.titan10, "binance", slices)
    assert world.sandbox.requests("binance") == []
    go_to(world, NOW + APART + timedelta(minutes=1))
    for _ in range(2):
        resolve_slices(world.titan10, "binance", slices)
    assert len(world.sandbox.requests("binance")) == 1
    assert {market.symbol for market in store.load("binance") if not market.active} >= {m.symbol for m in gone}


def test_a_typo_beside_a_short_list_leaves_the_other_symbols_known(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "BTC/USTD"]})
    store = MarketStore(world.titan10.database)
    refresh_markets(world.titan10, "binance")
    template = store.load("binance")[0]
    gone = [replace(template, symbol=f"C{number}/USDT", market_id=f"C{number}USDT") for number in range(50)]
    store.replace("binance", [*store.load("binance"), *gone], world.titan10.now())
    # The sandbox's list does not have these fifty markets, so too many markets are missing in it.
    listed, typo = world.titan10.slices("binance", [DAY])
    listed = replace(listed, series=replace(listed.series, symbol="C0/USDT"))
    resolution = resolve_slices(world.titan10, "binance", [listed, typo])
    assert [(market.symbol, market.active) for market in resolution.markets] == [("C0/USDT", True)]
    assert list(resolution.unknown) == ["BTC/USTD"]
