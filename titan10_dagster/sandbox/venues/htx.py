"""HTX spot REST: `GET /market/history/candles`, `GET /v1/common/symbols`. Its days begin at 16:00 UTC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.sandbox.venues.instrument import Instrument, MarketName
from titan10_dagster.sandbox.venues.venue import RateLimit, Refusal, SandboxVenue, against
from titan10_dagster.sandbox.venues.wire import DAY, HOUR, MINUTE, Candle, PageContext, WireFormat

_TIMEFRAMES = {
    "1min": MINUTE, "5min": 5 * MINUTE, "15min": 15 * MINUTE, "30min": 30 * MINUTE, "60min": HOUR, "4hour": 4 * HOUR,
    "1day": DAY,
}  # fmt: skip


def _naming(base: str, quote: str) -> MarketName:
    return MarketName((base + quote).lower(), base.lower(), quote.lower())


def _row(candle: Candle) -> str:
    return (
        f'{{"id":{candle.time // 1000},"open":{candle.open},"close":{candle.close},"low":{candle.low},'
        f'"high":{candle.high},"amount":{candle.volume},"vol":{candle.turnover()},"count":7}}'
    )


def _page(rows: bytes, context: PageContext) -> bytes:
    channel = f"market.{context.instrument.name.market_id}.kline"
    return b'{"status":"ok","ch":"%s","ts":%d,"data":[%s]}' % (channel.encode(), context.now_ms, rows)


def _record(instrument: Instrument, now_ms: int) -> dict[str, Any]:
    return {
        "base-currency": instrument.name.base_id,
        "quote-currency": instrument.name.quote_id,
        "price-precision": instrument.price_decimals,
        "amount-precision": instrument.volume_decimals,
        "symbol-partition": "main",
        "symbol": instrument.name.market_id,
        "state": "offline" if instrument.is_delisted(now_ms) else "online",
        "value-precision": 8,
        "min-order-amt": 0.00001,
        "max-order-amt": 1000,
        "min-order-value": 5,
        "api-trading": "enabled",
        "tags": "",
    }


def _listing(records: list[Any], path: str, query: Mapping[str, str]) -> dict[str, Any]:
    return {"status": "ok", "data": records}


def _error(code: str, text: str) -> Refusal:
    return Refusal(200, f'{{"status":"error","ts":1700000000000,"err-code":"{code}","err-msg":"{text}"}}')


VENUE = SandboxVenue(
    id="htx",
    port=18811,
    naming=_naming,
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2017-10-27T00:00:00Z",
    names_delisted=True,
    page_limit=1_000,
    refuses_before_listing=True,
    day_starts=16,
    descending=True,
    empty_minutes="filled",
    limits=(
        RateLimit(
            name="requests per second",
            allowed=10,
            window=1,
            kind="sliding",
            source="www.htx.com/en-us/opend/newApiPages, Rate limiting: market data 10 requests per second per IP",
        ),
    ),
    refusals={
        "throttled": _error("too-many-request", "too many request"),
        "banned": _error("too-many-request", "too many request"),
        "unknown_symbol": _error("invalid-parameter", "invalid symbol"),
        "closed_market": _error("invalid-parameter", "invalid symbol"),
        "too_early": _error("invalid-parameter", "invalid from"),
        "bad_request": _error("invalid-parameter", "invalid size, valid range: [1,1000]"),
        "bad_interval": _error("invalid-parameter", "invalid period"),
        "internal": _error("gateway-internal-error", "internal error"),
        "maintenance": _error("system-maintenance", "System is in maintenance!"),
    },
    wire=WireFormat(
        candles="/market/history/candles",
        markets="/v1/common/symbols",
        others={"/v1/common/timestamp": lambda now_ms: {"status": "ok", "data": now_ms}},
        timeframes=_TIMEFRAMES,
        default_limit=150,
        timeframe="period",
        limit="size",
        start="from",
        end="to",
        unit=1_000,
        row=_row,
        page=_page,
        record=_record,
        listing=_listing,
        null_page=b'{"status":"ok","data":null}',
    ),
    sources=(
        "HTX's documents: a minute without trades has a row with volume 0",
        "ccxt PR 17783 and huobiapi/API_Docs_en issue 8: days are in GMT+8",
        "ccxt PR 21686: an error if `from` is before the listing; its text is assumed",
        "If there are more than `size` rows since `from`, the oldest rows are returned (assumed)",
    ),
)
