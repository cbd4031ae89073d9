"""Bitrue spot REST: `GET /api/v1/market/kline`, `GET /api/v1/exchangeInfo`. ccxt sends no start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, Edges, PageContext, WireFormat

_TIMEFRAMES = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1H": HOUR, "2H": 2 * HOUR, "4H": 4 * HOUR,
    "12H": 12 * HOUR, "1D": DAY,
}  # fmt: skip


def _naming(base: str, quote: str) -> MarketName:
    return MarketName(base + quote, base.lower(), quote.lower())


def _row(candle: Candle) -> str:
    return (
        f'{{"i":"{candle.time // 1000}","a":"{candle.turnover(3)}","v":"{candle.volume}","c":"{candle.close}",'
        f'"h":"{candle.high}","l":"{candle.low}","o":"{candle.open}"}}'
    )


def _page(rows: bytes, context: PageContext) -> bytes:
    market_id = context.instrument.name.market_id.encode()
    return b'{"symbol":"%s","scale":"KLINE_1MIN","data":[%s]}' % (market_id, rows)


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": instrument.name.market_id,
        "status": "HALT" if instrument.is_delisted(now_ms) else "TRADING",
        "baseAsset": instrument.name.base_id,
        "baseAssetPrecision": instrument.volume_decimals,
        "quoteAsset": instrument.name.quote_id,
        "quotePrecision": instrument.price_decimals,
        "orderTypes": ["MARKET", "LIMIT"],
        "icebergAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "priceScale": instrument.price_decimals},
            {"filterType": "LOT_SIZE", "minQty": "0.0001", "minVal": "5", "volumeScale": instrument.volume_decimals},
        ],
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    return {
        "timezone": "CTT",
        "serverTime": 1_700_000_000_000,
        "rateLimits": [{"rateLimitType": "REQUESTS_WEIGHT", "interval": "MINUTES", "limit": 6000}],
        "exchangeFilters": [],
        "symbols": records,
        "coins": [],
    }


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(status, f'{{"code":{code},"msg":"{text}"}}')


VENUE = SandboxVenue(
    id="bitrue",
    port=18820,
    naming=_naming,
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2018-07-19T00:00:00Z",
    page_limit=1_440,
    descending=True,
    empty_minutes="filled",
    turnover=0.05,
    quiet=6.0,
    limits=(
        RateLimit(
            name="weight per minute",
            allowed=6_000,
            window=60,
            kind="sliding",
            source="github.com/Bitrue-exchange/Spot-official-api-docs, Limits: REQUESTS_WEIGHT 6000 a minute",
            patience=5,
            ban_seconds=120,
            retry_after=True,
        ),
    ),
    refusals={
        "throttled": _error(429, -1003, "Too many requests. Please try again later."),
        "banned": _error(418, -1003, "Way too many requests; IP banned until %UNTIL%."),
        "unknown_symbol": _error(400, -1121, "Invalid symbol."),
        "closed_market": _error(400, -1121, "Invalid symbol."),
        "bad_request": _error(400, -1102, "Mandatory parameter was not sent, was empty/null, or malformed."),
        "bad_interval": _error(400, -1120, "Invalid interval."),
        "internal": _error(500, -1000, "An unknown error occurred while processing the request."),
        "maintenance": _error(503, -1016, "System is under maintenance."),
    },
    wire=WireFormat(
        candles="/api/v1/market/kline",
        markets="/api/v1/exchangeInfo",
        others={"/api/v1/time": lambda now_ms: {"serverTime": now_ms}, "/v1/contracts": lambda now_ms: []},
        timeframes=_TIMEFRAMES,
        default_limit=1_440,
        timeframe="scale",
        edges=Edges(start_ignored="always"),
        row=_row,
        page=_page,
        record=_record,
        listing=_listing,
        null_page=b'{"symbol":"BTCUSDT","scale":"KLINE_1MIN","data":null}',
    ),
    sources=(
        "github.com/Bitrue-exchange/Spot-official-api-docs, market kline: scale, limit at most 1440, fromIdx",
        "Assumed: empty minutes are flat rows, and the newest row comes first",
    ),
)
