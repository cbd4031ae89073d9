from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from aiohttp import web
from ccxt import async_support

from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, to_ms
from titan10_dagster.errors import (
    Banned,
    FetchError,
    MalformedAnswer,
    Refused,
    Throttled,
    TransientError,
    UnknownSymbol,
)
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.market_records import ccxt_market, market_of
from titan10_dagster.exchanges.pages import Page
from titan10_dagster.exchanges.venues.registry import all_venues, venue_of
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.exchanges.harness import (
    FIVE,
    MINUTE,
    NOW,
    MemoryHealthStore,
    market,
    now,
    plain,
    run,
    symbols,
)
from titan10_dagster_tests.exchanges.serving import Handler, says, serving

YESTERDAY = NOW - timedelta(days=1)
RECENTLY = NOW - timedelta(hours=8)


@pytest.fixture(scope="module")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox(FIVE, clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_sandbox: Sandbox) -> Sandbox:
    _sandbox.wait_for_silence()  # a cancelled request of the previous test may still arrive
    _sandbox.clear_faults()
    for exchange in FIVE:
        _sandbox.clear_requests(exchange)
    return _sandbox


def series(exchange: str) -> Series:
    return Series(exchange, symbols(exchange, 1)[0], MINUTE)


def client_of(exchange: str, url: str, **options: Any) -> ExchangeClient:
    known = [market(exchange, symbol) for symbol in symbols(exchange)] if exchange in FIVE else [plain(exchange)]
    return ExchangeClient(exchange, known, base_url=url, **{"paced": False, "now": now, **options})


async def page_of(exchange: str, url: str, since: datetime = RECENTLY, limit: int = 200) -> Page:
    async with client_of(exchange, url) as client:
        return await client.fetch_page(series(exchange), since, limit)


def answered(exchange: str, handler: Handler) -> Page:
    async def work() -> Page:
        async with serving(handler) as url:
            return await page_of(exchange, url)

    return run(work())


def test_a_client_that_was_banned_makes_no_request_any_more(sandbox: Sandbox) -> None:
    async def work() -> None:
        async with client_of("binance", sandbox.url("binance")) as client:
            for _ in range(3):
                with pytest.raises(Banned):
                    await client.fetch_page(series("binance"), RECENTLY, 200)

    sandbox.fault("binance", "http_418", count=1)
    run(work())
    assert len(sandbox.requests("binance")) == 1


def test_a_negative_age_does_not_make_the_clock_wrong() -> None:
    row = '[[1718755200000,"1","1","1","1","1",1718755259999,"1",1,"1","1","0"]]'
    assert len(answered("binance", says(row, headers={"Age": "-99999999"})).rows) == 1


def test_a_byte_order_mark_before_the_answer_does_not_matter() -> None:
    page = answered("binance", says('\ufeff[[1718755200000,"1","1","1","1","1",1718755259999,"1",1,"1","1","0"]]'))
    assert page.rows.tolist() == [[1718755200000, 1, 1, 1, 1, 1]]


# -- the same values as ccxt


async def stock_rows(exchange: str, url: str, since: datetime, limit: int) -> list[list[float]]:
    """Return the result of ccxt's own class for the same request."""
    stock = getattr(async_support, exchange)(
        {"markets": {market_.symbol: ccxt_market(market_) for market_ in [market(exchange, series(exchange).symbol)]}}
    )
    stock.urls["api"] = {name: url + urlsplit(address).path for name, address in stock.urls["api"].items()}
    stock.timeout_on_exit = 0
    stock.milliseconds = lambda: to_ms(NOW)
    try:
        rows: list[list[float]] = await stock.fetch_ohlcv(series(exchange).symbol, "1m", to_ms(since), limit)
        return rows
    finally:
        await stock.close()


@pytest.mark.parametrize("exchange", FIVE)
def test_rows_have_the_values_that_ccxt_would_give(sandbox: Sandbox, exchange: str) -> None:
    url = sandbox.url(exchange)

    async def work() -> tuple[Page, list[list[float]]]:
        return await page_of(exchange, url), await stock_rows(exchange, url, RECENTLY, 200)

    page, stock = run(work())
    ours = page.rows[page.rows[:, 0] >= to_ms(RECENTLY)][:200]
    assert len(stock) >= 190
    assert np.array_equal(ours, np.array(stock, dtype=np.float64))


