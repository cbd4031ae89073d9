"""BingX spot REST: `GET /openApi/spot/v1/market/kline`, `GET /openApi/spot/v1/common/symbols`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against, joined
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, WireFormat, enclosed

_TIMEFRAMES = {
    "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR,
    "2h": 2 * HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR, "1d": DAY,
}  # fmt: skip


def _row(candle: Candle) -> str:
    return (
        f"[{candle.time},{candle.open},{candle.high},{candle.low},{candle.close},{candle.volume},{candle.last_ms},"
        f"{candle.turnover(2)}]"
    )


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    trades = not instrument.is_delisted(now_ms)
    return {
        "symbol": instrument.name.market_id,
        "minNotional": 1,
        "maxNotional": 500000,
        "status": 1 if trades else 0,
        "tickSize": 10.0**-instrument.price_decimals,
        "stepSize": 10.0**-instrument.volume_decimals,
        "apiStateSell": trades,
        "apiStateBuy": trades,
        "timeOnline": 0,
        "offTime": 0,
        "maintainTime": 0,
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    if "/spot/" not in path:
        return {"code": 0, "msg": "", "data": []}
    return {"code": 0, "msg": "", "debugMsg": "", "data": {"symbols": records}}


def _error(code: int, text: str, status: int = 200) -> Refusal:
    return Refusal(status, f'{{"code":{code},"msg":"{text}","timestamp":1700000000000}}')


_BLOCKED = (
    "rate limited: the current system is busy; code:100410:The endpoint trigger frequency limit rule is currently"
)

VENUE = SandboxVenue(
    id="bingx",
    port=18816,
    naming=joined("-"),
    symbols=(*against("USDT"), "BTC/USDC", "ETH/USDC"),
    opens="2021-08-01T00:00:00Z",
    names_delisted=True,
    page_limit=1_440,
    descending=True,
    empty_minutes="filled",
    limits=(
        RateLimit(
            name="market interface per 10 s",
            allowed=500,
            window=10,
            kind="sliding",
            source="bingx-api.github.io/docs, Rate limitation: market interfaces 500 per 10 s per IP; above it the "
            "address is blocked for 5 minutes",
            patience=0,
            ban_seconds=300,
        ),
    ),
    refusals={
        "throttled": _error(100410, f"{_BLOCKED} in the disabled period and will be unblocked after %UNTIL%"),
        "banned": _error(100410, f"{_BLOCKED} in the disabled period and will be unblocked after %UNTIL%"),
        "unknown_symbol": _error(100421, "this symbol does not exist"),
        "closed_market": _error(100421, "this symbol is offline"),
        "bad_request": _error(100400, "Invalid parameters"),
        "bad_interval": _error(100400, "Invalid parameters, interval"),
        "internal": _error(100500, "Internal system error"),
        "maintenance": _error(100503, "Server is under maintenance", status=503),
    },
    wire=WireFormat(
        candles="/openApi/spot/v1/market/kline",
        markets=r"/openApi/(spot/v1/common/symbols|swap/v2/quote/contracts|cswap/v1/market/contracts)",
        timeframes=_TIMEFRAMES,
        default_limit=500,
        row=_row,
        page=enclosed(b'{"code":0,"timestamp":1700000000000,"data":[', b"]}"),
        record=_record,
        listing=_listing,
        null_page=b'{"code":0,"timestamp":1700000000000,"data":null}',
    ),
    sources=(
        "bingx-api.github.io/docs, Historical K-line: limit at most 1440, newest first",
        "The answer to `startTime` without `endTime` is not documented. Assumed: the oldest rows from `startTime` on; "
        "Edges(keep='newest') selects the newest rows",
        "The texts for unknown and closed symbols are assumed; the codes are from ccxt",
    ),
)
