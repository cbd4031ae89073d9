"""The forecast numbers of requests and files are exact for five kinds of backfill."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.slices import Slice, days
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.forecast import forecast_fetch
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.ingest.store import store_slices
from titan10_dagster_tests.world import MakeWorld, World

NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)
ARCHIVE_FIRST = ("archive", "rest")


def a_world(make_world: MakeWorld, exchange: str, symbols: list[str], **settings: Any) -> World:
    world = make_world({exchange: symbols}, clock=NOW, settings={exchange: {"start": date(2025, 1, 1), **settings}})
    object.__setattr__(world.titan10, "now", lambda: NOW)
    refresh_markets(world.titan10, exchange)
    world.sandbox.clear_requests(exchange)
    return world


def open_slices(world: World, exchange: str, first: date, last: date) -> list[Slice]:
    slices = world.titan10.slices(exchange, days(first, last))
    return list(plan_days(world.titan10, read_days(world.titan10, slices)).fetch)


def assert_exact(world: World, exchange: str, slices: list[Slice]) -> Mapping[Source, Any]:
    """Forecast a fetch, fetch, and compare the result. Return the forecast costs."""
    forecast = forecast_fetch(world.titan10, exchange, [slices])
    assert not world.sandbox.requests(exchange)
    done = fetch_and_land(world.titan10, exchange, slices)
    assert not done.failed
    counted = {s: (cost.requests, cost.files, cost.cached) for s, cost in done.spent.items()}
    assert {s: (cost.requests, cost.files, cost.cached) for s, cost in forecast.by_source.items()} == counted
    assert forecast.slices == len(slices)
    assert forecast.candles == sum(slice_.expected for slice_ in done.landed)
    return forecast.by_source


def test_rest_of_a_dense_series(make_world: MakeWorld) -> None:
    world = a_world(make_world, "binance", ["BTC/USDT", "ETH/USDT"])
    costs = assert_exact(world, "binance", open_slices(world, "binance", date(2025, 3, 20), date(2025, 3, 31)))
    assert costs[Source.REST].requests == len(world.candle_requests("binance")) == 2 * 18
    assert set(costs) == {Source.REST}


def test_rest_with_short_pages_that_overlap(make_world: MakeWorld) -> None:
    world = a_world(make_world, "coinbase", ["BTC/USD", "ETH/USD"])
    assert_exact(world, "coinbase", open_slices(world, "coinbase", date(2025, 3, 20), date(2025, 3, 24)))


def test_months_of_an_archive(make_world: MakeWorld) -> None:
    world = a_world(make_world, "binance", ["BTC/USDT", "ETH/USDT"], sources=ARCHIVE_FIRST)
    costs = assert_exact(world, "binance", open_slices(world, "binance", date(2025, 3, 15), date(2025, 3, 31)))
    assert (costs[Source.ARCHIVE].files, costs[Source.ARCHIVE].requests) == (2, 4)


def test_archive_and_rest_together(make_world: MakeWorld) -> None:
    world = a_world(make_world, "binance", ["BTC/USDT", "ETH/USDT"], sources=ARCHIVE_FIRST)
    costs = assert_exact(world, "binance", open_slices(world, "binance", date(2025, 3, 15), date(2025, 4, 19)))
    assert costs[Source.ARCHIVE].files == 2 * (1 + 18)  # the month of March, and each day of April until the 18th
    assert costs[Source.REST].requests == 2 * 2  # the pages of 19 April


def test_a_backfill_that_was_resumed(make_world: MakeWorld) -> None:
    world = a_world(make_world, "binance", ["BTC/USDT", "ETH/USDT"], sources=ARCHIVE_FIRST)
    first, last = date(2025, 3, 15), date(2025, 4, 19)
    half = open_slices(world, "binance", first, last)[:50]
    fetch_and_land(world.titan10, "binance", half)
    store_slices(world.titan10, half)
    world.sandbox.clear_requests("binance")
    left = open_slices(world, "binance", first, last)
    assert len(left) == 2 * 36 - 50
    assert_exact(world, "binance", left)


def test_files_in_the_cache_cost_no_request(make_world: MakeWorld) -> None:
    world = a_world(make_world, "binance", ["BTC/USDT"], sources=ARCHIVE_FIRST)
    slices = open_slices(world, "binance", date(2025, 3, 15), date(2025, 3, 31))
    fetch_and_land(world.titan10, "binance", slices)
    world.sandbox.clear_requests("binance")
    costs = assert_exact(world, "binance", slices)
    assert (costs[Source.ARCHIVE].requests, costs[Source.ARCHIVE].cached) == (0, 1)


def test_two_runs_that_share_a_file_download_it_once(make_world: MakeWorld) -> None:
    world = a_world(make_world, "binance", ["BTC/USDT"], sources=ARCHIVE_FIRST)
    slices = open_slices(world, "binance", date(2025, 3, 15), date(2025, 3, 31))
    forecast = forecast_fetch(world.titan10, "binance", [slices[:9], slices[9:]])
    assert (forecast.cost.requests, forecast.cost.files, forecast.cost.cached) == (2, 2, 1)
    for part in (slices[:9], slices[9:]):
        fetch_and_land(world.titan10, "binance", part)
    assert len(world.sandbox.files["binance"].served) == 2


def test_no_market_list_is_needed(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]}, clock=NOW)
    object.__setattr__(world.titan10, "now", lambda: NOW)
    slices = world.titan10.slices("binance", days(date(2025, 3, 20), date(2025, 3, 21)))
    assert forecast_fetch(world.titan10, "binance", [slices]).cost.requests == 3
    assert not world.sandbox.requests("binance")