@pytest.mark.parametrize("exchange", FIVE)
def test_missing_and_odd_values_are_what_ccxt_makes_of_them(sandbox: Sandbox, exchange: str) -> None:
    for kind in ("null_value", "nan_value", "zero_price", "duplicates", "disorder"):
        sandbox.clear_faults(exchange)
        sandbox.fault(exchange, kind, seed=1)
        rows = run(page_of(exchange, sandbox.url(exchange))).rows
        sandbox.clear_faults(exchange)
        sandbox.fault(exchange, kind, seed=1)
        stock = np.array(run(stock_rows(exchange, sandbox.url(exchange), RECENTLY, 200)), dtype=np.float64)
        ours = rows[rows[:, 0] >= to_ms(RECENTLY)][:200]
        assert np.array_equal(ours, stock, equal_nan=True), kind


def test_rows_from_before_since_and_after_the_page_are_kept_as_evidence(sandbox: Sandbox) -> None:
    rows = run(page_of("kraken", sandbox.url("kraken"), RECENTLY, 10)).rows
    assert rows[-1, 0] == (to_ms(NOW) // 60_000 - 1) * 60_000
    assert len(rows) == 480


# -- junk answers


@pytest.mark.parametrize("exchange", sorted({*all_venues(), "bingx", "whitebit", "poloniex", "xt", "lbank", "bitvavo"}))
@pytest.mark.parametrize("junk", ["<html>Just a moment...</html>", "", '{"data": [[1718'])
def test_junk_is_an_error_on_every_exchange_and_never_an_empty_page(exchange: str, junk: str) -> None:
    async def work() -> FetchError:
        async with serving(says(junk, content_type="text/html")) as url, client_of(exchange, url) as client:
            with pytest.raises(FetchError) as caught:
                await client.fetch_page(Series(exchange, next(iter(client.markets)), MINUTE), YESTERDAY, 100)
            return caught.value

    assert isinstance(run(work()), MalformedAnswer)


EMPTY = {
    "binance": "[]",
    "coinbase": '{"candles":[]}',
    "kraken": '{"error":[],"result":{"%s":[],"last":1}}',
    "okx": '{"code":"0","msg":"","data":[]}',
    "bybit": '{"retCode":0,"retMsg":"OK","result":{"list":[]}}',
}


@pytest.mark.parametrize("exchange", FIVE)
def test_an_empty_list_from_the_exchange_is_an_honest_empty_page(exchange: str) -> None:
    body = EMPTY[exchange].replace("%s", market(exchange, series(exchange).symbol).market_id)
    page = answered(exchange, says(body))
    assert page.rows.shape == (0, 6)


def test_a_candle_without_a_time_is_malformed() -> None:
    for start in ("null", '""', "-1", "9e99"):
        with pytest.raises(MalformedAnswer):
            answered("binance", says(f'[[{start},"1","1","1","1","1"]]'))


def test_kraken_candles_under_another_markets_name_are_malformed() -> None:
    with pytest.raises(MalformedAnswer):
        answered("kraken", says('{"error":[],"result":{"XOTHER":[[1718000000,"1","1","1","1","1","1",1]],"last":1}}'))


# -- traps 2, 3, 12: what is asked


@pytest.mark.parametrize("exchange", FIVE)
def test_one_page_is_one_request_with_a_limit_and_nothing_that_ccxt_would_leak(sandbox: Sandbox, exchange: str) -> None:
    run(page_of(exchange, sandbox.url(exchange), RECENTLY, venue_of(exchange).page_size))
    (request,) = sandbox.requests(exchange)
    assert request["kind"] == "candles"
    assert not {"until", "paginate", "paginationCalls"} & set(request["query"])
    if exchange not in ("kraken", "coinbase"):  # these two exchanges have no such parameter
        assert request["query"]["limit"] == str(venue_of(exchange).page_size)


def test_a_symbol_that_was_not_given_costs_no_request(sandbox: Sandbox) -> None:
    async def work() -> int:
        async with client_of("binance", sandbox.url("binance")) as client:
            with pytest.raises(UnknownSymbol, match="NOPE/USDT"):
                await client.fetch_page(Series("binance", "NOPE/USDT", MINUTE), YESTERDAY, 10)
            return client.requests

    assert run(work()) == 0


# -- event loops


def test_a_client_may_be_opened_in_one_event_loop_after_another(sandbox: Sandbox) -> None:
    client = client_of("binance", sandbox.url("binance"))

    async def work() -> int:
        async with client:
            return len((await client.fetch_page(series("binance"), YESTERDAY, 10)).rows)

    assert [run(work()) for _ in range(3)] == [10, 10, 10]


def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="use `async with`"):
        run(client_of("binance", "http://127.0.0.1:1").fetch_page(series("binance"), YESTERDAY, 10))


