"""The rehearsal counts the requests that the real fetch makes, on every exchange of the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from titan10_dagster.candles.slices import Slice
from titan10_dagster.exchanges.client import UNPACED_CONCURRENCY
from titan10_dagster.exchanges.rehearsal import count_requests
from titan10_dagster.exchanges.venues.registry import all_venues, venue_of
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.exchanges.harness import fetch, market, slices

NOW = datetime(2024, 6, 20, 14, 30, 20, tzinfo=UTC)
DAYS = 3


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(clock=NOW, enforce_limits=False) as served:
        yield served


def dense_days(sandbox: Sandbox, exchange: str, symbols: list[str]) -> list[Slice]:
    """Return the newest days on which both symbols have every candle; today if the exchange serves no complete day."""
    depth = venue_of(exchange).depth
    last = NOW.date() if depth is not None and depth < 5_000 else NOW.date() - timedelta(days=1)
    for _ in range(60):
        wanted = slices(exchange, symbols, DAYS, last)
        past = [slice_ for slice_ in wanted if slice_.end <= NOW]
        if all(len(truth_of(sandbox, slice_)) == slice_.expected for slice_ in past):
            return wanted
        last -= timedelta(days=1)
    pytest.skip(f"the sandbox's {exchange} has no {DAYS} days with all candles")


def truth_of(sandbox: Sandbox, slice_: Slice) -> object:
    return sandbox.truth(slice_.series.exchange, slice_.series.symbol, slice_.start, slice_.end)


@pytest.mark.parametrize("exchange", sorted(set(VENUES) & set(all_venues())))
def test_as_many_requests_as_the_real_fetch(sandbox: Sandbox, exchange: str) -> None:
    symbols = list(VENUES[exchange].symbols[:2])
    wanted = dense_days(sandbox, exchange, symbols)
    expected = count_requests(venue_of(exchange), wanted, now=NOW, in_flight=UNPACED_CONCURRENCY, listed={})
    markets = [market(exchange, symbol) for symbol in symbols]
    report = fetch(sandbox, wanted, markets=markets, clock=lambda: NOW).report
    assert report is not None
    assert report.requests == expected


def test_days_before_the_listing_cost_nothing() -> None:
    wanted = slices("binance", ["BTC/USDT"], 10, date(2024, 6, 10))
    listed = {"BTC/USDT": datetime(2024, 6, 9, tzinfo=UTC)}
    assert count_requests(venue_of("binance"), wanted, now=NOW, in_flight=8, listed={}) == 15
    assert count_requests(venue_of("binance"), wanted, now=NOW, in_flight=8, listed=listed) == 3


def test_days_that_are_no_longer_served_cost_nothing() -> None:
    wanted = slices("kraken", ["BTC/USD"], 5, date(2024, 6, 10))
    assert count_requests(venue_of("kraken"), wanted, now=NOW, in_flight=2, listed={}) == 0


def test_many_series_at_once_need_fewer_overlaps() -> None:
    """If a page is requested after the answer to the previous page, it needs no overlap of ten candles."""
    venue = venue_of("coinbase")
    assert venue.overlap == 10
    wanted = slices("coinbase", [f"{name}/USD" for name in "ABCDEFGH"], 10, date(2024, 6, 10))
    at_once = count_requests(venue, wanted, now=NOW, in_flight=32, listed={})
    by_turns = count_requests(venue, wanted, now=NOW, in_flight=2, listed={})
    assert by_turns < at_once
