"""Bitfinex public REST v2: `GET /v2/candles/trade:1m:tBTCUSD/hist`, `GET /v2/conf/pub:info:pair,...`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, CandleRequest, WireFormat, enclosed

_TIMEFRAMES = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "3h": 3 * HOUR, "6h": 6 * HOUR,
    "12h": 12 * HOUR, "1D": DAY,
}  # fmt: skip


def _naming(base: str, quote: str) -> MarketName:
    quote_id = "UST" if quote == "USDT" else quote
    return MarketName(f"t{_pair(base, quote_id)}", base, quote_id)


def _pair(base: str, quote: str) -> str:
    """Return Bitfinex's id of a pair, such as BTCUSD or DOGE:USD.

    The colon is only left out if base and quote have three letters each.
    """
    return base + quote if len(base) == len(quote) == 3 else f"{base}:{quote}"


def _adjust(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    return replace(request, keep="oldest" if query.get("sort") == "1" else "newest")


def _row(candle: Candle) -> str:
    return f"[{candle.time},{candle.open},{candle.close},{candle.high},{candle.low},{candle.volume}]"


def _record(instrument: Instrument, now_ms: int) -> list[Any]:
    pair = _pair(instrument.name.base_id, instrument.name.quote_id)
    return [pair, [None, None, None, "0.00006", "2000.0", None, None, None, 0.2, 0.1, None]]


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> list[Any]:
    return [records, [], [], []]


VENUE = SandboxVenue(
    id="bitfinex",
    port=18812,
    naming=_naming,
    symbols=(*against("USD"), "BTC/USDT", "ETH/BTC"),
    opens="2013-03-31T22:00:00Z",
    page_limit=10_000,
    descending=False,
    empty_minutes="missing",
    quiet=5.0,
    limits=(
        RateLimit(
            name="candles per minute",
            allowed=30,
            window=60,
            kind="sliding",
            source="docs.bitfinex.com/reference/rest-public-candles: 30 requests a minute; an address that continues "
            "to send requests is blocked for 60 s",
            paths="/candles/",
            patience=5,
            ban_seconds=60,
        ),
    ),
    refusals={
        "throttled": Refusal(429, '{"error":"ERR_RATE_LIMIT"}'),
        "banned": Refusal(429, '{"error":"ERR_RATE_LIMIT"}'),
        "unknown_symbol": Refusal(500, '["error",10020,"symbol: invalid"]'),
        "closed_market": Refusal(500, '["error",10020,"symbol: invalid"]'),
        "bad_request": Refusal(500, '["error",10020,"time_interval: invalid"]'),
        "bad_interval": Refusal(500, '["error",10020,"timeframe: invalid"]'),
        "internal": Refusal(500, '["error",10000,"An unknown error occurred"]'),
        "maintenance": Refusal(500, '["error",20060,"platform: under maintenance"]'),
    },
    wire=WireFormat(
        candles=r"/v2/candles/trade:(?P<timeframe>[^:]+):(?P<symbol>[^/]+)/hist",
        markets=r"/v2/conf/pub:info:pair.*",
        others={"/v2/platform/status": lambda now_ms: [1]},
        timeframes=_TIMEFRAMES,
        default_limit=100,
        timeframe="timeframe",
        start="start",
        end="end",
        adjust=_adjust,
        row=_row,
        page=enclosed(b"[", b"]"),
        record=_record,
        listing=_listing,
        null_page=b"null",
    ),
    sources=(
        "docs.bitfinex.com/reference/rest-public-candles: at most 10,000 rows; with sort=1, rows begin at `start`; "
        "minutes without trades are left out",
        "docs.bitfinex.com/docs/abbreviations-glossary: errors are arrays; HTTP 500 for an unknown symbol (ccxt)",
        "The rows are assumed to be in ascending order, as with sort=1; ccxt always sends sort=1 with a start",
    ),
)