# -- traps 6, 7, 8, 9: pace


def test_a_failed_request_is_not_repeated_by_ccxt() -> None:
    asked = itertools.count()

    async def fail(_: web.BaseRequest) -> web.StreamResponse:
        next(asked)
        return web.Response(status=500)

    with pytest.raises(TransientError):
        answered("binance", fail)
    assert next(asked) == 1


async def at_once(client: ExchangeClient, exchange: str, count: int) -> None:
    await asyncio.gather(*(client.fetch_page(series(exchange), YESTERDAY, 2) for _ in range(count)))


@pytest.mark.alone
@pytest.mark.parametrize(("exchange", "interval"), [("binance", 0.02), ("bybit", 0.1 / 6), ("coinbase", 0.34 / 3)])
def test_requests_are_spaced_from_the_first_one_on(sandbox: Sandbox, exchange: str, interval: float) -> None:
    async def work() -> float:
        async with client_of(exchange, sandbox.url(exchange), paced=True, pace_share=1.0) as client:
            await at_once(client, exchange, 12)
            return client.pacer.spacing

    assert run(work()) == pytest.approx(interval)
    moments = [entry["monotonic"] for entry in sandbox.requests(exchange)]
    # On a busy machine the requests possibly arrive late. Without a pace, they would arrive in a burst.
    assert moments[-1] - moments[0] > 11 * interval * 0.6


@pytest.mark.alone
@pytest.mark.parametrize("retry_after", [0, 1])
def test_a_running_client_keeps_the_rest_requested_from_another_process(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, retry_after: int
) -> None:
    """Two clients (such as a backfill and a poll) share only the stored state."""
    monkeypatch.setattr("titan10_dagster.exchanges.breaker.CONFIRMED_FOR", 0.0)
    store = MemoryHealthStore()

    def opened() -> ExchangeClient:
        client = client_of("binance", sandbox.url("binance"), paced=True, breaker=Breaker("binance", store, now))
        client.confirm = Breaker("binance", store, now).confirm
        return client

    async def work() -> float:
        async with opened() as backfill, opened() as poll:
            await backfill.fetch_page(series("binance"), YESTERDAY, 2)
            sandbox.fault("binance", "http_429", count=1, retry_after=retry_after)
            with pytest.raises(Throttled):
                await poll.fetch_page(series("binance"), YESTERDAY, 2)
            await at_once(backfill, "binance", 3)
            return backfill.pacer.share

    share = run(work())
    moments = [entry["monotonic"] for entry in sandbox.requests("binance")]
    assert moments[2] - moments[1] >= retry_after
    assert share == pytest.approx(0.5, abs=0.02)


@pytest.mark.alone
def test_a_share_of_the_pace_leaves_the_rest_to_others(sandbox: Sandbox) -> None:
    async def work() -> None:
        async with client_of("binance", sandbox.url("binance"), paced=True, pace_share=0.2) as client:
            await at_once(client, "binance", 6)

    run(work())
    moments = [entry["monotonic"] for entry in sandbox.requests("binance")]
    assert moments[-1] - moments[0] > 5 * 0.1 * 0.6  # at the full pace, the requests would take a fifth of this time


