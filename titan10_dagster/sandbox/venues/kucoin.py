"""KuCoin spot REST: `GET /api/v1/market/candles`, `GET /api/v2/symbols`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against, joined
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, Edges, WireFormat, enclosed, step_text

_TIMEFRAMES = {
    "1min": MINUTE, "3min": 3 * MINUTE, "5min": 5 * MINUTE, "15min": 15 * MINUTE, "30min": 30 * MINUTE, "1hour": HOUR,
    "2hour": 2 * HOUR, "4hour": 4 * HOUR, "6hour": 6 * HOUR, "8hour": 8 * HOUR, "12hour": 12 * HOUR, "1day": DAY,
}  # fmt: skip
_TICKERS = "/api/v1/market/allTickers"


def _row(candle: Candle) -> str:
    return (
        f'["{candle.time // 1000}","{candle.open}","{candle.close}","{candle.high}","{candle.low}","{candle.volume}",'
        f'"{candle.turnover(6)}"]'
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": instrument.name.market_id,
        "name": instrument.name.market_id,
        "baseCurrency": instrument.name.base_id,
        "quoteCurrency": instrument.name.quote_id,
        "market": "USDS",
        "baseMinSize": "0.0001",
        "quoteMinSize": "0.1",
        "baseIncrement": step_text(instrument.volume_decimals),
        "priceIncrement": step_text(instrument.price_decimals),
        "isMarginEnabled": False,
        "enableTrading": not instrument.is_delisted(now_ms),
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    data: Any = {"time": 1_700_000_000_000, "ticker": []} if path == _TICKERS else records
    return {"code": "200000", "data": data}


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(status, f'{{"code":"{code}","msg":"{text}"}}')


VENUE = SandboxVenue(
    id="kucoin",
    port=18807,
    naming=joined("-"),
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2017-10-01T00:00:00Z",
    page_limit=1_500,
    descending=True,
    empty_minutes="missing",
    turnover=0.15,
    trim=True,
    limits=(
        RateLimit(
            name="public pool per 30 s",
            allowed=2_000,
            window=30,
            kind="fixed",
            source="www.kucoin.com/docs, Request Rate Limit: public pool of 2000 weight per 30 s per IP; klines 3",
            cost={"candles": 3, "markets": 4},
        ),
    ),
    refusals={
        "throttled": _error(429, 429000, "Too many requests in a short period of time, please retry later"),
        "banned": _error(429, 429000, "Too many requests in a short period of time, please retry later"),
        "restricted": _error(
            400, 400302, "Our services are currently unavailable in the U.S. To ensure a seamless experience, please "
            "access our platform from a non-restricted country/region using a supported IP address."
        ),
        "unknown_symbol": _error(400, 400100, "symbol not exists"),
        "closed_market": _error(400, 400100, "This pair is not provided at present"),
        "bad_request": _error(400, 400100, "Param startAt is invalid"),
        "bad_interval": _error(400, 400100, "Incorrect candlestick type."),
        "internal": _error(500, 500000, "Internal Server Error"),
        "maintenance": _error(503, 503000, "Service unavailable"),
    },
    wire=WireFormat(
        candles="/api/v1/market/candles",
        markets=f"/api/v2/symbols|{_TICKERS}",
        others={"/api/v1/timestamp": lambda now_ms: {"code": "200000", "data": now_ms}},
        timeframes=_TIMEFRAMES,
        default_limit=1_500,
        timeframe="type",
        start="startAt",
        end="endAt",
        unit=1_000,
        edges=Edges(end="exclusive", keep="newest"),
        row=_row,
        page=enclosed(b'{"code":"200000","data":[', b"]}"),
        record=_record,
        listing=_listing,
        null_page=b'{"code":"200000","data":null}',
    ),
    sources=(
        "www.kucoin.com/docs, Get Klines: at most 1500 rows, newest first; minutes without ticks are left out",
        "Whether `endAt` is inclusive is not documented (assumed: exclusive)",
        "If more than 1500 rows are in range, the newest are returned (assumed)",
    ),
)  # fmt: skip
