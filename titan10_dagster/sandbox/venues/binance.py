"""Binance spot REST: `GET /api/v3/klines`, `GET /api/v3/exchangeInfo`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from titan10_dagster.sandbox.venues.venue import (
    DAY,
    HOUR,
    MINUTE,
    Ask,
    Instrument,
    Kind,
    Limit,
    Name,
    Refusal,
    Refused,
    Texts,
    Venue,
    against,
    whole,
)

_TIMEFRAMES = {
    "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE,
    "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR, "1d": DAY,
}  # fmt: skip


class _Wire:
    def kind(self, path: str) -> Kind | None:
        if path == "/api/v3/klines":
            return "candles"
        if path.endswith("/exchangeInfo"):
            return "markets"
        return "other" if path in {"/api/v3/time", "/api/v3/ping"} else None

    def ask(self, path: str, query: Mapping[str, str], now_ms: int) -> Ask:
        if "symbol" not in query or "interval" not in query:
            raise Refused("bad_request")
        if query["interval"] not in _TIMEFRAMES:
            raise Refused("bad_interval")
        start, end = whole(query, "startTime"), whole(query, "endTime")
        return Ask(
            market_id=query["symbol"],
            seconds=_TIMEFRAMES[query["interval"]],
            limit=min(whole(query, "limit") or 500, VENUE.page_limit),
            start=start,
            end=None if end is None else end + 1,
            keep="newest" if start is None else "oldest",
        )

    def rows(self, times: Sequence[int], texts: Texts, seconds: int, closed: bool) -> list[str]:
        last = seconds * 1_000 - 1
        return [
            f'[{t},"{o}","{h}","{lo}","{c}","{v}",{t + last},"{float(v) * float(c):.8f}",'
            f'{t // 60_000 % 900 + 7},"{v}","0.00000000","0"]'
            for t, o, h, lo, c, v in zip(times, *texts, strict=True)
        ]

    def page(self, ask: Ask, instrument: Instrument, rows: bytes, last_closed_ms: int | None) -> bytes:
        return b"[" + rows + b"]"

    def markets(self, query: Mapping[str, str], instruments: Sequence[Instrument], now_ms: int) -> Any:
        return {
            "timezone": "UTC",
            "serverTime": now_ms,
            "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
            "exchangeFilters": [],
            "symbols": [_market(instrument, now_ms) for instrument in instruments],
        }

    def other(self, path: str, now_ms: int) -> Any:
        return {"serverTime": now_ms} if path.endswith("time") else {}


def _market(instrument: Instrument, now_ms: int) -> dict[str, Any]:
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


VENUE = Venue(
    id="binance",
    port=18801,
    naming=lambda base, quote: Name(base + quote, base, quote),
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
    timeframes=_TIMEFRAMES,
    limits=(
        Limit(
            name="request weight per minute",
            allowed=6_000,
            window=60,
            kind="fixed",
            source="developers.binance.com/docs/binance-spot-api-docs/rest-api/limits: 6000 a minute and IP; "
            "429 beyond it; an address that goes on is answered 418 and banned for 2 minutes to 3 days",
            cost={"candles": 2, "markets": 20},
            patience=5,
            ban_seconds=120,
            retry_after=True,
            used_header="X-MBX-USED-WEIGHT-1M",
        ),
    ),
    refusals={
        "throttled": Refusal(
            429,
            '{"code":-1003,"msg":"Too much request weight used; current limit is 6000 request weight per 1 MINUTE. '
            'Please use WebSocket Streams for live updates to avoid polling the API."}',
        ),
        "banned": Refusal(
            418,
            '{"code":-1003,"msg":"Way too much request weight used; IP banned until %UNTIL%. '
            'Please use WebSocket Streams for live updates to avoid bans."}',
        ),
        "restricted": Refusal(
            451,
            '{"code":0,"msg":"Service unavailable from a restricted location according to \'b. Eligibility\' in '
            "https://www.binance.com/en/terms. Please contact customer service if you believe you received this "
            'message in error."}',
        ),
        "unknown_symbol": Refusal(400, '{"code":-1121,"msg":"Invalid symbol."}'),
        "bad_interval": Refusal(400, '{"code":-1120,"msg":"Invalid interval."}'),
        "bad_request": Refusal(
            400, '{"code":-1102,"msg":"Mandatory parameter was not sent, was empty/null, or malformed."}'
        ),
        "internal": Refusal(500, '{"code":-1000,"msg":"An unknown error occurred while processing the request."}'),
        "maintenance": Refusal(
            503,
            '{"code":-1008,"msg":"Server is currently overloaded with other requests. '
            'Please try again in a few minutes."}',
        ),
    },
    wire=_Wire(),
    sources=(
        "developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints: klines, limit "
        "default 500, max 1000 (a larger one is clamped), weight 2; exchangeInfo weight 20",
        "A minute without a trade is a flat row with volume 0 while the engine runs; outages leave no rows",
    ),
)