@pytest.mark.parametrize("exchange", FIVE)
def test_the_table_has_the_charge_of_ccxt_for_a_page(sandbox: Sandbox, exchange: str) -> None:
    async def work() -> float:
        async with client_of(exchange, sandbox.url(exchange), paced=True, pace_share=1.0) as client:
            # on okx, the newest candles cost half
            await client.fetch_page(series(exchange), YESTERDAY - timedelta(days=5), 2)
            return client.pacer.spacing

    assert run(work()) == pytest.approx(venue_of(exchange).page_seconds)


def test_a_slow_exchange_gets_few_requests_at_once_and_a_fast_one_many(sandbox: Sandbox) -> None:
    async def work(exchange: str) -> int:
        async with client_of(exchange, sandbox.url(exchange), paced=True) as client:
            await client.fetch_page(series(exchange), RECENTLY, 2)
            return client.concurrency

    assert run(work("kraken")) == 2
    assert 20 <= run(work("binance")) <= 30


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="pace_share"):
        ExchangeClient("binance", pace_share=share)


def test_each_status_belongs_to_its_own_request_with_concurrent_requests() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        limit = int(request.query["limit"])
        await asyncio.sleep(0.01 * (limit % 3))
        return web.Response(status=400 + limit, text="no")

    async def work() -> list[int | None]:
        async with serving(answer) as url, client_of("binance", url) as client:
            pages = (client.fetch_page(series("binance"), YESTERDAY, limit) for limit in range(20, 40))
            errors = await asyncio.gather(*pages, return_exceptions=True)
            return [error.status for error in errors if isinstance(error, FetchError)]

    assert run(work()) == list(range(420, 440))


