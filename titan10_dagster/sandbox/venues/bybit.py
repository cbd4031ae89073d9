"""Bybit REST v5: `GET /v5/market/kline`, `GET /v5/market/instruments-info`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against, html, joined
from titan10_dagster.sandbox.venues.wire import (
    DAY,
    HOUR,
    MINUTE,
    Candle,
    CandleRequest,
    PageContext,
    Refused,
    WireFormat,
    step_text,
)

_TIMEFRAMES = {
    "1": MINUTE, "3": 3 * MINUTE, "5": 5 * MINUTE, "15": 15 * MINUTE, "30": 30 * MINUTE, "60": HOUR,
    "120": 2 * HOUR, "240": 4 * HOUR, "360": 6 * HOUR, "720": 12 * HOUR, "D": DAY,
}  # fmt: skip


def _adjust(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    if query.get("category", "linear") != "spot":
        raise Refused("bad_request")
    if request.start is None:
        return request
    step = request.seconds * 1_000
    start = request.start // step * step  # the answer includes the candle that contains the requested start
    return replace(request, start=start, keep="oldest" if request.end is None else "newest")


def _row(candle: Candle) -> str:
    return (
        f'["{candle.time}","{candle.open}","{candle.high}","{candle.low}","{candle.close}","{candle.volume}",'
        f'"{candle.turnover()}"]'
    )


def _page(rows: bytes, context: PageContext) -> bytes:
    head = b'{"retCode":0,"retMsg":"OK","result":{"category":"spot","symbol":"%s","list":['
    tail = b']},"retExtInfo":{},"time":%d}' % context.now_ms
    return head % context.instrument.name.market_id.encode() + rows + tail


def _answer(result: dict[str, Any], now_ms: int = 1_700_000_000_000) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms}


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": instrument.name.market_id,
        "baseCoin": instrument.name.base_id,
        "quoteCoin": instrument.name.quote_id,
        "innovation": "0",
        "status": "Closed" if instrument.is_delisted(now_ms) else "Trading",
        "marginTrading": "none",
        "lotSizeFilter": {
            "basePrecision": step_text(instrument.volume_decimals),
            "quotePrecision": "0.00000001",
            "minOrderQty": "0.00001",
            "maxOrderQty": "1000000000",
            "minOrderAmt": "1",
            "maxOrderAmt": "4000000",
        },
        "priceFilter": {"tickSize": step_text(instrument.price_decimals)},
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    category = query.get("category", "linear")
    return _answer({"category": category, "list": records if category == "spot" else [], "nextPageCursor": ""})


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(
        status, f'{{"retCode":{code},"retMsg":"{text}","result":{{}},"retExtInfo":{{}},"time":1700000000000}}'
    )


def _time(now_ms: int) -> dict[str, Any]:
    return _answer({"timeSecond": str(now_ms // 1_000), "timeNano": str(now_ms * 1_000_000)}, now_ms)


VENUE = SandboxVenue(
    id="bybit",
    port=18805,
    naming=joined(),
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2021-07-05T12:00:00Z",
    page_limit=1_000,
    descending=True,
    empty_minutes="filled",
    turnover=0.4,
    quiet=2.0,
    limits=(
        RateLimit(
            name="requests per 5 s",
            allowed=600,
            window=5,
            kind="sliding",
            source="bybit-exchange.github.io/docs/v5/rate-limit: 600 requests within 5 seconds per IP; above it "
            "every answer is `403, access too frequent` for at least 10 minutes",
            patience=0,
            ban_seconds=600,
        ),
    ),
    refusals={
        "throttled": _error(403, 10006, "access too frequent"),
        "banned": Refusal(403, '{"retCode":10006,"retMsg":"403, access too frequent"}'),
        "forbidden": html(403, "Forbidden", "CloudFront"),
        "unknown_symbol": _error(200, 10001, "Not supported symbols"),
        "closed_market": _error(200, 10001, "Not supported symbols"),
        "bad_request": _error(200, 10001, "params error"),
        "bad_interval": _error(200, 10001, "params error"),
        "internal": _error(500, 10016, "Internal server error"),
        "maintenance": _error(200, 10016, "Service is restarting"),
    },
    wire=WireFormat(
        candles="/v5/market/kline",
        markets="/v5/market/instruments-info",
        others={"/v5/market/time": _time},
        timeframes=_TIMEFRAMES,
        default_limit=200,
        start="start",
        end="end",
        adjust=_adjust,
        row=_row,
        page=_page,
        record=_record,
        listing=_listing,
        null_page=b'{"retCode":0,"retMsg":"OK","result":null,"retExtInfo":{},"time":1700000000000}',
    ),
    sources=(
        "bybit-exchange.github.io/docs/v5/market/kline: newest first; limit default 200, at most 1000",
        "ccxt issue 26736: a request with `start` and without `end` gets the candle that contains `start`, and the "
        "rows after it",
        "`start` and `end` are inclusive (assumed); empty minutes are flat rows (assumed)",
    ),
)
