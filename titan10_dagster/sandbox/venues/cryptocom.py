"""Crypto.com Exchange REST v1: `GET .../public/get-candlestick`, `GET .../public/get-instruments`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against, joined
from titan10_dagster.sandbox.venues.wire import (
    DAY,
    HOUR,
    MINUTE,
    Candle,
    Edges,
    PageContext,
    WireFormat,
    step_text,
)

_TIMEFRAMES = {
    "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR,
    "6h": 6 * HOUR, "12h": 12 * HOUR, "1D": DAY,
}  # fmt: skip
_PUBLIC = "/exchange/v1/public/"


def _row(candle: Candle) -> str:
    return (
        f'{{"o":"{candle.open}","h":"{candle.high}","l":"{candle.low}","c":"{candle.close}","v":"{candle.volume}",'
        f'"t":{candle.time}}}'
    )


def _page(rows: bytes, context: PageContext) -> bytes:
    head = b'{"id":-1,"method":"public/get-candlestick","code":0,"result":{"instrument_name":"%s","data":['
    return head % context.instrument.name.market_id.encode() + rows + b"]}}"


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": instrument.name.market_id,
        "inst_type": "CCY_PAIR",
        "display_name": instrument.symbol,
        "base_ccy": instrument.name.base_id,
        "quote_ccy": instrument.name.quote_id,
        "quote_decimals": instrument.price_decimals,
        "quantity_decimals": instrument.volume_decimals,
        "price_tick_size": step_text(instrument.price_decimals),
        "qty_tick_size": step_text(instrument.volume_decimals),
        "max_leverage": "50",
        "tradable": not instrument.is_delisted(now_ms),
        "expiry_timestamp_ms": 0,
        "margin_buy_enabled": False,
        "margin_sell_enabled": False,
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    return {"id": 1, "method": "public/get-instruments", "code": 0, "result": {"data": records}}


def _error(status: int, code: int, text: str, method: str = "public/get-candlestick") -> Refusal:
    return Refusal(status, f'{{"id":-1,"method":"{method}","code":{code},"message":"{text}"}}')


VENUE = SandboxVenue(
    id="cryptocom",
    port=18815,
    naming=joined("_"),
    symbols=(*against("USDT"), "BTC/USD", "ETH/BTC"),
    opens="2019-11-14T00:00:00Z",
    page_limit=300,
    descending=False,
    empty_minutes="filled",
    limits=(
        RateLimit(
            name="candlestick requests per second",
            allowed=100,
            window=1,
            kind="sliding",
            source="exchange-docs.crypto.com/exchange/v1, Rate limits: public market data 100 per second per IP",
            paths="get-candlestick",
        ),
    ),
    refusals={
        "throttled": _error(429, 42901, "TOO_MANY_REQUESTS"),
        "banned": _error(429, 42901, "TOO_MANY_REQUESTS"),
        "unknown_symbol": _error(400, 40004, "Missing or invalid argument: instrument_name"),
        "closed_market": _error(400, 40004, "Missing or invalid argument: instrument_name"),
        "bad_request": _error(400, 40004, "Missing or invalid argument: count"),
        "bad_interval": _error(400, 40004, "Missing or invalid argument: timeframe"),
        "internal": _error(500, 50001, "ERR_INTERNAL"),
        "maintenance": _error(400, 9010001, "SYSTEM_MAINTENANCE"),
    },
    wire=WireFormat(
        candles=_PUBLIC + "get-candlestick",
        markets=_PUBLIC + "get-instruments",
        timeframes=_TIMEFRAMES,
        default_limit=25,
        symbol="instrument_name",
        timeframe="timeframe",
        limit="count",
        start="start_ts",
        end="end_ts",
        edges=Edges(end="exclusive", keep="newest"),
        row=_row,
        page=_page,
        record=_record,
        listing=_listing,
        null_page=b'{"id":-1,"method":"public/get-candlestick","code":0,"result":{"data":null}}',
    ),
    sources=(
        "exchange-docs.crypto.com/exchange/v1, public/get-candlestick: count default 25, at most 300",
        "Whether a row at exactly `end_ts` is in the answer is not documented (assumed: it is not)",
        "If more rows than `count` are in range, the newest are returned (assumed)",
    ),
)