def test_requests_go_to_the_proxy_instead_of_the_exchange() -> None:
    seen: list[str] = []

    async def proxy(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(f"{request.host}{request.rel_url}")
        return web.Response(text="[]", content_type="application/json")

    async def work() -> Page:
        async with serving(proxy) as url, client_of("binance", "http://exchange.invalid/prefix", proxy=url) as client:
            return await client.fetch_page(series("binance"), YESTERDAY, 10)

    assert not len(run(work()).rows)
    assert seen[0].startswith("exchange.invalid/prefix/api/v3/klines?")


# -- markets


@pytest.mark.parametrize("exchange", FIVE)
def test_all_spot_markets_come_in_one_request_and_then_fetch_candles(sandbox: Sandbox, exchange: str) -> None:
    async def work() -> tuple[list[Market], int]:
        async with ExchangeClient(exchange, base_url=sandbox.url(exchange), now=now) as client:
            return await client.fetch_markets(), client.requests

    markets, requests = run(work())
    assert requests == 1
    assert {market_.symbol for market_ in markets} >= set(symbols(exchange, 5))
    assert markets == sorted(markets, key=lambda market_: market_.symbol)
    # ccxt's `created` is not used as the listing date.
    assert all(market_.type == "spot" and market_.listed is None for market_ in markets)
    known = next(market_ for market_ in markets if market_.symbol == series(exchange).symbol)
    assert known.market_id == market(exchange, known.symbol).market_id
    assert json.loads(json.dumps(dict(known.extra))) == dict(known.extra)

    async def fetch() -> int:
        async with ExchangeClient(exchange, [known], base_url=sandbox.url(exchange), paced=False, now=now) as client:
            return len((await client.fetch_page(series(exchange), RECENTLY, 50)).rows)

    sandbox.clear_requests(exchange)
    assert run(fetch()) >= 45
    assert len(sandbox.requests(exchange)) == 1


def test_a_list_without_markets_is_malformed() -> None:
    async def work() -> None:
        async with serving(says('{"symbols":[]}')) as url, client_of("binance", url) as client:
            await client.fetch_markets()

    with pytest.raises(MalformedAnswer, match="no spot market"):
        run(work())


def test_a_market_of_another_type_can_be_described() -> None:
    perpetual = Market(
        "binance", "BTC/USDT:USDT", "BTCUSDT", "BTC", "USDT", "BTC", "USDT", True, "swap", extra={"linear": True}
    )
    described = ccxt_market(perpetual)
    assert described["swap"] is True
    assert described["linear"] is True
    assert "spot" not in described


PHEMEX = {
    "/v1/exchange/public/products": {"code": 0, "data": []},
    "/public/products": {
        "code": 0,
        "data": {
            "currencies": [{"currency": "BTC", "valueScale": 8}],
            "products": [
                {
                    "symbol": "sBTCUSDT",
                    "type": "Spot",
                    "displaySymbol": "BTC / USDT",
                    "baseCurrency": "BTC",
                    "quoteCurrency": "USDT",
                    "priceScale": 8,
                    "status": "Listed",
                }
            ],
        },
    },
    "/exchange/public/md/v2/kline": {
        "code": 0,
        "data": {
            "rows": [[1718848740, 60, 0, 6500012000000, 6500100000000, 6499900000000, 6500050000000, 150000000, 1]]
        },
    },
}


def test_phemex_volumes_use_the_units_of_its_market_list() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(PHEMEX[request.path])

    async def work() -> Page:
        async with serving(answer) as url:
            async with ExchangeClient("phemex", base_url=url, paced=False, now=now) as client:
                (listed,) = await client.fetch_markets()
            stored = replace(listed, extra=json.loads(json.dumps(dict(listed.extra))))
            async with ExchangeClient("phemex", [stored], base_url=url, paced=False, now=now) as client:
                return await client.fetch_page(Series("phemex", "BTC/USDT", MINUTE), RECENTLY, 1000)

    assert run(work()).rows.tolist() == [[1718848740000, 65000.12, 65001.0, 64999.0, 65000.5, 1.5]]


def read_of_a_market(exchange: str) -> set[str]:
    """The fields of a market that ccxt's class reads when it fetches candles and parses them."""
    class_ = getattr(async_support, exchange)
    methods = [getattr(class_, name, None) for name in ("fetch_ohlcv", "parse_ohlcv", "from_ep", "from_ev")]
    source = "".join(inspect.getsource(method) for method in methods if method is not None)
    return set(re.findall(r"(?:market\[|safe_\w+\(market, )'(\w+)'", source))


@pytest.mark.parametrize("exchange", all_venues())
def test_whatever_ccxt_reads_of_a_market_to_fetch_candles_is_kept(exchange: str) -> None:
    # The record of the exchange is ten times as large as all other fields. okx's class reads it only for candles of an
    # index.
    unknown = {"info"}
    kinds = {"spot", "swap", "future", "option", "contract"}
    read = read_of_a_market(exchange) - unknown
    raw = {field: field for field in {*read, "symbol", "id", "base", "quote", "baseId", "quoteId", "type"}}
    assert read - kinds <= set(ccxt_market(market_of(venue_of(exchange), raw)))


def test_nothing_is_left_open(recwarn: pytest.WarningsRecorder, sandbox: Sandbox) -> None:
    run(page_of("binance", sandbox.url("binance")))
    gc.collect()
    assert not recwarn.list


# -- the clock


@pytest.mark.parametrize(("hours", "way"), [(-2, "ahead of"), (2, "behind")])
def test_a_clock_that_is_hours_off_is_an_error_and_no_candle_is_accepted(hours: int, way: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    with pytest.raises(
        Refused, match=rf"this machine's clock is off by 120 minutes \({way} the exchange's clock\)"
    ) as caught:
        answered("binance", says("[]", headers={"Date": date}))
    assert caught.value.status is None  # None, because the exchange did not refuse the request


def dated(seconds: float, **headers: str) -> dict[str, str]:
    """Return the headers of an exchange with a clock this far ahead of ours."""
    return {"Date": format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True), **headers}


@pytest.mark.parametrize(
    ("ahead", "age", "earlier"), [(-30, 0, 30), (-240, 0, 240), (30, 0, 0), (0, 0, 0), (-60, 60, 60), (0, 3600, 3600)]
)
def test_a_candle_ends_by_the_earlier_of_two_clocks(ahead: int, age: int, earlier: int) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="[]", content_type="application/json", headers=dated(ahead, Age=str(age)))

    requested_at = answered("binance", answer).requested_at
    assert (NOW - requested_at).total_seconds() == pytest.approx(earlier, abs=3 if earlier else 0)


