"""Upbit REST v1: `GET /v1/candles/minutes/{unit}`, `GET /v1/candles/days`, `GET /v1/market/all`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against
from titan10_dagster.sandbox.venues.wire import DAY, MINUTE, Candle, CandleRequest, Edges, WireFormat, enclosed

_TIMEFRAMES = {"days": DAY, **{f"minutes/{unit}": unit * MINUTE for unit in (1, 3, 5, 10, 15, 30, 60, 240)}}


def naming(base: str, quote: str) -> MarketName:
    return MarketName(f"{quote}-{base}", base, quote)


def row(candle: Candle) -> str:
    begins = datetime.fromtimestamp(candle.time / 1_000, UTC)
    korean = datetime.fromtimestamp(candle.time / 1_000 + 9 * 3_600, UTC)
    return (
        f'{{"candle_date_time_utc":"{begins:%Y-%m-%dT%H:%M:%S}","candle_date_time_kst":"{korean:%Y-%m-%dT%H:%M:%S}",'
        f'"opening_price":{candle.open},"high_price":{candle.high},"low_price":{candle.low},'
        f'"trade_price":{candle.close},"timestamp":{candle.last_ms},'
        f'"candle_acc_trade_price":{candle.turnover(5)},"candle_acc_trade_volume":{candle.volume}}}'
    )


def record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "market": instrument.name.market_id,
        "korean_name": instrument.base,
        "english_name": instrument.base,
        "market_warning": "NONE",
    }


def listing(records: list[Any], path: str, query: Mapping[str, str]) -> list[Any]:
    return records


def error(status: int, name: str, text: str) -> Refusal:
    return Refusal(status, f'{{"error":{{"name":{name},"message":"{text}"}}}}')


def without_start(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    """Return the request without a start. Upbit knows only the bound `to`, and sends the newest rows before `to`."""
    return replace(request, start=None, keep="newest")


REFUSALS = {
    "throttled": error(429, '"too_many_requests"', "Too many API requests."),
    "banned": error(418, '"too_many_requests"', "Requests have been blocked because they exceeded the limit."),
    "unknown_symbol": error(404, "404", "Code not found"),
    "closed_market": error(404, "404", "Code not found"),
    "bad_request": error(400, "400", "Missing request parameter error. Check the required parameters!"),
    "bad_interval": error(400, "400", "Missing request parameter error. Check the required parameters!"),
    "internal": error(500, "500", "Internal Server Error"),
    "maintenance": error(503, '"server_maintenance"', "The server is under maintenance."),
}

WIRE = WireFormat(
    candles=r"/v1/candles/(?P<timeframe>minutes/\d+|days)",
    markets="/v1/market/all",
    timeframes=_TIMEFRAMES,
    default_limit=1,
    symbol="market",
    timeframe="timeframe",
    limit="count",
    end="to",
    unit=None,
    edges=Edges(end="exclusive"),
    adjust=without_start,
    row=row,
    page=enclosed(b"[", b"]"),
    record=record,
    listing=listing,
    null_page=b"null",
)

VENUE = SandboxVenue(
    id="upbit",
    port=18817,
    naming=naming,
    symbols=(*against("KRW"), "ETH/BTC", "BTC/USDT"),
    opens="2017-09-25T00:00:00Z",
    page_limit=200,
    descending=True,
    empty_minutes="missing",
    turnover=0.3,
    quiet=4.0,
    limits=(
        RateLimit(
            name="candle requests per second",
            allowed=10,
            window=1,
            kind="sliding",
            source="docs.upbit.com, Rate limits: candles 10 per second per IP; 429, then 418 and ever longer bans",
            paths="/candles/",
            patience=5,
            ban_seconds=60,
        ),
    ),
    refusals=REFUSALS,
    wire=WIRE,
    sources=(
        "docs.upbit.com, Minute candles: at most 200 rows before `to` (exclusive); minutes without trades are left out",
        "The answer for an unknown market is HTTP 404 with `Code not found`",
    ),
)
