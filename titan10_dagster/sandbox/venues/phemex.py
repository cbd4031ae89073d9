"""Phemex spot REST: `GET /exchange/public/md/v2/kline`, `GET /public/products`. Numbers are scaled integers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against
from titan10_dagster.sandbox.venues.wire import (
    DAY,
    EMPTY,
    HOUR,
    MINUTE,
    NULL,
    Candle,
    CandleRequest,
    Edges,
    Refused,
    WireFormat,
    enclosed,
    step_text,
)

_SECONDS = (MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR, DAY)
_SCALE = 8
_LIMITS = {5, 10, 50, 100, 500, 1_000}
_PRODUCTS = "/public/products"


def _naming(base: str, quote: str) -> MarketName:
    return MarketName(f"s{base}{quote}", base, quote)


def _adjust(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    if int(query.get("limit") or 100) not in _LIMITS:
        raise Refused("bad_limit")
    return request


def _scaled(text: str) -> str:
    if text in {NULL, EMPTY, "NaN"}:
        return text
    return str(int(Decimal(text).scaleb(_SCALE)))


def _row(candle: Candle) -> str:
    prices = [_scaled(text) for text in (candle.open, candle.high, candle.low, candle.close)]
    turnover = _scaled(candle.turnover())
    return (
        f"[{candle.time // 1000},{candle.seconds},{prices[0]},{','.join(prices)},{_scaled(candle.volume)},{turnover}]"
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": instrument.name.market_id,
        "type": "Spot",
        "displaySymbol": f"{instrument.base} / {instrument.quote}",
        "quoteCurrency": instrument.name.quote_id,
        "priceScale": _SCALE,
        "ratioScale": 8,
        "baseCurrency": instrument.name.base_id,
        "baseTickSize": f"{step_text(instrument.volume_decimals)} {instrument.base}",
        "quoteTickSize": f"{step_text(instrument.price_decimals)} {instrument.quote}",
        "minOrderValue": f"1 {instrument.quote}",
        "maxBaseOrderSize": f"1000 {instrument.base}",
        "maxOrderValue": f"5,000,000 {instrument.quote}",
        "defaultTakerFee": "0.001",
        "defaultMakerFee": "0.001",
        "status": "Delisted" if instrument.is_delisted(now_ms) else "Listed",
        "listTime": instrument.listed_ms,
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    if path != _PRODUCTS:
        return {"code": 0, "msg": "OK", "data": []}
    # The fault bad_markets adds records without currency.
    bases = {record["baseCurrency"] for record in records if isinstance(record, dict) and "baseCurrency" in record}
    names = sorted(bases | {"USDT"})
    currencies = [{"currency": name, "code": 1, "valueScale": _SCALE} for name in names]
    return {"code": 0, "msg": "", "data": {"currencies": currencies, "products": records, "perpProductsV2": []}}


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(status, f'{{"code":{code},"msg":"{text}","data":null}}')


VENUE = SandboxVenue(
    id="phemex",
    port=18821,
    naming=_naming,
    symbols=(*against("USDT"), "ETH/BTC"),
    opens="2020-05-13T03:00:00Z",
    names_delisted=True,
    page_limit=1_000,
    descending=True,
    empty_minutes="filled",
    turnover=0.05,
    quiet=6.0,
    price_decimals=8,
    limits=(
        RateLimit(
            name="kline weight per minute",
            allowed=100,
            window=60,
            kind="sliding",
            source="phemex-docs.github.io, API rate limits: OTHERS group 100 a minute; kline has weight 10",
            paths="/kline",
            cost={"candles": 10},
        ),
    ),
    refusals={
        "throttled": _error(429, 39995, "Too many requests."),
        "banned": _error(429, 39995, "Too many requests."),
        "unknown_symbol": _error(400, 39997, "Invalid symbol"),
        "closed_market": _error(400, 39997, "Invalid symbol"),
        "bad_limit": _error(400, 30018, "phemex.data.size.uplimt"),
        "bad_request": _error(400, 30000, "Please double check input arguments"),
        "bad_interval": _error(400, 30000, "Please double check input arguments"),
        "internal": _error(500, 10500, "internal error"),
    },
    wire=WireFormat(
        candles="/exchange/public/md/v2/kline",
        markets=f"{_PRODUCTS}|/v1/exchange/public/products",
        others={"/public/time": lambda now_ms: {"code": 0, "msg": "", "data": {"serverTime": now_ms}}},
        timeframes={str(seconds): seconds for seconds in _SECONDS},
        default_limit=100,
        timeframe="resolution",
        edges=Edges(start_ignored="always"),
        adjust=_adjust,
        row=_row,
        page=enclosed(b'{"code":0,"msg":"OK","data":{"total":-1,"rows":[', b"]}}"),
        record=_record,
        listing=_listing,
        null_page=b'{"code":0,"msg":"OK","data":{"total":-1,"rows":null}}',
    ),
    sources=(
        "phemex-docs.github.io, Query kline: limit is one of 5, 10, 50, 100, 500, 1000; prices are scaled integers",
        "A request without a start gets the last rows, newest first; empty minutes are flat rows (assumed)",
        "ccxt maps the code 39997 to BadSymbol; the text of this error is assumed",
    ),
)
