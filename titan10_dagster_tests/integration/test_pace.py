"""A later process continues with the pace that an exchange has required."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta

import pytest

from titan10_dagster.candles.slices import days
from titan10_dagster.ingest.clients import breaker_of, health_of, open_client
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.ingest.live import poll_exchanges
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.planning.pace import FULL_AFTER
from titan10_dagster_tests.integration.driving import go_to
from titan10_dagster_tests.world import NOW, MakeWorld, World, ticking

DAY = date(2024, 3, 1)


def share_of_the_next_client(world: World, after: timedelta = timedelta()) -> float:
    """Return the share of the full pace with which a process starts after the time `after`."""
    later = replace(world.titan10, now=ticking(NOW + after))

    async def opened() -> float:
        async with open_client(later, "binance", []) as client:
            return client.pacer.share

    return asyncio.run(opened())


def test_a_run_begins_as_slowly_as_the_last_one_had_to_go(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    refresh_markets(world.titan10, "binance")
    for day in days(DAY, DAY + timedelta(days=1)):
        world.sandbox.fault("binance", "http_429", retry_after=0, count=1)
        fetched = fetch_and_land(world.titan10, "binance", world.titan10.slices("binance", [day]))
        assert not fetched.failed
    assert share_of_the_next_client(world) == pytest.approx(0.25, abs=0.02)
    assert share_of_the_next_client(world, FULL_AFTER / 4) == pytest.approx(0.5, abs=0.02)
    assert share_of_the_next_client(world, FULL_AFTER) == 1.0
    health = health_of(world.titan10, "binance")
    assert "429" in str(health.last_error)
    assert health.last_error_at is not None


def test_live_polling_and_runs_go_at_the_same_pace(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    refresh_markets(world.titan10, "binance")
    world.sandbox.fault("binance", "http_429", retry_after=0, count=1)
    (report,) = poll_exchanges(world.titan10, ["binance"])
    assert report.failed
    assert share_of_the_next_client(world) == pytest.approx(0.5, abs=0.02)
    assert asyncio.run(breaker_of(world.titan10, "binance").admit()) is False


def test_a_rest_that_one_process_was_given_is_kept_by_the_others(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    refresh_markets(world.titan10, "binance")
    world.sandbox.fault("binance", "http_429", retry_after=300, count=1)
    poll_exchanges(world.titan10, ["binance"])
    world.sandbox.clear_requests("binance")
    (report,) = poll_exchanges(world.titan10, ["binance"])
    assert report.postponed == ("BTC/USDT",)
    assert not world.sandbox.requests("binance")
    go_to(world, NOW + timedelta(seconds=301))
    (report,) = poll_exchanges(world.titan10, ["binance"])
    assert report.inserted > 0


def test_what_no_exchange_refused_leaves_no_trace(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    fetch_and_land(world.titan10, "binance", world.titan10.slices("binance", [DAY]))
    assert share_of_the_next_client(world) == 1.0
    assert health_of(world.titan10, "binance").last_error is None