def test_an_answer_that_takes_its_time_says_nothing_of_the_clock() -> None:
    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        headers = dated(0)
        await asyncio.sleep(3.2)
        return web.Response(text="[]", content_type="application/json", headers=headers)

    assert answered("binance", slow).requested_at == NOW


@pytest.mark.parametrize("headers", [{"Date": "yesterday"}, {}])
def test_an_answer_without_a_readable_date_does_not_move_the_clock(headers: dict[str, str]) -> None:
    assert len(answered("binance", says("[]", headers=headers)).rows) == 0


def test_an_answer_from_a_cache_is_as_old_as_it_says() -> None:
    made = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    assert len(answered("binance", says("[]", headers={"Date": made, "Age": "3600"})).rows) == 0


def test_an_age_of_many_years_is_ignored() -> None:
    answer = says("[]", headers={**dated(0), "Age": str(2**31)})
    assert answered("binance", answer).requested_at == NOW


@pytest.mark.parametrize("exchange", ["bybit", "cryptocom"])
@pytest.mark.parametrize("named", ["ETHUSDT", "BTCUSDT", "btcusdt", None, 7])
def test_candles_of_another_market_are_not_accepted(exchange: str, named: Any) -> None:
    bodies = {
        "bybit": {"retCode": 0, "result": {"symbol": named, "list": [["1718755200000", "1", "2", "1", "2", "3", "4"]]}},
        "cryptocom": {
            "code": 0,
            "result": {
                "instrument_name": named,
                "data": [{"t": 1718755200000, "o": "1", "h": "2", "l": "1", "c": "2", "v": "3"}],
            },
        },
    }
    handler = says(json.dumps(bodies[exchange]))
    if named == "ETHUSDT":
        with pytest.raises(MalformedAnswer, match="candles of the market 'ETHUSDT' instead of 'BTCUSDT'"):
            answered_plain(exchange, handler)
    else:
        assert len(answered_plain(exchange, handler).rows) == 1


