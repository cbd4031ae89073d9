"""MEXC spot REST v3: `GET /api/v3/klines`, `GET /api/v3/exchangeInfo`. The interface resembles Binance's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against, joined
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, Edges, WireFormat, enclosed, step_text

_TIMEFRAMES = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "60m": HOUR, "4h": 4 * HOUR, "8h": 8 * HOUR,
    "1d": DAY,
}  # fmt: skip


def _row(candle: Candle) -> str:
    return (
        f'[{candle.time},"{candle.open}","{candle.high}","{candle.low}","{candle.close}","{candle.volume}",'
        f'{candle.last_ms + 1},"{candle.turnover(2)}"]'
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    gone = instrument.is_delisted(now_ms)
    return {
        "symbol": instrument.name.market_id,
        "status": "2" if gone else "1",
        "baseAsset": instrument.name.base_id,
        "baseAssetPrecision": instrument.volume_decimals,
        "quoteAsset": instrument.name.quote_id,
        "quotePrecision": instrument.price_decimals,
        "quoteAssetPrecision": instrument.price_decimals,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
        "isSpotTradingAllowed": not gone,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "filters": [],
        "baseSizePrecision": step_text(instrument.volume_decimals),
        "maxQuoteAmount": "2000000",
        "makerCommission": "0",
        "takerCommission": "0.0005",
        "quoteAmountPrecision": "1",
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> Any:
    if path.endswith("/contract/detail"):
        return {"success": True, "code": 0, "data": []}
    return {"timezone": "CST", "serverTime": 1_700_000_000_000, "rateLimits": [], "symbols": records}


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(status, f'{{"code":{code},"msg":"{text}","_extend":null}}')


VENUE = SandboxVenue(
    id="mexc",
    port=18810,
    naming=joined(),
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2018-07-01T00:00:00Z",
    page_limit=500,
    descending=False,
    empty_minutes="filled",
    trim=True,
    limits=(
        RateLimit(
            name="weight per 10 s",
            allowed=500,
            window=10,
            kind="sliding",
            source="www.mexc.com/api-docs/spot-v3, Limits: 500 weight per 10 s, IP and endpoint; 429, then 418",
            cost={"markets": 10},
            patience=5,
            ban_seconds=120,
            retry_after=True,
        ),
    ),
    refusals={
        "throttled": _error(429, 429, "Too Many Requests"),
        "banned": _error(418, 429, "Too Many Requests, IP banned"),
        "unknown_symbol": _error(400, -1121, "Invalid symbol."),
        "closed_market": _error(400, 30014, "invalid symbol"),
        "bad_request": _error(400, 700004, "Mandatory parameter was not sent, was empty/null, or malformed."),
        "bad_interval": _error(400, -1121, "Invalid interval."),
        "internal": _error(500, 500, "Internal error"),
        "maintenance": _error(503, 604, "System is under maintenance"),
    },
    wire=WireFormat(
        candles="/api/v3/klines",
        markets="/api/v3/exchangeInfo|/api/v1/contract/detail",
        others={"/api/v3/time": lambda now_ms: {"serverTime": now_ms}},
        timeframes=_TIMEFRAMES,
        default_limit=500,
        edges=Edges(end="exclusive"),
        row=_row,
        page=enclosed(b"[", b"]"),
        record=_record,
        listing=_listing,
        null_page=b"null",
    ),
    sources=(
        "www.mexc.com/api-docs/spot-v3/market-data-endpoints, Kline: at most 1000 rows (documents) or 500 (ccxt)",
        "`endTime` is exclusive (ccxt); if more rows than the limit are in range, the oldest are returned (assumed)",
        "Codes: 30014 for a closed symbol (documents), -1121 for an unknown symbol",
    ),
)
