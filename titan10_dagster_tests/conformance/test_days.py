"""Each exchange through dense and sparse days, yesterday and today, a listing, a closed market and its horizon."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.errors import FetchError, TransientError, UnknownSymbol
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster.sandbox.venues.wire import Edges
from titan10_dagster_tests.conformance.judging import (
    EXCHANGES,
    LAST_ROWS_ONLY,
    NOW,
    WITH_HISTORY,
    account,
    known_markets,
    played,
)
from titan10_dagster_tests.exchanges.harness import Fetched, fetch, slices

# `make campaign` sets a larger number.
DAYS = int(os.environ.get("TITAN10_TEST_CONFORMANCE_DAYS", "2"))
TODAY, YESTERDAY = NOW.date(), NOW.date() - timedelta(days=1)
# Requests in addition to the minimum: one for each page boundary with missing minutes, and one small request to an
# exchange that may ignore the start.
SPARE = 2


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox(clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Iterator[Sandbox]:
    yield served
    served.clear_faults()


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_dense_days(exchange: str, sandbox: Sandbox, record_property: pytest.RecordProperty) -> None:
    wanted = slices(exchange, VENUES[exchange].symbols[:2], DAYS, YESTERDAY)
    _, result = played(sandbox, wanted)
    result.assert_right()
    record_property("requests", f"{result.requests} of at least {result.minimum}")
    assert result.requests <= 1.35 * result.minimum + 2 * SPARE


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_sparse_days(exchange: str, sandbox: Sandbox) -> None:
    wanted = slices(exchange, VENUES[exchange].symbols[15:16], DAYS, YESTERDAY)
    _, result = played(sandbox, wanted)
    result.assert_right()


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_yesterday_and_today(exchange: str, sandbox: Sandbox) -> None:
    wanted = slices(exchange, VENUES[exchange].symbols[:2], 2, TODAY)
    _, result = played(sandbox, wanted)
    result.assert_right()
    assert result.stored > 100


@pytest.mark.parametrize("exchange", WITH_HISTORY)
def test_days_of_years_ago(exchange: str, sandbox: Sandbox) -> None:
    wanted = slices(exchange, VENUES[exchange].symbols[:1], DAYS, date(2023, 6, 2))
    _, result = played(sandbox, wanted)
    result.assert_right()
    assert result.stored > 1_400 * DAYS


@pytest.mark.parametrize("exchange", WITH_HISTORY)
def test_a_listing_in_the_middle_of_a_day(exchange: str) -> None:
    symbol = VENUES[exchange].symbols[1]
    listed = NOW.replace(hour=6, minute=37, second=0) - timedelta(days=3)
    with Sandbox([exchange], clock=NOW, enforce_limits=False, trading={(exchange, symbol): (listed, None)}) as sandbox:
        _, result = played(sandbox, slices(exchange, [symbol], 3, listed.date() + timedelta(days=1)))
    result.assert_right()


@pytest.mark.parametrize("exchange", LAST_ROWS_ONLY)
def test_a_listing_within_the_last_rows(exchange: str) -> None:
    symbol = VENUES[exchange].symbols[1]
    listed = NOW.replace(second=0) - timedelta(minutes=100)
    with Sandbox([exchange], clock=NOW, enforce_limits=False, trading={(exchange, symbol): (listed, None)}) as sandbox:
        _, result = played(sandbox, slices(exchange, [symbol], 1, TODAY))
    assert not result.lost
    assert not result.invented
    assert result.requests <= 1.35 * result.minimum + 4
    # Candles that are no longer served, candles from before the listing, and minutes without a trade look the same. If
    # the exchange returns fewer rows than usual, candles that it possibly serves stay unknown.
    reasons = {reason for _, _, reason, _ in result.misexplained}
    assert reasons <= {Reason.BEYOND_HORIZON, Reason.PRE_LISTING, Reason.NO_TRADES, Reason.UNKNOWN}


@pytest.mark.parametrize("exchange", WITH_HISTORY)
def test_a_closed_market_whose_candles_are_still_served(exchange: str) -> None:
    symbol = VENUES[exchange].symbols[1]
    closed = NOW.replace(hour=9, minute=12, second=0) - timedelta(days=5)
    with Sandbox([exchange], clock=NOW, enforce_limits=False, trading={(exchange, symbol): (None, closed)}) as sandbox:
        wanted = slices(exchange, [symbol], 3, closed.date() + timedelta(days=1))
        _, result = played(sandbox, wanted, known_markets(exchange, [symbol], active=False))
    result.assert_right()


@pytest.mark.parametrize("policy", ["closed_market", "unknown_symbol"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_closed_market_that_is_refused_is_an_unknown_symbol(exchange: str, policy: str) -> None:
    symbol, other = VENUES[exchange].symbols[1], VENUES[exchange].symbols[0]
    closed = NOW - timedelta(days=5)
    options = {"trading": {(exchange, symbol): (None, closed)}, "closed_markets": {exchange: policy}}
    with Sandbox([exchange], clock=NOW, enforce_limits=False, **options) as sandbox:
        wanted = slices(exchange, [symbol, other], 1, TODAY)
        fetched = fetch(sandbox, wanted, markets=known_markets(exchange, [symbol, other]), clock=lambda: NOW)
        result = account(sandbox, fetched, [slice_ for slice_ in wanted if slice_.series.symbol == other], 0)
    assert fetched.report is not None
    # Hyperliquid answers HTTP 500 with `null`, like any failure of the server.
    class_ = TransientError if exchange == "hyperliquid" else UnknownSymbol
    assert {name: type(error) for name, error in fetched.report.failed.items()} == {symbol: class_}
    result.assert_right()


@pytest.mark.parametrize("exchange", LAST_ROWS_ONLY)
def test_days_beyond_the_horizon_cost_no_request(exchange: str, sandbox: Sandbox) -> None:
    oldest = NOW - timedelta(minutes=venue_of(exchange).depth or 0)
    wanted = slices(exchange, VENUES[exchange].symbols[:1], 2, oldest.date() - timedelta(days=1))
    fetched, result = played(sandbox, wanted)
    result.assert_right()
    assert (result.requests, result.stored) == (0, 0)
    assert [fetched.reasons(slice_) for slice_ in wanted] == [{Reason.BEYOND_HORIZON: 1_440}] * 2


@pytest.mark.parametrize("exchange", LAST_ROWS_ONLY)
def test_the_day_of_the_horizon(exchange: str, sandbox: Sandbox) -> None:
    oldest = NOW - timedelta(minutes=venue_of(exchange).depth or 0)
    days = (TODAY - oldest.date()).days + 1
    _, result = played(sandbox, slices(exchange, VENUES[exchange].symbols[:1], days, TODAY))
    result.assert_right()
    assert result.stored >= min(venue_of(exchange).depth or 0, 5_000) - 130


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_throttling_and_a_moment_of_maintenance_cost_only_requests(exchange: str, sandbox: Sandbox) -> None:
    sandbox.fault(exchange, "http_429", retry_after=0, count=2)
    sandbox.fault(exchange, "maintenance", count=1, after=2)
    wanted = slices(exchange, VENUES[exchange].symbols[:2], 1, TODAY)
    _, result = played(sandbox, wanted)
    result.assert_right()
    assert result.requests >= 4


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_maintenance_without_an_end_stores_and_explains_nothing(exchange: str, sandbox: Sandbox) -> None:
    sandbox.fault(exchange, "maintenance")
    wanted, into = slices(exchange, VENUES[exchange].symbols[:2], 1, TODAY), Fetched()
    markets = known_markets(exchange, VENUES[exchange].symbols[:2])
    with pytest.raises(FetchError):
        fetch(sandbox, wanted, markets=markets, into=into, clock=lambda: NOW)
    assert into.landed == {}


_FIRST_LEFT_OUT = Edges(start="exclusive", keep="newest")
_ONE_MORE_AT_THE_END = Edges(end="inclusive", keep="newest")

READINGS = [
    ("kucoin", _ONE_MORE_AT_THE_END),
    ("kucoin", Edges(end="exclusive", keep="oldest")),
    ("kucoin", _FIRST_LEFT_OUT),
    ("bitget", _ONE_MORE_AT_THE_END),
    ("bitget", Edges(end="exclusive", keep="oldest")),
    ("mexc", Edges(end="inclusive", keep="oldest")),
    ("mexc", Edges(end="exclusive", keep="newest")),
    ("cryptocom", _ONE_MORE_AT_THE_END),
    ("cryptocom", Edges(start="exclusive", end="exclusive", keep="newest")),
    ("cryptocom", Edges(end="exclusive", keep="oldest")),
    ("bingx", Edges(start="exclusive", keep="oldest")),
    ("upbit", Edges(end="inclusive")),
    ("bitstamp", Edges(end="exclusive", start_ignored="with end")),
    ("bitstamp", Edges(keep="oldest")),
    ("gate", Edges(end="exclusive")),
    ("okx", _ONE_MORE_AT_THE_END),
    ("bybit", Edges(start="exclusive")),
    ("binance", Edges(start="exclusive")),
    ("hyperliquid", _FIRST_LEFT_OUT),
]


@pytest.mark.parametrize(("exchange", "edges"), READINGS, ids=lambda value: str(value)[:60])
def test_every_reading_of_the_documents_gives_the_same_candles(exchange: str, edges: Edges) -> None:
    with Sandbox([exchange], clock=NOW, enforce_limits=False, edges={exchange: edges}) as sandbox:
        symbols = VENUES[exchange].symbols[:1] + VENUES[exchange].symbols[15:16]
        _, result = played(sandbox, slices(exchange, symbols, 3, TODAY))
    result.assert_right()


@pytest.mark.parametrize("exchange", ["bingx", "htx"])
def test_where_a_start_alone_returns_the_newest_rows_nothing_is_written_off(exchange: str) -> None:
    """Older candles cannot be fetched with ccxt's requests then.

    Missing candles stay open, or are beyond the horizon.
    """
    with Sandbox([exchange], clock=NOW, enforce_limits=False, edges={exchange: Edges(keep="newest")}) as sandbox:
        wanted = slices(exchange, VENUES[exchange].symbols[:1], 2, TODAY)
        fetched, result = played(sandbox, wanted)
    assert not result.invented
    for slice_ in wanted:
        if slice_ in fetched.landed:
            assert set(fetched.reasons(slice_)) <= {Reason.BEYOND_HORIZON, Reason.UNKNOWN}