T0, ROW_OF_UPBIT = (
    1718755200000,
    {
        "candle_date_time_utc": "2024-06-19T00:00:00",
        "opening_price": 1,
        "high_price": 2,
        "low_price": 1,
        "trade_price": 2,
        "candle_acc_trade_volume": 3,
    },
)
VALUES = {"o": "1", "h": "2", "l": "1", "c": "2", "v": "3"}
FULL_NAMES = {"open": "1", "high": "2", "low": "1", "close": "2", "volume": "3"}
# for each exchange: the id of the requested market, the name of this and of another market, and the answer for a name
NAMED: dict[str, tuple[str, str, str, Callable[[Any], Any]]] = {
    "upbit": ("KRW-BTC", "KRW-BTC", "KRW-ETH", lambda name: [{"market": name, **ROW_OF_UPBIT}]),
    "bithumb": ("KRW-BTC", "KRW-BTC", "KRW-ETH", lambda name: [{"market": name, **ROW_OF_UPBIT}]),
    "bitrue": ("BTCKRW", "BTCKRW", "ETHKRW", lambda name: {"symbol": name, "data": [{"i": T0 // 1000, **VALUES}]}),
    "hyperliquid": ("@107", "@107", "@108", lambda name: [{"t": T0, "T": T0 + 59_999, "s": name, **VALUES}]),
    "bitstamp": (
        "btckrw",
        "BTC/KRW",
        "ETH/KRW",
        lambda name: {"data": {"pair": name, "ohlc": [{"timestamp": T0 // 1000, **FULL_NAMES}]}},
    ),
    "htx": (
        "btckrw",
        "market.btckrw.kline.1min",
        "market.ethkrw.kline.1min",
        lambda name: {
            "status": "ok",
            "ch": name,
            "data": [{"id": T0 // 1000, "open": 1, "close": 2, "low": 1, "high": 2, "amount": 3, "vol": 6}],
        },
    ),
}


@pytest.mark.parametrize("exchange", NAMED)
def test_candles_of_another_named_market_are_not_accepted(exchange: str) -> None:
    market_id, own, other, answer = NAMED[exchange]
    requested = Market(exchange, "BTC/KRW", market_id, "BTC", "KRW", "BTC", "KRW", active=True)

    async def page(name: Any) -> Page:
        async with (
            serving(says(json.dumps(answer(name)))) as url,
            ExchangeClient(exchange, [requested], base_url=url, paced=False, now=now) as client,
        ):
            return await client.fetch_page(Series(exchange, "BTC/KRW", MINUTE), YESTERDAY, 100)

    for name in (own, None, 7, ""):
        assert len(run(page(name)).rows) == 1
    with pytest.raises(MalformedAnswer, match=r"candles of the market '.*' instead of"):
        run(page(other))


def kraken_says(*errors: Any, rows: bool = True) -> Handler:
    start = to_ms(RECENTLY) // 1000
    row = [start, "1", "2", "1", "2", "1.5", "3", 7]
    result = {"XXBTZUSD": [row, [start + 60, *row[1:]]], "last": start}
    return says(json.dumps({"error": errors, **({"result": result} if rows else {})}))


def test_candles_that_come_with_warnings_are_accepted(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        page = answered_kraken(kraken_says("WGeneral:Danger", "WDatabase:No change"))
        assert page.rows.tolist() == [[to_ms(RECENTLY), 1, 2, 1, 2, 3]]
    assert [record.getMessage().count("WGeneral:Danger") for record in caplog.records].count(1) == 1


@pytest.mark.parametrize(
    "handler",
    [
        kraken_says("WGeneral:Danger", "EGeneral:Internal error"),
        kraken_says("EService:Busy"),
        kraken_says("WGeneral:Danger", rows=False),
        kraken_says(7),
    ],
)
def test_an_error_beside_warnings_is_an_error(handler: Handler) -> None:
    with pytest.raises(FetchError):
        answered_kraken(handler)


def answered_kraken(handler: Handler) -> Page:
    known = Market("kraken", "BTC/USD", "XXBTZUSD", "BTC", "USD", "XXBT", "ZUSD", active=True)

    async def work() -> Page:
        async with (
            serving(handler) as url,
            ExchangeClient("kraken", [known], base_url=url, paced=False, now=now) as client,
        ):
            return await client.fetch_page(Series("kraken", "BTC/USD", MINUTE), RECENTLY, 100)

    return run(work())


def answered_plain(exchange: str, handler: Handler) -> Page:
    async def work() -> Page:
        async with (
            serving(handler) as url,
            ExchangeClient(exchange, [plain(exchange)], base_url=url, paced=False, now=now) as client,
        ):
            return await client.fetch_page(Series(exchange, "BTC/USDT", MINUTE), YESTERDAY, 100)

    return run(work())


def test_btcturk_answers_in_columns_which_its_own_class_reads() -> None:
    start = int(RECENTLY.timestamp())
    columns = {
        "s": "ok",
        "t": [start, start + 60, start + 120],
        "o": [2.0, 3.0, 4.0],
        "h": [2.5, 3.5, 4.5],
        "l": [1.5, 2.5, 3.5],
        "c": [2.25, 3.25, 4.25],
        "v": [10.0, 11.0, 12.0],
    }
    market = Market("btcturk", "BTC/TRY", "BTCTRY", "BTC", "TRY", "BTC", "TRY", active=True)

    async def work() -> Page:
        async with (
            serving(says(json.dumps(columns))) as url,
            ExchangeClient("btcturk", [market], base_url=url, paced=False, now=now) as client,
        ):
            return await client.fetch_page(Series("btcturk", "BTC/TRY", MINUTE), RECENTLY, 3)

    page = run(work())
    first = to_ms(RECENTLY)
    assert page.rows.tolist() == [
        [first, 2.0, 2.5, 1.5, 2.25, 10.0],
        [first + 60_000, 3.0, 3.5, 2.5, 3.25, 11.0],
        [first + 120_000, 4.0, 4.5, 3.5, 4.25, 12.0],
    ]
