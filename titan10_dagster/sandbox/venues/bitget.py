"""Bitget spot REST v2: `GET /api/v2/spot/market/candles`, `.../history-candles`, `GET /api/v2/spot/public/symbols`."""

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
    Refused,
    WireFormat,
    enclosed,
)

_TIMEFRAMES = {
    "1min": MINUTE, "3min": 3 * MINUTE, "5min": 5 * MINUTE, "15min": 15 * MINUTE, "30min": 30 * MINUTE, "1h": HOUR,
    "4h": 4 * HOUR, "6Hutc": 6 * HOUR, "12Hutc": 12 * HOUR, "1Dutc": DAY,
}  # fmt: skip
_RECENT_DAYS = 30  # /candles serves the 1m candles of this many days; longer timeframes reach further back
_HISTORY_PAGE = 200


def _adjust(request: CandleRequest, path: str, query: Mapping[str, str], now_ms: int) -> CandleRequest:
    if path.endswith("/history-candles"):
        if request.end is None:
            raise Refused("bad_request")
        # The endpoint /history-candles ignores the start of a request, and returns the newest rows before `endTime`.
        return replace(request, start=None, keep="newest", limit=min(request.limit, _HISTORY_PAGE), unfinished=False)
    oldest = now_ms - _RECENT_DAYS * 1_440 * max(request.seconds, MINUTE) * 1_000
    return replace(request, start=max(request.start or 0, oldest))


def _row(candle: Candle) -> str:
    turnover = candle.turnover()
    return (
        f'["{candle.time}","{candle.open}","{candle.high}","{candle.low}","{candle.close}","{candle.volume}",'
        f'"{turnover}","{turnover}"]'
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": instrument.name.market_id,
        "baseCoin": instrument.name.base_id,
        "quoteCoin": instrument.name.quote_id,
        "minTradeAmount": "0",
        "maxTradeAmount": "900000000000000000000",
        "takerFeeRate": "0.002",
        "makerFeeRate": "0.002",
        "pricePrecision": str(instrument.price_decimals),
        "quantityPrecision": str(instrument.volume_decimals),
        "quotePrecision": "8",
        "status": "offline" if instrument.is_delisted(now_ms) else "online",
        "minTradeUSDT": "1",
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    data = [] if "/margin/" in path else records
    return {"code": "00000", "msg": "success", "requestTime": 1_700_000_000_000, "data": data}


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(status, f'{{"code":"{code}","msg":"{text}","requestTime":1700000000000,"data":null}}')


VENUE = SandboxVenue(
    id="bitget",
    port=18809,
    naming=joined(),
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2018-08-01T00:00:00Z",
    page_limit=1_000,
    descending=False,
    empty_minutes="filled",
    limits=(
        RateLimit(
            name="requests per second",
            allowed=20,
            window=1,
            kind="sliding",
            source="www.bitget.com/api-doc/spot/market: candles and history-candles 20 per second per IP",
        ),
    ),
    refusals={
        "throttled": _error(429, 429, "Too Many Requests"),
        "banned": _error(429, 429, "Too Many Requests"),
        "unknown_symbol": _error(400, 40034, "Parameter NOSUCH does not exist"),
        "closed_market": _error(400, 40309, "The symbol has been removed"),
        "bad_request": _error(400, 40017, "Parameter verification failed"),
        "bad_interval": _error(400, 400172, "Parameter verification failed"),
        "internal": _error(500, 40725, "service return an error"),
        "maintenance": _error(400, 40200, "Server upgrade, please try again later"),
    },
    wire=WireFormat(
        candles="/api/v2/spot/market/(history-)?candles",
        markets="/api/v2/spot/public/symbols|/api/v2/margin/currencies",
        others={"/api/v2/public/time": lambda now_ms: {"code": "00000", "data": {"serverTime": str(now_ms)}}},
        timeframes=_TIMEFRAMES,
        default_limit=100,
        timeframe="granularity",
        edges=Edges(end="exclusive", keep="newest"),
        adjust=_adjust,
        row=_row,
        page=enclosed(b'{"code":"00000","msg":"success","requestTime":1700000000000,"data":[', b"]}"),
        record=_record,
        listing=_listing,
        null_page=b'{"code":"00000","msg":"success","requestTime":1700000000000,"data":null}',
    ),
    sources=(
        "www.bitget.com/api-doc/spot/market/Get-Candle-Data: at most 1000 rows; 1m candles of the last month; the "
        "exchange selects the rows by endTime (ccxt)",
        "www.bitget.com/api-doc/spot/market/Get-History-Candle-Data: at most 200 rows before endTime (required)",
        "Whether a row at exactly `endTime` is in the answer is not documented (assumed: it is not)",
    ),
)
