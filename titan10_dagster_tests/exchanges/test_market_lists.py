from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from titan10_dagster.errors import MalformedAnswer, TransientError
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.containers import container_of
from titan10_dagster.exchanges.market_lists import MarketList
from titan10_dagster.exchanges.venues.registry import all_venues, venue_of
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.exchanges.harness import NOW, now, run
from titan10_dagster_tests.exchanges.serving import Handler, says, serving
from titan10_dagster_tests.exchanges.test_transport import MOST_MEMORY, outcome

EVERY = sorted(set(all_venues()) & set(VENUES))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(EVERY, clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


def listed(exchange: str, url: str) -> tuple[MarketList, int]:
    """Return the list that the client reads at this address, and the number of requests."""

    async def work() -> tuple[MarketList, int]:
        async with ExchangeClient(exchange, base_url=url, paced=False, now=now) as client:
            return MarketList(await client.fetch_markets(), client.skipped_records), client.requests

    return run(work())


def changed(url: str, change: Callable[[list[tuple[Any, Any]]], list[tuple[Any, Any]]]) -> Handler:
    """Answer like the server at `url`, with changed records in the market list."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        async with aiohttp.ClientSession() as session:
            asked = session.request(request.method, f"{url}{request.rel_url}", data=await request.read())
            async with asked as response:
                parsed = json.loads(await response.read())
        container = container_of(parsed)
        if container is not None:
            parsed = container.with_items(change(list(container.items)))
        return web.json_response(parsed)

    return answer


def listed_with(
    exchange: str, url: str, change: Callable[[list[tuple[Any, Any]]], list[tuple[Any, Any]]]
) -> MarketList:
    async def work() -> MarketList:
        async with (
            serving(changed(url, change)) as changed_url,
            ExchangeClient(exchange, base_url=changed_url, paced=False, now=now) as client,
        ):
            return MarketList(await client.fetch_markets(), client.skipped_records)

    return run(work())


@pytest.mark.parametrize("exchange", EVERY)
def test_every_exchange_lists_its_spot_markets(sandbox: Sandbox, exchange: str) -> None:
    markets, requests = listed(exchange, sandbox.url(exchange))
    assert {market.symbol for market in markets.markets} >= set(VENUES[exchange].symbols[:5])
    assert markets.skipped == ()
    assert requests <= 2


@pytest.mark.parametrize("exchange", EVERY)
def test_a_null_among_the_records_costs_no_market(sandbox: Sandbox, exchange: str) -> None:
    whole, _ = listed(exchange, sandbox.url(exchange))

    def with_null(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        place = 3 if venue_of(exchange).market_records is None else len(items)
        return [*items[:place], ("null", None), *items[place:]]

    assert listed_with(exchange, sandbox.url(exchange), with_null).markets == whole.markets


@pytest.mark.parametrize("broken", [None, "x", {"currency": {}}, {"currency": "BTC", "valueScale": None}])
def test_a_broken_currency_of_phemex_costs_only_its_markets(sandbox: Sandbox, broken: Any) -> None:
    whole, _ = listed("phemex", sandbox.url("phemex"))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        async with aiohttp.ClientSession() as session, session.get(f"{sandbox.url('phemex')}{request.rel_url}") as got:
            parsed = json.loads(await got.read())
        if isinstance(parsed["data"], dict):
            currencies = parsed["data"]["currencies"]
            place = next(place for place, currency in enumerate(currencies) if currency["currency"] == "BTC")
            currencies[place] = broken
        return web.json_response(parsed)

    async def work() -> MarketList:
        async with (
            serving(answer) as url,
            ExchangeClient("phemex", base_url=url, paced=False, now=now) as client,
        ):
            return MarketList(await client.fetch_markets(), client.skipped_records)

    found = run(work())
    assert found.markets == [market for market in whole.markets if market.base != "BTC"]
    assert len(found.skipped) == len(whole.markets) - len(found.markets) > 0


def test_a_broken_record_of_bitstamp_costs_only_its_market(sandbox: Sandbox) -> None:
    whole, _ = listed("bitstamp", sandbox.url("bitstamp"))

    def change(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        return [(items[0][0], {**items[0][1], "base_decimals": "x"}), *items[1:]]

    found = listed_with("bitstamp", sandbox.url("bitstamp"), change)
    assert len(found.markets) == len(whole.markets) - 1
    assert len(found.skipped) == 1


@pytest.mark.parametrize("decimals", [None, "x", {}, "1e9"])
def test_a_broken_token_of_hyperliquid_costs_only_its_own_markets(decimals: Any) -> None:
    names = ["USDC", "A", "B", "C"]
    tokens = [{"name": name, "szDecimals": 2, "index": place} for place, name in enumerate(names)]
    tokens[2]["szDecimals"] = decimals
    universe = [{"name": f"@{place}", "tokens": [place, 0], "index": place} for place in (1, 2, 3)]
    prices = [{"midPx": "1.5"} for _ in range(4)]

    async def work() -> MarketList:
        async with (
            serving(says(json.dumps([{"tokens": tokens, "universe": universe}, prices]))) as url,
            ExchangeClient("hyperliquid", base_url=url, paced=False, now=now) as client,
        ):
            return MarketList(await client.fetch_markets(), client.skipped_records)

    found = run(work())
    names_found = [(market.symbol, market.market_id) for market in found.markets]
    assert names_found == [("A/USDC", "@1"), ("C/USDC", "@3")]
    (skipped,) = found.skipped
    assert "@2" in skipped


# A changed record of binance's list, with the exchange's own names.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no symbol": ({"symbol": ""}, "cannot be read"),
    "null symbol": ({"symbol": None}, "cannot be read"),
    "null base": ({"baseAsset": None, "symbol": "XUSDT"}, "has no baseAsset"),
    "empty base": ({"baseAsset": "", "symbol": "XUSDT"}, "has no baseAsset"),
    "list as base": ({"baseAsset": ["X"], "symbol": "XUSDT"}, "has no baseAsset"),
    "half a surrogate": ({"baseAsset": "X\ud800", "symbol": "X\ud800USDT"}, "with control characters"),
    "line separator": ({"baseAsset": "X\u2028", "symbol": "X\u2028USDT"}, "with control characters"),
    "zero width": ({"baseAsset": "BTC\u200b", "symbol": "BTC\u200bUSDT"}, "with control characters"),
    "right to left": ({"baseAsset": "\u202eX", "symbol": "\u202eXUSDT"}, "with control characters"),
    "NUL": ({"baseAsset": "X\0", "symbol": "X\0USDT"}, "with control characters"),
    "10 kB": ({"baseAsset": "X" * 10_000, "symbol": "X" * 10_000 + "USDT"}, "of 10005 characters"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_skipped_and_named_and_the_others_are_kept(sandbox: Sandbox, name: str) -> None:
    whole, _ = listed("binance", sandbox.url("binance"))
    change, problem = BAD[name]

    def with_bad(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        return [*items, ("bad", {**items[0][1], **change})]

    found = listed_with("binance", sandbox.url("binance"), with_bad)
    assert found.markets == whole.markets
    (skipped,) = found.skipped
    assert problem in skipped
    assert len(skipped) < 200
    assert found.warning is not None
    assert found.warning.startswith("the market list has 1 record that cannot be read; the other markets are kept.")


@pytest.mark.parametrize("precision", [10**9, -(10**9), 10**400, "1000000000", "-1000000000"])
def test_a_huge_precision_fills_no_memory(sandbox: Sandbox, precision: Any) -> None:
    def change(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        record = {**items[0][1], "baseAssetPrecision": precision, "quotePrecision": precision}
        return [(items[0][0], record), *items[1:]]

    found = listed_with("binance", sandbox.url("binance"), change)
    assert found.markets == listed("binance", sandbox.url("binance"))[0].markets


def test_a_record_without_the_field_of_its_asset_is_no_invented_market(sandbox: Sandbox) -> None:
    def with_bad(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        bad = {name: value for name, value in items[0][1].items() if name != "baseAsset"}
        return [*items, ("bad", {**bad, "symbol": "XUSDT"})]

    found = listed_with("binance", sandbox.url("binance"), with_bad)
    assert found.markets == listed("binance", sandbox.url("binance"))[0].markets
    assert found.skipped == ("'XUSDT' has no baseAsset",)


def test_a_name_in_any_script_is_a_market(sandbox: Sandbox) -> None:
    def with_name(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        return [*items, ("more", {**items[0][1], "baseAsset": "币安人生", "symbol": "币安人生USDT"})]

    found = listed_with("binance", sandbox.url("binance"), with_name)
    assert "币安人生/USDT" in {market.symbol for market in found.markets}
    assert found.skipped == ()


def test_several_bad_records_are_all_named(sandbox: Sandbox) -> None:
    bad = [None, [], "text", {}, 17]

    def with_bad(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        return [*items, *enumerate(bad)]

    found = listed_with("binance", sandbox.url("binance"), with_bad)
    assert len(found.skipped) == len(bad)
    assert "None cannot be read" in found.skipped[0]


def test_a_list_of_bad_records_only_is_malformed() -> None:
    async def work() -> None:
        async with (
            serving(says('{"symbols":[null,{"symbol":""},{}]}')) as url,
            ExchangeClient("binance", base_url=url, paced=False, now=now) as client,
        ):
            await client.fetch_markets()

    with pytest.raises((MalformedAnswer, TransientError)):
        run(work())


RECORD = {"symbol": "AUSDT", "baseAsset": "A", "quoteAsset": "USDT", "status": "TRADING", "filters": []}
TOO_MANY = json.dumps({"symbols": [RECORD] * 100_000})


def test_a_list_of_100_000_records_fills_no_memory() -> None:
    result = outcome(says(TOO_MANY), "markets")
    assert (result["error"], result["megabytes"]) == ("MalformedAnswer", pytest.approx(0, abs=MOST_MEMORY))
    assert "a list of 100,000 records" in str(result["text"])


def test_a_list_of_100_000_records_is_refused_at_once() -> None:
    async def work() -> float:
        async with (
            serving(says(TOO_MANY)) as url,
            ExchangeClient("binance", base_url=url, paced=False, now=now) as client,
        ):
            began = time.process_time()
            with pytest.raises(MalformedAnswer, match="a list of 100,000 records; up to 20,000 are accepted"):
                await client.fetch_markets()
            return time.process_time() - began

    assert run(work()) < 10
