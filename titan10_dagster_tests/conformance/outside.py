"""Sandbox venues of exchanges that the product has no record of, from their public documents.

The product knows these exchanges only through ccxt. Each venue has a habit that could cost candles:

| exchange | habit |
|-|-|
| whitebit, xt, poloniex | a request with a start and no end may return the newest rows |
| bitvavo | ccxt sends an end, which is inclusive; the newest rows are returned, so the first minute may be cut off |
| btcturk | candles come as columns, and ccxt's class reads them with its own `parse_ohlcvs` |

`VENUES` of the sandbox does not have these venues. A test adds a venue with `monkeypatch.setitem`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, joined
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, Edges, PageContext, WireFormat, enclosed

_NAMED = {"1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "4h": 4 * HOUR, "1d": DAY}
_LIMITS = (RateLimit(name="requests", allowed=1_000, window=10, kind="sliding", source="not checked here"),)


def _refusals(unknown_symbol: Refusal) -> Mapping[str, Refusal]:
    return {"unknown_symbol": unknown_symbol, "closed_market": unknown_symbol}


# -- whitebit: GET /api/v1/public/kline?market=BTC_USDT&interval=1m&start=SECONDS&limit=1440


def _whitebit_row(candle: Candle) -> str:
    prices = f'"{candle.open}","{candle.close}","{candle.high}","{candle.low}"'
    return f'[{candle.time // 1000},{prices},"{candle.volume}","{candle.turnover()}"]'


def _whitebit_market(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "name": instrument.name.market_id,
        "stock": instrument.name.base_id,
        "money": instrument.name.quote_id,
        "stockPrec": str(instrument.volume_decimals),
        "moneyPrec": str(instrument.price_decimals),
        "feePrec": "4",
        "makerFee": "0.1",
        "takerFee": "0.1",
        "minAmount": "0.001",
        "minTotal": "5.05",
        "maxTotal": "1000000",
        "tradesEnabled": not instrument.is_delisted(now_ms),
        "isCollateral": False,
        "type": "spot",
    }


WHITEBIT = SandboxVenue(
    id="whitebit",
    port=0,
    naming=joined("_"),
    symbols=("BTC/USDT", "ETH/USDT", "ALGO/USDT"),
    opens="2019-01-01T00:00:00Z",
    page_limit=1_440,
    descending=False,
    empty_minutes="filled",
    limits=_LIMITS,
    refusals=_refusals(Refusal(422, '{"success":false,"message":{"market":["Market is not available."]},"result":[]}')),
    wire=WireFormat(
        candles="/api/v1/public/kline",
        markets="/api/v4/public/markets",
        timeframes=_NAMED,
        default_limit=1_440,
        symbol="market",
        start="start",
        end="end",
        unit=1_000,
        row=_whitebit_row,
        page=enclosed(b'{"success":true,"message":"","result":[', b"]}"),
        record=_whitebit_market,
        listing=lambda records, path, query: records,
        null_page=b'{"success":true,"message":"","result":null}',
    ),
    sources=("docs.whitebit.com, public v1 kline: limit at most 1440, start and end in seconds",),
)


# -- xt: GET /v4/public/kline?symbol=btc_usdt&interval=1m&startTime=MS&limit=1000


def _xt_naming(base: str, quote: str) -> MarketName:
    return MarketName(f"{base}_{quote}".lower(), base.lower(), quote.lower())


def _xt_row(candle: Candle) -> str:
    prices = f'"o":"{candle.open}","c":"{candle.close}","h":"{candle.high}","l":"{candle.low}"'
    return f'{{"t":{candle.time},{prices},"q":"{candle.volume}","v":"{candle.turnover()}"}}'


def _xt_market(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    is_open = not instrument.is_delisted(now_ms)
    return {
        "symbol": instrument.name.market_id,
        "state": "ONLINE" if is_open else "DELISTED",
        "tradingEnabled": is_open,
        "openapiEnabled": is_open,
        "baseCurrency": instrument.name.base_id,
        "quoteCurrency": instrument.name.quote_id,
        "pricePrecision": instrument.price_decimals,
        "quantityPrecision": instrument.volume_decimals,
        "filters": [],
    }


XT = SandboxVenue(
    id="xt",
    port=0,
    naming=_xt_naming,
    symbols=("BTC/USDT", "ETH/USDT", "ALGO/USDT"),
    opens="2021-01-01T00:00:00Z",
    page_limit=1_000,
    descending=True,
    empty_minutes="filled",
    limits=_LIMITS,
    refusals=_refusals(Refusal(200, '{"rc":1,"mc":"SYMBOL_001","ma":[],"result":null}')),
    wire=WireFormat(
        candles="/v4/public/kline",
        markets="/v4/public/symbol",
        others={"/symbol/list": lambda now_ms: {"returnCode": 0, "msgInfo": "success", "error": None, "result": []}},
        timeframes=_NAMED,
        default_limit=100,
        row=_xt_row,
        page=enclosed(b'{"rc":0,"mc":"SUCCESS","ma":[],"result":[', b"]}"),
        record=_xt_market,
        listing=lambda records, path, query: {"rc": 0, "mc": "SUCCESS", "ma": [], "result": {"symbols": records}},
        null_page=b'{"rc":0,"mc":"SUCCESS","ma":[],"result":null}',
    ),
    sources=("doc.xt.com, market getKLine: limit 1 to 1000, default 100; the newest row comes first",),
)


# -- poloniex: GET /markets/BTC_USDT/candles?interval=MINUTE_1&startTime=MS&limit=500

_POLONIEX_TIMEFRAMES = {"MINUTE_1": MINUTE, "MINUTE_5": 5 * MINUTE, "HOUR_1": HOUR, "DAY_1": DAY}


def _poloniex_row(candle: Candle) -> str:
    amount = candle.turnover()
    prices = f'"{candle.low}","{candle.high}","{candle.open}","{candle.close}"'
    shares = f'"{amount}","{candle.volume}","{amount}","{candle.volume}"'
    return f'[{prices},{shares},7,{candle.last_ms + 1},"{candle.close}","MINUTE_1",{candle.time},{candle.last_ms}]'


def _poloniex_market(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": instrument.name.market_id,
        "baseCurrencyName": instrument.name.base_id,
        "quoteCurrencyName": instrument.name.quote_id,
        "displayName": instrument.symbol,
        "state": "PAUSE" if instrument.is_delisted(now_ms) else "NORMAL",
        "visibleStartTime": 1_659_018_819_512,
        "tradableStartTime": 1_659_018_819_512,
        "symbolTradeLimit": {
            "symbol": instrument.name.market_id,
            "priceScale": instrument.price_decimals,
            "quantityScale": instrument.volume_decimals,
            "minQuantity": "0.000001",
            "minAmount": "1",
        },
    }


POLONIEX = SandboxVenue(
    id="poloniex",
    port=0,
    naming=joined("_"),
    symbols=("BTC/USDT", "ETH/USDT", "ALGO/USDT"),
    opens="2022-08-01T00:00:00Z",
    page_limit=500,
    descending=False,
    empty_minutes="filled",
    limits=_LIMITS,
    refusals=_refusals(Refusal(400, '{"code":24102,"message":"Invalid symbol"}')),
    wire=WireFormat(
        candles="/markets/(?P<symbol>[^/]+)/candles",
        markets="/markets",
        others={"/v3/market/allInstruments": lambda now_ms: {"code": 200, "msg": "Success", "data": []}},
        timeframes=_POLONIEX_TIMEFRAMES,
        default_limit=100,
        row=_poloniex_row,
        page=enclosed(b"[", b"]"),
        record=_poloniex_market,
        listing=lambda records, path, query: records,
        null_page=b"null",
    ),
    sources=("api-docs.poloniex.com, spot candles: limit at most 500, 14 fields, the times come last",),
)


# -- bitvavo: GET /v2/BTC-EUR/candles?interval=1m&start=MS&end=MS&limit=1440


def _bitvavo_row(candle: Candle) -> str:
    return f'[{candle.time},"{candle.open}","{candle.high}","{candle.low}","{candle.close}","{candle.volume}"]'


def _bitvavo_market(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "market": instrument.name.market_id,
        "status": "halted" if instrument.is_delisted(now_ms) else "trading",
        "base": instrument.name.base_id,
        "quote": instrument.name.quote_id,
        "pricePrecision": 5,
        "tickSize": "0.00001",
        "quantityDecimals": instrument.volume_decimals,
        "notionalDecimals": 2,
        "minOrderInBaseAsset": "0.0001",
        "minOrderInQuoteAsset": "5",
        "orderTypes": ["market", "limit"],
    }


BITVAVO = SandboxVenue(
    id="bitvavo",
    port=0,
    naming=joined("-"),
    symbols=("BTC/EUR", "ETH/EUR", "ALGO/EUR"),
    opens="2019-03-08T00:00:00Z",
    page_limit=1_440,
    descending=True,
    empty_minutes="missing",
    limits=_LIMITS,
    refusals=_refusals(Refusal(400, '{"errorCode":205,"error":"market parameter is invalid."}')),
    wire=WireFormat(
        candles="/v2/(?P<market>[^/]+)/candles",
        markets="/v2/markets",
        timeframes=_NAMED,
        default_limit=1_440,
        symbol="market",
        start="start",
        end="end",
        edges=Edges(keep="newest"),
        row=_bitvavo_row,
        page=enclosed(b"[", b"]"),
        record=_bitvavo_market,
        listing=lambda records, path, query: records,
        null_page=b"null",
    ),
    sources=(
        "docs.bitvavo.com, Get candles: limit 1 to 1440; minutes without trades are absent; the newest comes first",
    ),
)


# -- btcturk: GET /v1/klines/history?symbol=BTCUSDT&resolution=1&from=SECONDS&to=SECONDS


def _btcturk_row(candle: Candle) -> str:
    values = ",".join((candle.open, candle.high, candle.low, candle.close, candle.volume))
    return f"[{candle.time // 1000},{values}]"


def _btcturk_page(rows: bytes, context: PageContext) -> bytes:
    """Return the rows as columns. The numbers keep their digits, because they are read and written as floats."""
    read = orjson.loads(b"[" + rows + b"]")
    columns = zip(*read, strict=True) if read else ([] for _ in "tohlcv")
    page = dict(zip("tohlcv", map(list, columns), strict=True))
    return orjson.dumps({"s": "ok" if read else "no_data", **page})


def _btcturk_market(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "name": instrument.name.market_id,
        "nameNormalized": f"{instrument.base}_{instrument.quote}",
        "status": "CLOSED" if instrument.is_delisted(now_ms) else "TRADING",
        "numerator": instrument.name.base_id,
        "denominator": instrument.name.quote_id,
        "numeratorScale": instrument.volume_decimals,
        "denominatorScale": instrument.price_decimals,
        "hasFraction": False,
        "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "10000000", "tickSize": "0.01"}],
    }


BTCTURK = SandboxVenue(
    id="btcturk",
    port=0,
    naming=joined(),
    symbols=("BTC/USDT", "ETH/USDT", "ALGO/USDT"),
    opens="2018-06-14T00:00:00Z",
    page_limit=11_000,
    descending=False,
    empty_minutes="missing",
    limits=_LIMITS,
    refusals=_refusals(Refusal(400, '{"success":false,"message":"INVALID_PAIR","code":1103,"data":null}')),
    wire=WireFormat(
        candles="/v1/klines/history",
        markets="/api/v2/server/exchangeinfo",
        timeframes={"1": MINUTE, "15": 15 * MINUTE, "30": 30 * MINUTE, "60": HOUR, "240": 4 * HOUR, "1 d": DAY},
        default_limit=11_000,
        timeframe="resolution",
        start="from",
        end="to",
        unit=1_000,
        row=_btcturk_row,
        page=_btcturk_page,
        record=_btcturk_market,
        listing=lambda records, path, query: {"data": {"timeZone": "UTC", "symbols": records}, "success": True},
        null_page=b'{"s":"no_data","t":null,"h":null,"o":null,"l":null,"c":null,"v":null}',
    ),
    sources=("docs.btcturk.com, OHLC data: from and to in seconds, at most 11,000 candles, columns t, h, o, l, c, v",),
)

OUTSIDE: Mapping[str, SandboxVenue] = {venue.id: venue for venue in (WHITEBIT, XT, POLONIEX, BITVAVO, BTCTURK)}
