from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from titan10_dagster.candles.markets import Market
from titan10_dagster.errors import Banned, BreakerOpen, Refused, TransientError, UnknownSymbol
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.markets import read_markets, resolve
from titan10_dagster.planning.breaker import BreakerState, Health
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.exchanges.harness import NO_WAITING, NOW, MemoryHealthStore, market, now, run

MARKETS = [
    market("kraken", "BTC/USD"),
    market("kraken", "ETH/USD"),
    market("kraken", "LUNA/USD", active=False),
    Market("kraken", "BTC/USDT:USDT", "PF_XBTUSDT", "BTC", "USDT", "XBT", "USDT", True, "swap"),
]


def test_symbols_are_found_in_their_order_and_once() -> None:
    found = resolve("kraken", ["ETH/USD", "BTC/USD", "ETH/USD"], MARKETS)
    assert [market.symbol for market in found.markets] == ["ETH/USD", "BTC/USD"]
    assert not found.unknown


def test_an_inactive_market_is_found_too() -> None:
    (found,) = resolve("kraken", ["LUNA/USD"], MARKETS).markets
    assert (found.symbol, found.active) == ("LUNA/USD", False)


@pytest.mark.parametrize("written", ["btc/usd", "BTC-USD", "BTCUSD", "XXBTZUSD", "BTC/USDD"])
def test_the_error_of_an_unknown_symbol_suggests_similar_symbols(written: str) -> None:
    found = resolve("kraken", [written], MARKETS)
    error = found.unknown[written]
    assert isinstance(error, UnknownSymbol)
    assert str(error).startswith(f"kraken {written}: the exchange does not list it; did you mean BTC/USD")
    assert (error.exchange, error.symbol) == ("kraken", written)


def test_the_error_of_a_symbol_like_no_other_suggests_nothing() -> None:
    assert "none of its symbols is similar" in str(resolve("kraken", ["QQQ/ZZZ"], MARKETS).unknown["QQQ/ZZZ"])


def test_a_perpetual_is_found_by_ccxts_name_for_it() -> None:
    assert resolve("kraken", ["BTC/USDT:USDT"], MARKETS).markets[0].type == "swap"


# -- asking for them


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(("binance",), clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


def read(sandbox: Sandbox, store: MemoryHealthStore) -> list[Market]:
    async def work() -> list[Market]:
        async with ExchangeClient("binance", base_url=sandbox.url("binance"), paced=False, now=now) as client:
            listed = await read_markets(client, breaker=Breaker("binance", store, now), retry_limits=NO_WAITING)
            return listed.markets

    return run(work())


@pytest.mark.parametrize(("kind", "options"), [("http_500", {}), ("html_200", {}), ("http_429", {"retry_after": 0})])
def test_a_fault_that_passes_costs_requests_but_no_market(sandbox: Sandbox, kind: str, options: dict[str, int]) -> None:
    sandbox.fault("binance", kind, path="markets", count=3, **options)
    store = MemoryHealthStore()
    assert "BTC/USDT" in {market.symbol for market in read(sandbox, store)}
    assert len(sandbox.requests("binance")) == 4
    assert store.load("binance").state is BreakerState.CLOSED


def test_a_ban_during_a_market_list_request_opens_the_breaker_for_all_processes(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_418", path="markets", retry_after=600)
    store = MemoryHealthStore()
    with pytest.raises(Banned):
        read(sandbox, store)
    assert store.load("binance").open_until == NOW + timedelta(seconds=600)
    with pytest.raises(BreakerOpen):
        read(sandbox, store)
    assert len(sandbox.requests("binance")) == 1


def test_a_refusal_of_the_market_list_opens_the_breaker(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_451", path="markets")
    store = MemoryHealthStore()
    with pytest.raises(Refused):
        read(sandbox, store)
    assert store.load("binance").open_until == NOW + timedelta(minutes=10)


def test_markets_that_cannot_be_had_count_as_one_failure(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_500", path="markets")
    store = MemoryHealthStore()
    with pytest.raises(TransientError):
        read(sandbox, store)
    assert store.load("binance").failures == 1


def test_markets_asked_for_as_a_probe_close_the_breaker(sandbox: Sandbox) -> None:
    store = MemoryHealthStore()
    store.states["binance"] = Health("binance", BreakerState.OPEN, open_until=NOW - timedelta(seconds=1))
    read(sandbox, store)
    assert store.load("binance").state is BreakerState.CLOSED
