"""What the five exchanges answer, read by the unmodified ccxt classes over real HTTP."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import ccxt
import numpy as np
import pytest

from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.sandbox.clients import DAY_MS, MINUTE_MS, NOW_MS, TODAY, Clients, Run, pointed_at, spot_only

EXCHANGES = list(VENUES)
LAST_CLOSED = NOW_MS // MINUTE_MS * MINUTE_MS - MINUTE_MS
RECENT = LAST_CLOSED - 500 * MINUTE_MS  # within the horizon of all


def main_symbol(exchange: str) -> str:
    return VENUES[exchange].symbols[0]


def raw(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_ccxt_reads_the_markets(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    markets = clients.get(exchange).markets
    assert list(markets) == list(VENUES[exchange].symbols)
    assert all(market["spot"] and market["type"] == "spot" for market in markets.values())
    assert all(market["precision"]["price"] > 0 for market in markets.values())


def test_spot_markets_cost_one_request_and_on_coinbase_two(sandbox: Sandbox, run: Run[Any]) -> None:
    async def loaded(exchange: str) -> int:
        first = sandbox.sites[exchange].journal.next
        async with spot_only(sandbox.url(exchange), exchange) as client:
            await client.load_markets()
        return len(sandbox.requests(exchange, first))

    async def all_loaded() -> list[int]:
        return await asyncio.gather(*map(loaded, EXCHANGES))

    assert dict(zip(EXCHANGES, run(all_loaded()), strict=True)) == {
        "binance": 1, "coinbase": 2, "kraken": 1, "okx": 1, "bybit": 1,
    }  # fmt: skip


def test_ccxt_reads_the_markets_with_all_of_its_defaults(sandbox: Sandbox, run: Run[Any]) -> None:
    async def loaded(exchange: str) -> set[str]:
        async with pointed_at(sandbox.url(exchange), exchange) as client:
            return set(await client.load_markets())

    async def all_loaded() -> list[set[str]]:
        return await asyncio.gather(*map(loaded, EXCHANGES))

    for exchange, symbols in zip(EXCHANGES, run(all_loaded()), strict=True):
        assert symbols == set(VENUES[exchange].symbols)


def test_the_exchanges_have_their_own_market_ids(clients: Clients) -> None:
    assert clients.get("kraken").market("BTC/USD")["id"] == "XXBTZUSD"
    assert clients.get("kraken").market("BTC/USDT")["id"] == "XBTUSDT"
    assert clients.get("kraken").market("DOGE/USD")["id"] == "XDGUSD"
    assert clients.get("binance").market("BTC/USDT")["id"] == "BTCUSDT"
    assert clients.get("coinbase").market("BTC/USD")["id"] == "BTC-USD"
    assert clients.get("binance").market("LUNA/USDT")["active"] is False


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("index", [0, 15, 18, 20])
def test_a_page_equals_the_truth(exchange: str, index: int, sandbox: Sandbox, clients: Clients) -> None:
    symbol = VENUES[exchange].symbols[index]
    found = clients.candles(exchange, symbol, "1m", RECENT, 300)
    wanted = sandbox.truth(exchange, symbol, RECENT, RECENT + 300 * MINUTE_MS)
    np.testing.assert_array_equal(found, wanted)
    assert len(found) > 150


@pytest.mark.parametrize("exchange", [name for name in EXCHANGES if name != "kraken"])
def test_a_page_over_midnight_years_ago_equals_the_truth(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    symbol, since = main_symbol(exchange), TODAY - 900 * DAY_MS - 100 * MINUTE_MS
    limit = VENUES[exchange].page_limit
    found = clients.candles(exchange, symbol, "1m", since, limit)
    wanted = sandbox.truth(exchange, symbol, since, since + 2 * limit * MINUTE_MS)
    np.testing.assert_array_equal(found, wanted[: len(found)])
    assert len(found) >= limit - 45


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(("timeframe", "step"), [("5m", 5), ("15m", 15), ("1h", 60), ("1d", 1_440)])
def test_longer_timeframes_equal_the_truth(
    exchange: str, timeframe: str, step: int, sandbox: Sandbox, clients: Clients
) -> None:
    symbol, span = main_symbol(exchange), step * MINUTE_MS
    since = NOW_MS // span * span - 20 * span
    found = clients.candles(exchange, symbol, timeframe, since, 15)
    np.testing.assert_array_equal(found, sandbox.truth(exchange, symbol, since, since + 15 * span, timeframe))
    assert len(found) == 15


@pytest.mark.parametrize(("exchange", "rows"), [("binance", 1_000), ("okx", 300), ("bybit", 1_000)])
def test_a_larger_limit_is_clamped_to_the_page(exchange: str, rows: int, sandbox: Sandbox) -> None:
    since = TODAY - 30 * DAY_MS
    queries = {
        "binance": f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={since}&limit=5000",
        "okx": f"/api/v5/market/history-candles?instId=BTC-USDT&bar=1m&before={since}&limit=5000",
        "bybit": f"/v5/market/kline?category=spot&symbol=BTCUSDT&interval=1&start={since}&limit=5000",
    }
    raw(sandbox.url(exchange) + queries[exchange])
    assert sandbox.requests(exchange)[-1]["rows"] == rows


def test_coinbase_refuses_a_range_of_more_than_300(sandbox: Sandbox) -> None:
    since = TODAY // 1_000
    url = f"{sandbox.url('coinbase')}/api/v3/brokerage/market/products/BTC-USD/candles?granularity=ONE_MINUTE"
    with pytest.raises(urllib.error.HTTPError, match="400") as caught:
        raw(f"{url}&start={since}&end={since + 301 * 60}")
    with caught.value as answer:
        assert "number of candles requested should be less than" in json.load(answer)["message"]


@pytest.mark.parametrize("exchange", ["coinbase", "okx", "bybit"])
def test_the_newest_row_comes_first_on_the_wire(exchange: str, sandbox: Sandbox) -> None:
    since, end = RECENT, RECENT + 100 * MINUTE_MS
    queries = {
        "coinbase": f"/api/v3/brokerage/market/products/BTC-USD/candles?granularity=ONE_MINUTE"
        f"&start={since // 1000}&end={end // 1000}",
        "okx": f"/api/v5/market/history-candles?instId=BTC-USDT&bar=1m&before={since - 1}&after={end}&limit=100",
        "bybit": f"/v5/market/kline?category=spot&symbol=BTCUSDT&interval=1&start={since}&limit=100",
    }
    answer = raw(sandbox.url(exchange) + queries[exchange])
    rows = answer.get("candles") or answer.get("data") or answer["result"]["list"]
    times = [int(row["start"] if isinstance(row, dict) else row[0]) for row in rows]
    assert len(times) == 100
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("exchange", ["binance", "kraken", "bybit", "coinbase"])
def test_the_candle_that_is_still_forming_is_in_the_answer(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    symbol = main_symbol(exchange)
    last = clients.candles(exchange, symbol, "1m", LAST_CLOSED - 5 * MINUTE_MS, 100)[-1]
    sandbox.clock.shift(60)
    final = clients.candles(exchange, symbol, "1m", LAST_CLOSED - 5 * MINUTE_MS, 100)[-2]
    assert last[0] == final[0] == LAST_CLOSED + MINUTE_MS
    assert last[1] == final[1]
    assert last[5] < final[5]
    np.testing.assert_array_equal(final, sandbox.truth(exchange, symbol, int(final[0]), int(final[0]) + MINUTE_MS)[0])


def test_okx_confirms_finished_candles_only(sandbox: Sandbox) -> None:
    rows = raw(f"{sandbox.url('okx')}/api/v5/market/candles?instId=BTC-USDT&bar=1m&limit=3")["data"]
    assert [row[-1] for row in rows] == ["0", "1", "1"]
    history = raw(f"{sandbox.url('okx')}/api/v5/market/history-candles?instId=BTC-USDT&bar=1m&limit=3")["data"]
    assert int(history[0][0]) == LAST_CLOSED


def test_okx_recent_candles_reach_back_1440_rows(sandbox: Sandbox) -> None:
    query = f"instId=BTC-USDT&bar=1m&limit=300&before={TODAY - 30 * DAY_MS}&after={TODAY - 29 * DAY_MS}"
    assert raw(f"{sandbox.url('okx')}/api/v5/market/candles?{query}")["data"] == []
    assert len(raw(f"{sandbox.url('okx')}/api/v5/market/history-candles?{query}")["data"]) == 300


def test_kraken_gives_its_last_720_rows_whatever_since_says(sandbox: Sandbox, clients: Clients) -> None:
    found = clients.candles("kraken", "BTC/USD", "1m", TODAY - 30 * DAY_MS, 1_000)
    assert len(found) == 720
    assert found[-1, 0] == LAST_CLOSED + MINUTE_MS
    assert found[0, 0] == LAST_CLOSED - 718 * MINUTE_MS


def test_kraken_names_the_last_committed_candle(sandbox: Sandbox) -> None:
    answer = raw(f"{sandbox.url('kraken')}/0/public/OHLC?pair=XXBTZUSD&interval=1&since={NOW_MS // 1000 + 600}")
    assert answer["result"]["last"] == LAST_CLOSED // 1_000
    assert [row[0] for row in answer["result"]["XXBTZUSD"]] == [LAST_CLOSED // 1_000 + 60]


def test_binance_starts_at_the_listing_when_asked_for_earlier(sandbox: Sandbox, clients: Clients) -> None:
    listed = sandbox.sites["binance"].series["PEPE/USDT"].first_ms
    found = clients.candles("binance", "PEPE/USDT", "1m", listed - 10 * DAY_MS, 10)
    assert found[0, 0] == listed


def test_okx_and_coinbase_answer_empty_pages_before_the_listing(sandbox: Sandbox, clients: Clients) -> None:
    assert len(clients.candles("okx", "PEPE/USDT", "1m", TODAY - 2_000 * DAY_MS, 300)) == 0
    assert len(clients.candles("coinbase", "PEPE/USD", "1m", TODAY - 2_000 * DAY_MS, 300)) == 0


def test_a_delisted_symbol_has_its_history_and_nothing_after(sandbox: Sandbox, clients: Clients) -> None:
    assert len(clients.candles("binance", "LUNA/USDT", "1m", TODAY - 2_000 * DAY_MS, 1_000)) == 1_000
    assert len(clients.candles("binance", "LUNA/USDT", "1m", TODAY, 1_000)) == 0


UNKNOWN = {
    "binance": (ccxt.BadSymbol, "-1121"),
    "coinbase": (ccxt.ExchangeError, "valid product_id"),
    "kraken": (ccxt.ExchangeError, "EQuery:Unknown asset pair"),
    "okx": (ccxt.BadSymbol, "51001"),
    "bybit": (ccxt.BadSymbol, "Not supported symbols"),
}


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_unknown_symbol_is_refused_in_the_exchanges_own_words(
    exchange: str, sandbox: Sandbox, clients: Clients
) -> None:
    client = clients.get(exchange)
    symbol = main_symbol(exchange)
    known = client.markets[symbol]
    client.markets["NO/SUCH"] = {**known, "id": "NOSUCH", "symbol": "NO/SUCH"}
    error, words = UNKNOWN[exchange]
    with pytest.raises(error, match=words):
        clients.candles(exchange, "NO/SUCH", "1m", RECENT, 10)
    del client.markets["NO/SUCH"]


def test_more_symbols_can_be_listed(run: Run[Any]) -> None:
    with Sandbox(["kraken"], symbols={"kraken": ["BTC/USD", "NEWCOIN/USD"]}) as sandbox:
        rows = sandbox.truth("kraken", "NEWCOIN/USD", TODAY - DAY_MS, TODAY)
    assert len(rows) == 1_440
