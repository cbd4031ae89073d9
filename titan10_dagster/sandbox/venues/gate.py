"""Gate spot REST: `GET /api/v4/spot/candlesticks`, `GET /api/v4/spot/currency_pairs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against, joined
from titan10_dagster.sandbox.venues.wire import (
    DAY,
    HOUR,
    MINUTE,
    Candle,
    CandleRequest,
    Refused,
    WireFormat,
    enclosed,
)

_TIMEFRAMES = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "4h": 4 * HOUR, "8h": 8 * HOUR,
    "1d": DAY,
}  # fmt: skip
_PAGE = 1_000


def _adjust(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    if "from" in query and "limit" in query:
        raise Refused("bad_request")
    if request.start is not None:
        end = now_ms if request.end is None else request.end
        if (end - 1 - request.start) // (request.seconds * 1_000) >= _PAGE:
            raise Refused("too_wide")
    return request


def _row(candle: Candle) -> str:
    closed = "true" if candle.closed else "false"
    return (
        f'["{candle.time // 1000}","{candle.turnover()}","{candle.close}","{candle.high}","{candle.low}",'
        f'"{candle.open}","{candle.volume}","{closed}"]'
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "id": instrument.name.market_id,
        "base": instrument.name.base_id,
        "quote": instrument.name.quote_id,
        "fee": "0.2",
        "min_quote_amount": "3",
        "amount_precision": instrument.volume_decimals,
        "precision": instrument.price_decimals,
        "trade_status": "untradable" if instrument.is_delisted(now_ms) else "tradable",
        "sell_start": 0,
        "buy_start": instrument.listed_ms // 1_000,
        "type": "normal",
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> list[Any]:
    return [] if "/margin/" in path else records


def _error(status: int, label: str, text: str) -> Refusal:
    return Refusal(status, f'{{"label":"{label}","message":"{text}"}}')


VENUE = SandboxVenue(
    id="gate",
    port=18808,
    naming=joined("_"),
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2017-11-01T00:00:00Z",
    names_delisted=True,
    page_limit=_PAGE,
    depth=10_000,
    beyond_depth="refused",
    descending=False,
    empty_minutes="filled",
    limits=(
        RateLimit(
            name="requests per 10 s",
            allowed=200,
            window=10,
            kind="sliding",
            source="www.gate.com/docs/developers/apiv4, Rate limit rule: spot public endpoints 200 per 10 s per IP",
        ),
    ),
    refusals={
        "throttled": _error(429, "TOO_MANY_REQUESTS", "Request Rate limit Exceeded (200)"),
        "banned": _error(429, "TOO_MANY_REQUESTS", "Request Rate limit Exceeded (200)"),
        "unknown_symbol": _error(400, "INVALID_CURRENCY_PAIR", "invalid currency pair NOSUCH"),
        "closed_market": _error(400, "INVALID_CURRENCY_PAIR", "invalid currency pair NOSUCH"),
        "too_old": _error(400, "INVALID_PARAM_VALUE", "Candlestick too long ago. Maximum 10000 points ago are allowed"),
        "too_wide": _error(
            400, "INVALID_PARAM_VALUE", "Candlestick range too broad. Maximum 1000 data points are allowed per request"
        ),
        "bad_request": _error(400, "INVALID_PARAM_VALUE", "invalid argument: limit conflicts with from and to"),
        "bad_interval": _error(400, "INVALID_PARAM_VALUE", "invalid argument: interval"),
        "internal": _error(500, "SERVER_ERROR", "internal server error"),
        "maintenance": _error(503, "TOO_BUSY", "system busy, please try again later"),
    },
    wire=WireFormat(
        candles="/api/v4/spot/candlesticks",
        markets="/api/v4/(spot|margin)/currency_pairs",
        others={"/api/v4/spot/time": lambda now_ms: {"server_time": now_ms}},
        timeframes=_TIMEFRAMES,
        default_limit=_PAGE,
        symbol="currency_pair",
        start="from",
        end="to",
        unit=1_000,
        adjust=_adjust,
        row=_row,
        page=enclosed(b"[", b"]"),
        record=_record,
        listing=_listing,
        null_page=b"null",
    ),
    sources=(
        "www.gate.com/docs/developers/apiv4, Market candlesticks: at most 1000 points a request; `limit` conflicts "
        "with `from` and `to`; `from` and `to` are inclusive (as in ccxt)",
        "The last 10,000 points are served: documented for futures, and assumed for spot",
    ),
)
