"""Bitstamp REST v2: `GET /api/v2/ohlc/btcusd/`, `GET /api/v2/markets/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, Edges, PageContext, WireFormat

_SECONDS = (
    MINUTE,
    3 * MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
)


def _naming(base: str, quote: str) -> MarketName:
    return MarketName((base + quote).lower(), base, quote)


def _row(candle: Candle) -> str:
    return (
        f'{{"timestamp":"{candle.time // 1000}","open":"{candle.open}","high":"{candle.high}","low":"{candle.low}",'
        f'"close":"{candle.close}","volume":"{candle.volume}"}}'
    )


def _page(rows: bytes, context: PageContext) -> bytes:
    return b'{"data":{"pair":"%s","ohlc":[%s]}}' % (context.instrument.symbol.encode(), rows)


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "name": instrument.symbol,
        "market_symbol": instrument.name.market_id,
        "base_currency": instrument.name.base_id,
        "base_decimals": instrument.volume_decimals,
        "counter_currency": instrument.name.quote_id,
        "counter_decimals": instrument.price_decimals,
        "minimum_order_value": "10",
        "trading": "Disabled" if instrument.is_delisted(now_ms) else "Enabled",
        "instant_order_counter_decimals": 2,
        "instant_and_market_orders": "Enabled",
        "description": f"{instrument.base} / {instrument.quote}",
        "market_type": "SPOT",
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> list[Any]:
    return records


VENUE = SandboxVenue(
    id="bitstamp",
    port=18813,
    naming=_naming,
    symbols=(*against("USD"), "BTC/EUR", "ETH/BTC"),
    opens="2011-08-18T12:37:00Z",
    names_delisted=True,
    page_limit=1_000,
    descending=False,
    empty_minutes="filled",
    turnover=0.1,
    quiet=5.0,
    limits=(
        RateLimit(
            name="requests per 10 minutes",
            allowed=10_000,
            window=600,
            kind="sliding",
            source="www.bitstamp.net/api, Request limits: 400 a second and 10,000 per 10 minutes",
        ),
        RateLimit(
            name="requests per second",
            allowed=400,
            window=1,
            kind="sliding",
            source="www.bitstamp.net/api, Request limits: 400 a second and 10,000 per 10 minutes",
        ),
    ),
    refusals={
        "throttled": Refusal(403, '{"error":"Request limit exceeded","code":"400.002"}'),
        "banned": Refusal(403, '{"error":"Request limit exceeded","code":"400.002"}'),
        "unknown_symbol": Refusal(404, '{"status":"error","reason":"Invalid pair","code":"404.002"}'),
        "closed_market": Refusal(404, '{"status":"error","reason":"Invalid pair","code":"404.002"}'),
        "bad_request": Refusal(
            400, '{"code":"validation-error","errors":[{"field":"limit","message":"Must be at most 1000.",'
            '"code":"range.max"}],"error":"validation-error"}'
        ),
        "internal": Refusal(500, '{"error":"Internal server error"}'),
        "maintenance": Refusal(503, '{"error":"Bitstamp.net is under scheduled maintenance. We\'ll be back soon."}'),
    },
    wire=WireFormat(
        candles=r"/api/v2/ohlc/(?P<symbol>[^/]+)/",
        markets="/api/v2/markets/",
        timeframes={str(seconds): seconds for seconds in _SECONDS},
        default_limit=1_000,
        timeframe="step",
        start="start",
        end="end",
        unit=1_000,
        edges=Edges(start_ignored="with end"),
        row=_row,
        page=_page,
        record=_record,
        listing=_listing,
        null_page=b'{"data":{"pair":"BTC/USD","ohlc":null}}',
    ),
    sources=(
        "www.bitstamp.net/api, OHLC data: step in seconds, limit at most 1000; if both start and end are sent, "
        "start is ignored",
        "Empty minutes are flat rows (assumed); the error text for an unknown pair is assumed",
    ),
)  # fmt: skip
