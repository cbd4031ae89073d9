"""Exchanges that the product knows only through ccxt, with the habits of their documents and with every other one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.exchanges.venues.registry import all_venues
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster.sandbox.venues.wire import Edges
from titan10_dagster_tests.conformance.judging import NOW, account, known_markets, played
from titan10_dagster_tests.conformance.outside import OUTSIDE
from titan10_dagster_tests.exchanges.harness import fetch, slices

TODAY, YESTERDAY = NOW.date(), NOW.date() - timedelta(days=1)


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the venues to the sandbox."""
    for name, venue in OUTSIDE.items():
        monkeypatch.setitem(VENUES, name, venue)  # type: ignore[arg-type]


def sandbox_of(exchange: str, **options: Any) -> Sandbox:
    return Sandbox([exchange], clock=NOW, enforce_limits=False, **options)


@pytest.mark.parametrize("exchange", OUTSIDE)
def test_two_whole_days_are_fetched_without_a_record_of_the_exchange(exchange: str) -> None:
    assert exchange not in all_venues()
    with sandbox_of(exchange) as sandbox:
        _, result = played(sandbox, slices(exchange, OUTSIDE[exchange].symbols[:2], 2, YESTERDAY))
    result.assert_right()
    assert result.stored > 2 * 2 * 1_400


@pytest.mark.parametrize("exchange", OUTSIDE)
def test_a_quiet_pair_and_today_are_fetched_too(exchange: str) -> None:
    with sandbox_of(exchange) as sandbox:
        _, result = played(sandbox, slices(exchange, OUTSIDE[exchange].symbols[2:], 2, TODAY))
    result.assert_right()
    assert result.stored > 100


@pytest.mark.parametrize("exchange", OUTSIDE)
def test_the_list_of_markets_is_read(exchange: str) -> None:
    symbols = OUTSIDE[exchange].symbols
    markets = known_markets(exchange, symbols)
    assert [(market.symbol, market.active) for market in markets] == [(symbol, True) for symbol in symbols]


@pytest.mark.parametrize("exchange", OUTSIDE)
def test_a_closed_market_that_is_refused_costs_no_other_symbol(exchange: str) -> None:
    symbol, other = OUTSIDE[exchange].symbols[1], OUTSIDE[exchange].symbols[0]
    options = {"trading": {(exchange, symbol): (None, NOW - timedelta(days=5))}}
    with sandbox_of(exchange, **options, closed_markets={exchange: "closed_market"}) as sandbox:
        wanted = slices(exchange, [symbol, other], 1, YESTERDAY)
        fetched = fetch(sandbox, wanted, markets=known_markets(exchange, [symbol, other]), clock=lambda: NOW)
        result = account(sandbox, fetched, [slice_ for slice_ in wanted if slice_.series.symbol == other], 0)
    assert fetched.report is not None
    assert list(fetched.report.failed) == [symbol]
    result.assert_right()


@pytest.mark.parametrize("exchange", ["whitebit", "xt", "poloniex"])
def test_if_a_start_alone_returned_the_newest_rows_no_minute_would_be_written_off(exchange: str) -> None:
    with sandbox_of(exchange, edges={exchange: Edges(keep="newest")}) as sandbox:
        wanted = slices(exchange, OUTSIDE[exchange].symbols[:1], 2, TODAY)
        fetched, result = played(sandbox, wanted)
    assert not result.invented
    for slice_ in wanted:
        if slice_ in fetched.landed:
            assert set(fetched.reasons(slice_)) <= {Reason.BEYOND_HORIZON, Reason.UNKNOWN}


EDGES = [
    Edges(start=start, end=end, keep=keep)
    for start in ("inclusive", "exclusive")
    for end in ("inclusive", "exclusive")
    for keep in ("oldest", "newest")
]


@pytest.mark.parametrize("edges", EDGES, ids=lambda edges: f"{edges.start}-{edges.end}-{edges.keep}")
@pytest.mark.parametrize("exchange", ["bitvavo", "btcturk"])
def test_no_minute_is_lost_with_any_meaning_of_start_and_end(exchange: str, edges: Edges) -> None:
    with sandbox_of(exchange, edges={exchange: edges}) as sandbox:
        _, result = played(sandbox, slices(exchange, OUTSIDE[exchange].symbols[:1], 1, YESTERDAY))
    result.assert_right()
