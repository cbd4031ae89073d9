"""Binance spot REST: `GET /api/v3/klines`, `GET /api/v3/exchangeInfo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against, joined
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, WireFormat, enclosed

_TIMEFRAMES = {
    "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE,
    "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR, "1d": DAY,
}  # fmt: skip


def _row(candle: Candle) -> str:
    return (
        f'[{candle.time},"{candle.open}","{candle.high}","{candle.low}","{candle.close}","{candle.volume}",'
        f'{candle.last_ms},"{candle.turnover()}",{candle.time // 60_000 % 900 + 7},"{candle.volume}","0.00000000","0"]'
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    gone = instrument.is_delisted(now_ms)
    tick, step = f"{10.0**-instrument.price_decimals:.8f}", f"{10.0**-instrument.volume_decimals:.8f}"
    return {
        "symbol": instrument.name.market_id,
        "status": "BREAK" if gone else "TRADING",
        "baseAsset": instrument.name.base_id,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.name.quote_id,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": not gone,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000000.00000000", "stepSize": step},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    return {
        "timezone": "UTC",
        "serverTime": 1_700_000_000_000,
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
        "exchangeFilters": [],
        "symbols": records,
    }


WIRE = WireFormat(
    candles="/api/v3/klines",
    markets=r".*/exchangeInfo",
    others={"/api/v3/time": lambda now_ms: {"serverTime": now_ms}, "/api/v3/ping": lambda now_ms: {}},
    timeframes=_TIMEFRAMES,
    default_limit=500,
    row=_row,
    page=enclosed(b"[", b"]"),
    record=_record,
    listing=_listing,
    null_page=b"null",
)

LIMIT = RateLimit(
    name="request weight per minute",
    allowed=6_000,
    window=60,
    kind="fixed",
    source="developers.binance.com/docs/binance-spot-api-docs/rest-api/limits: 6000 per minute per IP; "
    "above it status 429; an address that continues to send requests gets status 418, and is banned for 2 minutes to "
    "3 days",
    cost={"candles": 2, "markets": 20},
    patience=5,
    ban_seconds=120,
    retry_after=True,
    used_header="X-MBX-USED-WEIGHT-1M",
)


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(status, f'{{"code":{code},"msg":"{text}"}}')


REFUSALS = {
    "throttled": _error(
        429,
        -1003,
        "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
    ),
    "banned": _error(
        418,
        -1003,
        "Way too much request weight used; IP banned until %UNTIL%. "
        "Please use WebSocket Streams for live updates to avoid bans.",
    ),
    "restricted": _error(
        451,
        0,
        "Service unavailable from a restricted location according to 'b. Eligibility' in "
        "https://www.binance.com/en/terms. Please contact customer service if you believe you received this message "
        "in error.",
    ),
    "unknown_symbol": _error(400, -1121, "Invalid symbol."),
    "closed_market": _error(400, -1122, "Invalid symbol status."),
    "bad_interval": _error(400, -1120, "Invalid interval."),
    "bad_request": _error(400, -1102, "Mandatory parameter was not sent, was empty/null, or malformed."),
    "internal": _error(500, -1000, "An unknown error occurred while processing the request."),
    "maintenance": _error(
        503, -1008, "Server is currently overloaded with other requests. Please try again in a few minutes."
    ),
}

VENUE = SandboxVenue(
    id="binance",
    port=18801,
    naming=joined(),
    symbols=(*against("USDT"), "ETH/BTC", "XRP/ETH", "BTC/USDC", "LUNA/USDT"),
    opens="2017-08-17T04:00:00Z",
    delisted={"LUNA/USDT": "2022-05-13T00:40:00Z"},
    names_delisted=True,
    page_limit=1_000,
    descending=False,
    empty_minutes="filled",
    outage_every=30,
    turnover=1.0,
    quiet=1.0,
    price_decimals=8,
    pad=8,
    limits=(LIMIT,),
    refusals=REFUSALS,
    wire=WIRE,
    sources=(
        "developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints: klines, limit "
        "default 500, max 1000 (larger limits are reduced), weight 2; exchangeInfo weight 20",
        "A minute without a trade is a flat row with volume 0. During an outage of the exchange there are no rows",
        "Errors: -1121 for an unlisted symbol, -1122 for a closed symbol (ccxt issues 25396 and 14280)",
    ),
)
