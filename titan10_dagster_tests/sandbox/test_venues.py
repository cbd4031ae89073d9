"""The answers of the exchanges, read by the unmodified ccxt classes over real HTTP."""

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
RECENT = LAST_CLOSED - 500 * MINUTE_MS  # within the depth of all exchanges except bithumb
LAST_ROWS_ONLY = {"kraken", "gemini", "bithumb", "bitrue", "phemex", "hyperliquid", "gate"}
LIMITS = {"bitget": 200, "okx": 300, "coinbase": 300, "cryptocom": 300, "upbit": 200, "bithumb": 200}
WITH_HISTORY = [name for name in EXCHANGES if name not in LAST_ROWS_ONLY]


def main_symbol(exchange: str) -> str:
    return VENUES[exchange].symbols[0]


def raw(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_ccxt_reads_the_markets(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    markets = clients.get(exchange).markets
    assert set(markets) == set(VENUES[exchange].symbols)
    assert all(market["spot"] and market["type"] == "spot" for market in markets.values())
    for symbol, market in markets.items():
        assert market["id"] == sandbox.sites[exchange].series[symbol].instrument.name.market_id


MARKET_REQUESTS = {
    "coinbase": 2, "kucoin": 2, "gate": 2, "bitget": 2, "mexc": 2, "phemex": 2, "bingx": 3, "bitrue": 3,
}  # fmt: skip


def test_spot_markets_cost_one_request_on_most_exchanges(sandbox: Sandbox, run: Run[Any]) -> None:
    async def loaded(exchange: str) -> int:
        first = sandbox.sites[exchange].journal.next
        async with spot_only(sandbox.url(exchange), exchange) as client:
            await client.load_markets()
        return len(sandbox.requests(exchange, first))

    async def all_loaded() -> list[int]:
        return await asyncio.gather(*map(loaded, EXCHANGES))

    requests = dict(zip(EXCHANGES, run(all_loaded()), strict=True))
    assert {exchange: count for exchange, count in requests.items() if count != 1} == MARKET_REQUESTS


@pytest.mark.parametrize("exchange", ["binance", "coinbase", "kraken", "okx", "bybit"])
def test_ccxt_reads_the_markets_with_all_of_its_defaults(exchange: str, sandbox: Sandbox, run: Run[Any]) -> None:
    async def loaded() -> set[str]:
        async with pointed_at(sandbox.url(exchange), exchange) as client:
            return set(await client.load_markets())

    assert run(loaded()) == set(VENUES[exchange].symbols)


MARKET_IDS = {
    ("kraken", "BTC/USD"): "XXBTZUSD", ("kraken", "BTC/USDT"): "XBTUSDT", ("kraken", "DOGE/USD"): "XDGUSD",
    ("binance", "BTC/USDT"): "BTCUSDT", ("coinbase", "BTC/USD"): "BTC-USD", ("kucoin", "BTC/USDT"): "BTC-USDT",
    ("gate", "BTC/USDT"): "BTC_USDT", ("htx", "BTC/USDT"): "btcusdt", ("bitfinex", "BTC/USDT"): "tBTCUST",
    ("bitfinex", "DOGE/USD"): "tDOGE:USD", ("bitstamp", "BTC/USD"): "btcusd", ("upbit", "BTC/KRW"): "KRW-BTC",
    ("phemex", "BTC/USDT"): "sBTCUSDT", ("hyperliquid", "BTC/USDC"): "BTC/USDC",
}  # fmt: skip


@pytest.mark.parametrize(("market", "market_id"), MARKET_IDS.items())
def test_the_exchanges_have_their_own_market_ids(market: tuple[str, str], market_id: str, clients: Clients) -> None:
    exchange, symbol = market
    assert clients.get(exchange).market(symbol)["id"] == market_id


def test_a_delisted_market_is_listed_as_closed_on_binance(clients: Clients) -> None:
    assert clients.get("binance").market("LUNA/USDT")["active"] is False


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("index", [0, 15, 18, -2])
def test_the_last_page_equals_the_truth(exchange: str, index: int, sandbox: Sandbox, clients: Clients) -> None:
    # ccxt derives the age of bitget's candles from this machine's clock, and requests at most 200 old ones.
    symbol, limit = VENUES[exchange].symbols[index], LIMITS.get(exchange, 500)
    since = LAST_CLOSED - (limit // 2 - 1) * MINUTE_MS
    found = clients.candles(exchange, symbol, "1m", since, limit)
    finished = found[found[:, 0] <= LAST_CLOSED]
    np.testing.assert_array_equal(finished, sandbox.truth(exchange, symbol, since, NOW_MS))
    assert len(found) > limit // 8


@pytest.mark.parametrize("exchange", WITH_HISTORY)
def test_a_page_over_midnight_years_ago_equals_the_truth(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    symbol, since = main_symbol(exchange), TODAY - 900 * DAY_MS - 100 * MINUTE_MS
    limit = 200 if exchange == "bitget" else VENUES[exchange].page_limit
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
    since = NOW_MS // span * span - 45 * span
    found = clients.candles(exchange, symbol, timeframe, since, 50)
    running = VENUES[exchange].candle_start(NOW_MS, step * 60)
    finished = found[found[:, 0] < running]
    np.testing.assert_array_equal(finished, sandbox.truth(exchange, symbol, since, running, timeframe))
    assert len(finished) >= 44


def test_the_days_of_htx_begin_at_16_utc(sandbox: Sandbox, clients: Clients) -> None:
    found = clients.candles("htx", "BTC/USDT", "1d", TODAY - 5 * DAY_MS, 3)
    assert found[:, 0].tolist() == [TODAY - days * DAY_MS + 16 * 3_600_000 for days in (5, 4, 3)]
    minutes = sandbox.truth("htx", "BTC/USDT", int(found[0, 0]), int(found[1, 0]))
    assert found[0, 2] == minutes[:, 2].max()
    assert found[0, 4] == minutes[-1, 4]


@pytest.mark.parametrize(("exchange", "rows"), [("binance", 1_000), ("okx", 300), ("bybit", 1_000), ("mexc", 500)])
def test_a_larger_limit_is_clamped_to_the_page(exchange: str, rows: int, sandbox: Sandbox) -> None:
    since = TODAY - 30 * DAY_MS
    queries = {
        "binance": f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={since}&limit=5000",
        "mexc": f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={since}&limit=1000",
        "okx": f"/api/v5/market/history-candles?instId=BTC-USDT&bar=1m&before={since}&limit=5000",
        "bybit": f"/v5/market/kline?category=spot&symbol=BTCUSDT&interval=1&start={since}&limit=5000",
    }
    raw(sandbox.url(exchange) + queries[exchange])
    assert sandbox.requests(exchange)[-1]["rows"] == rows


def refusal(url: str) -> tuple[int, str]:
    """Return status and body of an answer that is an error."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        raw(url)
    with caught.value as answer:
        return answer.code, answer.read().decode()


def test_coinbase_refuses_a_range_of_more_than_300(sandbox: Sandbox) -> None:
    since = TODAY // 1_000
    url = f"{sandbox.url('coinbase')}/api/v3/brokerage/market/products/BTC-USD/candles?granularity=ONE_MINUTE"
    status, body = refusal(f"{url}&start={since}&end={since + 301 * 60}")
    assert status == 400
    assert "number of candles requested should be less than" in body


def test_gate_refuses_a_range_of_more_than_1000_and_what_is_too_old(sandbox: Sandbox) -> None:
    url = f"{sandbox.url('gate')}/api/v4/spot/candlesticks?currency_pair=BTC_USDT&interval=1m"
    since = TODAY // 1_000
    assert len(raw(f"{url}&from={since - 999 * 60}&to={since}")) == 1_000
    assert "Candlestick range too broad" in refusal(f"{url}&from={since - 1_000 * 60}&to={since}")[1]
    old = since - 20 * 86_400
    assert "Candlestick too long ago" in refusal(f"{url}&from={old}&to={old + 60}")[1]


def test_htx_refuses_a_start_before_the_listing(sandbox: Sandbox) -> None:
    listed = sandbox.sites["htx"].series["PEPE/USDT"].first_ms // 1_000
    url = f"{sandbox.url('htx')}/market/history/candles?symbol=pepeusdt&period=1min&size=10"
    assert raw(f"{url}&from={listed}")["data"][-1]["id"] == listed
    assert raw(f"{url}&from={listed - 60}")["status"] == "error"


def test_phemex_knows_six_limits(sandbox: Sandbox) -> None:
    url = f"{sandbox.url('phemex')}/exchange/public/md/v2/kline?symbol=sBTCUSDT&resolution=60"
    assert len(raw(f"{url}&limit=500")["data"]["rows"]) == 500
    assert "uplimt" in refusal(f"{url}&limit=300")[1]


NEWEST_FIRST = {
    "coinbase": ("/api/v3/brokerage/market/products/BTC-USD/candles?granularity=ONE_MINUTE&start={s}&end={e}", "start"),
    "okx": ("/api/v5/market/history-candles?instId=BTC-USDT&bar=1m&before={s}000&after={e}000&limit=100", 0),
    "bybit": ("/v5/market/kline?category=spot&symbol=BTCUSDT&interval=1&start={s}000&limit=100", 0),
    "kucoin": ("/api/v1/market/candles?symbol=BTC-USDT&type=1min&startAt={s}&endAt={e}", 0),
    "htx": ("/market/history/candles?symbol=btcusdt&period=1min&from={s}&size=100", "id"),
    "upbit": ("/v1/candles/minutes/1?market=KRW-BTC&count=100", "timestamp"),
    "gemini": ("/v2/candles/btcusd/1m", 0),
}


@pytest.mark.parametrize("exchange", NEWEST_FIRST)
def test_the_newest_row_comes_first_on_the_wire(exchange: str, sandbox: Sandbox) -> None:
    path, key = NEWEST_FIRST[exchange]
    start = RECENT // 1_000
    answer: Any = raw(sandbox.url(exchange) + path.format(s=start, e=start + 100 * 60))
    if isinstance(answer, dict):
        answer = answer.get("candles") or answer.get("data") or answer["result"]["list"]
    times = [int(row[key]) for row in answer]
    assert len(times) > 90
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("exchange", ["binance", "kraken", "bybit", "coinbase", "gate", "htx", "gemini", "hyperliquid"])
def test_the_candle_that_is_still_forming_is_in_the_answer(exchange: str, sandbox: Sandbox, clients: Clients) -> None:
    symbol = main_symbol(exchange)
    since = LAST_CLOSED - 5 * MINUTE_MS
    last = clients.candles(exchange, symbol, "1m", since, 100)[-1]
    sandbox.clock.shift(60)
    final = clients.candles(exchange, symbol, "1m", since, 100)[-2]
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


@pytest.mark.parametrize(
    ("exchange", "rows"),
    [
        ("kraken", 720),
        ("gemini", 1_440),
        ("bithumb", 200),
        ("bitrue", 1_000),
        ("phemex", 1_000),
        ("hyperliquid", 5_000),
    ],
)
def test_the_last_rows_are_returned_for_any_since(exchange: str, rows: int, sandbox: Sandbox, clients: Clients) -> None:
    clients.candles(exchange, main_symbol(exchange), "1m", TODAY - 30 * DAY_MS, 1_000 if rows > 200 else 200)
    request = sandbox.requests(exchange)[-1]
    assert (request["rows"], request["last"]) == (rows, LAST_CLOSED + MINUTE_MS)


def test_kraken_names_the_last_committed_candle(sandbox: Sandbox) -> None:
    answer = raw(f"{sandbox.url('kraken')}/0/public/OHLC?pair=XXBTZUSD&interval=1&since={NOW_MS // 1000 + 600}")
    assert answer["result"]["last"] == LAST_CLOSED // 1_000
    assert [row[0] for row in answer["result"]["XXBTZUSD"]] == [LAST_CLOSED // 1_000 + 60]


@pytest.mark.parametrize("exchange", ["kucoin", "bitfinex", "upbit", "coinbase", "bithumb"])
def test_minutes_without_trades_are_left_out(exchange: str, clients: Clients) -> None:
    limit = VENUES[exchange].page_limit
    found = clients.candles(exchange, VENUES[exchange].symbols[15], "1m", NOW_MS - limit * MINUTE_MS, limit)
    assert (np.diff(found[:, 0]) > MINUTE_MS).any()
    assert (found[:-1, 5] > 0).all()


def test_a_cursor_counts_back_past_the_start(sandbox: Sandbox) -> None:
    end = "2025-06-01T00:00:00"
    rows = raw(f"{sandbox.url('upbit')}/v1/candles/minutes/1?market=KRW-ALGO&count=200&to={end}")
    assert len(rows) == 200
    assert rows[0]["candle_date_time_utc"] < end
    assert rows[-1]["candle_date_time_utc"] < "2025-05-31T20:40:00"


def test_binance_starts_at_the_listing_if_the_request_starts_earlier(sandbox: Sandbox, clients: Clients) -> None:
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
    "binance": "-1121", "coinbase": "valid product_id", "kraken": "EQuery:Unknown asset pair", "okx": "51001",
    "bybit": "Not supported symbols", "binanceus": "-1121", "kucoin": "symbol not exists",
    "gate": "INVALID_CURRENCY_PAIR", "bitget": "40034", "mexc": "-1121", "htx": "invalid symbol",
    "bitfinex": "symbol: invalid", "bitstamp": "Invalid pair", "gemini": "is not a valid symbol",
    "cryptocom": "40004", "bingx": "100421", "upbit": "Code not found", "bithumb": "Code not found",
    "hyperliquid": "500", "bitrue": "-1121", "phemex": "39997",
}  # fmt: skip


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_unknown_symbol_is_refused_in_the_exchanges_own_words(
    exchange: str, sandbox: Sandbox, clients: Clients
) -> None:
    client = clients.get(exchange)
    known = client.markets[main_symbol(exchange)]
    client.markets["NO/SUCH"] = {**known, "id": "SUCH-NO", "symbol": "NO/SUCH", "lowercaseId": "such-no"}
    try:
        with pytest.raises(ccxt.BaseError, match=UNKNOWN[exchange]):
            clients.candles(exchange, "NO/SUCH", "1m", RECENT, 10)
    finally:
        del client.markets["NO/SUCH"]


def test_more_symbols_can_be_listed() -> None:
    with Sandbox(["kraken"], symbols={"kraken": ["BTC/USD", "NEWCOIN/USD"]}) as sandbox:
        rows = sandbox.truth("kraken", "NEWCOIN/USD", TODAY - DAY_MS, TODAY)
    assert len(rows) == 1_440
