"""Coinbase Advanced Trade REST, public: `GET /api/v3/brokerage/market/products[/{id}/candles]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against, joined
from titan10_dagster.sandbox.venues.wire import (
    DAY,
    HOUR,
    MINUTE,
    Candle,
    CandleRequest,
    Edges,
    Refused,
    WireFormat,
    enclosed,
    step_text,
)

_TIMEFRAMES = {
    "ONE_MINUTE": MINUTE, "FIVE_MINUTE": 5 * MINUTE, "FIFTEEN_MINUTE": 15 * MINUTE, "THIRTY_MINUTE": 30 * MINUTE,
    "ONE_HOUR": HOUR, "TWO_HOUR": 2 * HOUR, "SIX_HOUR": 6 * HOUR, "ONE_DAY": DAY,
}  # fmt: skip
_PRODUCTS = "/api/v3/brokerage/market/products"
_PAGE = 300


def _adjust(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    start, end, step = request.start, request.end, request.seconds * 1_000
    if start is None or end is None or end < start:
        raise Refused("bad_request")
    if end - start > _PAGE * step:
        raise Refused("too_many_candles")
    # the answer includes the candle that contains the requested start
    return replace(request, start=start // step * step)


def _row(candle: Candle) -> str:
    return (
        f'{{"start":"{candle.time // 1000}","low":"{candle.low}","high":"{candle.high}","open":"{candle.open}",'
        f'"close":"{candle.close}","volume":"{candle.volume}"}}'
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    increment = step_text(instrument.price_decimals)
    gone = instrument.is_delisted(now_ms)
    return {
        "product_id": instrument.name.market_id,
        "base_increment": step_text(instrument.volume_decimals),
        "quote_increment": increment,
        "price_increment": increment,
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": "0.00000001",
        "base_max_size": "3400000000",
        "base_name": instrument.base,
        "quote_name": instrument.quote,
        "is_disabled": gone,
        "new": False,
        "status": "delisted" if gone else "online",
        "trading_disabled": gone,
        "product_type": "SPOT",
        "quote_currency_id": instrument.name.quote_id,
        "base_currency_id": instrument.name.base_id,
        "alias": "",
        "alias_to": [],
        "view_only": False,
        "display_name": instrument.name.market_id,
        "product_venue": "CBE",
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    products = records if query.get("product_type", "SPOT") == "SPOT" else []
    return {"products": products, "num_products": len(products)}


def _error(status: int, code: str, text: str) -> Refusal:
    return Refusal(status, f'{{"error":"{code}","error_details":"{text}","message":"{text}"}}')


_TOO_FAST = Refusal(429, '{"error":"rate_limit_exceeded","error_details":"","message":"Too many requests"}')

VENUE = SandboxVenue(
    id="coinbase",
    port=18802,
    naming=joined("-"),
    symbols=(*against("USD"), "BTC/USDT", "ETH/USDT", "ETH/BTC", "SOL/USDT"),
    opens="2015-07-20T21:36:00Z",
    listed={"PEPE/USD": "2024-11-13T17:00:00Z", "XRP/USD": "2023-07-13T18:00:00Z"},
    page_limit=_PAGE,
    descending=True,
    empty_minutes="missing",
    turnover=0.3,
    quiet=4.0,
    trim=True,
    limits=(
        RateLimit(
            name="requests per second",
            allowed=10,
            window=1,
            kind="sliding",
            source="docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/rest-api: public endpoints 10 requests "
            "per second per IP; above it status 429",
        ),
    ),
    refusals={
        "throttled": _TOO_FAST,
        "banned": _TOO_FAST,
        "unknown_symbol": _error(404, "NOT_FOUND", "valid product_id is required"),
        "closed_market": _error(404, "NOT_FOUND", "valid product_id is required"),
        "too_many_candles": _error(
            400,
            "INVALID_ARGUMENT",
            "start and end argument is invalid - number of candles requested should be less than 300",
        ),
        "bad_request": _error(400, "INVALID_ARGUMENT", "granularity argument is invalid"),
        "not_found": _error(404, "NOT_FOUND", "not found"),
        "internal": Refusal(500, '{"error":"INTERNAL","error_details":"","message":"Internal server error"}'),
        "maintenance": Refusal(503, '{"error":"UNAVAILABLE","error_details":"","message":"Service unavailable"}'),
        "forbidden": Refusal(403, '{"error":"PERMISSION_DENIED","error_details":"","message":"Forbidden"}'),
    },
    wire=WireFormat(
        candles=_PRODUCTS + "/(?P<symbol>[^/]+)/candles",
        markets=_PRODUCTS,
        others={
            "/v2/currencies": lambda now_ms: {"data": []},
            "/v2/currencies/crypto": lambda now_ms: {"data": []},
            "/v2/exchange-rates": lambda now_ms: {"data": {"currency": "USD", "rates": {}}},
            "/time": lambda now_ms: {"epochSeconds": str(now_ms // 1_000), "epochMillis": str(now_ms)},
        },
        timeframes=_TIMEFRAMES,
        default_limit=_PAGE,
        timeframe="granularity",
        start="start",
        end="end",
        unit=1_000,
        edges=Edges(end="exclusive", keep="newest"),
        adjust=_adjust,
        row=_row,
        page=enclosed(b'{"candles":[', b"]}"),
        record=_record,
        listing=_listing,
        null_page=b'{"candles":null}',
    ),
    sources=(
        "docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-candles",
        "ccxt pull request 25171: at most 300 candles (ccxt requests exactly 300, which is allowed); the error's text: "
        "KmiQ/coinbase-advanced-python pull request 26",
        "`end` is assumed to be exclusive (not documented)",
        "Empty minutes are absent (docs); an answer can have rows before `start` (coinbasepro-python issue 269)",
    ),
)
