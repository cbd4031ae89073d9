"""OKX REST v5: `GET /api/v5/market/candles`, `.../history-candles`, `GET /api/v5/public/instruments`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against, joined
from titan10_dagster.sandbox.venues.wire import (
    DAY,
    HOUR,
    MINUTE,
    Candle,
    CandleRequest,
    Edges,
    WireFormat,
    enclosed,
    step_text,
)

_TIMEFRAMES = {
    "": MINUTE, "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1H": HOUR,
    "2H": 2 * HOUR, "4H": 4 * HOUR, "6Hutc": 6 * HOUR, "12Hutc": 12 * HOUR, "1Dutc": DAY,
}  # fmt: skip
_RECENT = "/api/v5/market/candles"
_HISTORY = "/api/v5/market/history-candles"
_RECENT_DEPTH = 1_440  # the number of newest rows that /candles serves


def _adjust(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    if path == _HISTORY:
        return replace(request, unfinished=False)
    step = request.seconds * 1_000
    oldest = now_ms // step * step - (_RECENT_DEPTH - 1) * step
    return replace(request, start=max(request.start or 0, oldest))


def _row(candle: Candle) -> str:
    turnover, confirm = candle.turnover(6), "1" if candle.closed else "0"
    return (
        f'["{candle.time}","{candle.open}","{candle.high}","{candle.low}","{candle.close}","{candle.volume}",'
        f'"{turnover}","{turnover}","{confirm}"]'
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    empty = ("alias", "ctMult", "ctType", "ctVal", "ctValCcy", "expTime", "instFamily", "lever", "optType", "settleCcy")
    return {
        **dict.fromkeys((*empty, "stk", "uly"), ""),
        "baseCcy": instrument.name.base_id,
        "category": "1",
        "instId": instrument.name.market_id,
        "instType": "SPOT",
        "listTime": str(instrument.listed_ms),
        "lotSz": step_text(instrument.volume_decimals),
        "maxLmtSz": "999999999999",
        "maxMktSz": "1000000",
        "minSz": "0.00001",
        "quoteCcy": instrument.name.quote_id,
        "state": "suspend" if instrument.is_delisted(now_ms) else "live",
        "tickSz": step_text(instrument.price_decimals),
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": records if query.get("instType") == "SPOT" else []}


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(status, f'{{"code":"{code}","data":[],"msg":"{text}"}}')


def _limit(name: str, allowed: int, path: str, title: str, by: str) -> RateLimit:
    source = f"www.okx.com/docs-v5, {title}: {allowed} requests per 2 seconds, by {by}"
    return RateLimit(name, allowed=allowed, window=2, kind="sliding", source=source, paths=path)


VENUE = SandboxVenue(
    id="okx",
    port=18804,
    naming=joined("-"),
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2018-01-11T00:00:00Z",
    page_limit=300,
    descending=True,
    empty_minutes="filled",
    turnover=0.4,
    quiet=2.0,
    trim=True,
    limits=(
        _limit("history-candles per 2 s", 20, _HISTORY, "Get candlesticks history", "IP"),
        _limit("candles per 2 s", 40, _RECENT, "Get candlesticks", "IP"),
        _limit("instruments per 2 s", 20, "/api/v5/public/instruments", "Get instruments", "IP and instrument type"),
    ),
    refusals={
        "throttled": _error(429, 50011, "Too Many Requests"),
        "banned": _error(429, 50011, "Too Many Requests"),
        "unknown_symbol": _error(200, 51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
        "closed_market": _error(200, 51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
        "bad_request": _error(400, 51000, "Parameter bar error"),
        "bad_interval": _error(400, 51000, "Parameter bar error"),
        "not_found": _error(404, 404, "Not Found"),
        "internal": _error(500, 50026, "System error. Try again later"),
        "maintenance": _error(503, 50001, "Service temporarily unavailable. Please try again later."),
        "restricted": _error(451, 50113, "Service is not available in your region."),
    },
    wire=WireFormat(
        candles=f"{_RECENT}|{_HISTORY}",
        markets="/api/v5/public/instruments",
        others={"/api/v5/public/time": lambda now_ms: {"code": "0", "msg": "", "data": [{"ts": str(now_ms)}]}},
        timeframes=_TIMEFRAMES,
        default_limit=100,
        symbol="instId",
        timeframe="bar",
        start="before",
        end="after",
        edges=Edges(start="exclusive", end="exclusive", keep="newest"),
        adjust=_adjust,
        row=_row,
        page=enclosed(b'{"code":"0","msg":"","data":[', b"]}"),
        record=_record,
        listing=_listing,
        null_page=b'{"code":"0","msg":"","data":null}',
    ),
    sources=(
        "www.okx.com/docs-v5: rows newer than `before` and older than `after`, both exclusive; newest first; limit "
        "default 100, at most 300; `confirm` is 0 for an unfinished candle; /candles serves the last 1,440 rows",
        "history-candles serves only finished candles (assumed); empty minutes are flat rows (assumed)",
    ),
)
