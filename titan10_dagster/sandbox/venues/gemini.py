"""Gemini REST: `GET /v2/candles/btcusd/1m`, `GET /v1/symbols`. A request has no start, end or limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, Edges, WireFormat, enclosed

_TIMEFRAMES = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1hr": HOUR, "6hr": 6 * HOUR, "1day": DAY,
}  # fmt: skip


def _naming(base: str, quote: str) -> MarketName:
    return MarketName((base + quote).lower(), base, quote)


def _row(candle: Candle) -> str:
    return f"[{candle.time},{candle.open},{candle.high},{candle.low},{candle.close},{candle.volume}]"


def _record(instrument: Instrument, now_ms: int) -> str:
    return instrument.name.market_id


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> list[Any]:
    return records


def _error(status: int, reason: str, text: str) -> Refusal:
    return Refusal(status, f'{{"result":"error","reason":"{reason}","message":"{text}"}}')


VENUE = SandboxVenue(
    id="gemini",
    port=18814,
    naming=_naming,
    symbols=(*against("USD"), "ETH/BTC", "BTC/EUR"),
    opens="2015-10-08T00:00:00Z",
    page_limit=1_440,
    descending=True,
    empty_minutes="filled",
    turnover=0.05,
    quiet=8.0,
    limits=(
        RateLimit(
            name="requests per minute",
            allowed=120,
            window=60,
            kind="sliding",
            source="docs.gemini.com/rest-api, Rate limits: public entry points 120 a minute",
        ),
    ),
    refusals={
        "throttled": _error(429, "RateLimited", "Requests were made too frequently"),
        "banned": _error(429, "RateLimited", "Requests were made too frequently"),
        "unknown_symbol": _error(400, "InvalidSymbol", "Supplied value 'nosuch' is not a valid symbol"),
        "closed_market": _error(400, "InvalidSymbol", "Supplied value 'nosuch' is not a valid symbol"),
        "bad_request": _error(400, "BadRequest", "Supplied value is not a valid time_frame"),
        "bad_interval": _error(400, "BadRequest", "Supplied value is not a valid time_frame"),
        "not_found": _error(404, "EndpointNotFound", "API entry point not found"),
        "internal": _error(500, "System", "Internal Server Error"),
        "maintenance": _error(
            503, "Maintenance", "The Gemini Exchange is currently undergoing maintenance. Please check back later."
        ),
    },
    wire=WireFormat(
        candles=r"/v2/candles/(?P<symbol>[^/]+)/(?P<timeframe>[^/]+)",
        markets="/v1/symbols",
        timeframes=_TIMEFRAMES,
        default_limit=1_440,
        timeframe="timeframe",
        edges=Edges(start_ignored="always"),
        row=_row,
        page=enclosed(b"[", b"]"),
        record=_record,
        listing=_listing,
        null_page=b"null",
    ),
    sources=(
        "docs.gemini.com/rest-api, Candles: 1m of the last day, newest first; minutes without trades have rows, too",
        "The list of symbols contains only names. A delisted symbol is not in this list",
    ),
)
