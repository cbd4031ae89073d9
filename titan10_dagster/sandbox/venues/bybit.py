"""Bybit REST v5: `GET /v5/market/kline`, `GET /v5/market/instruments-info`."""

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
    html,
    whole,
)

_TIMEFRAMES = {
    "1": MINUTE, "3": 3 * MINUTE, "5": 5 * MINUTE, "15": 15 * MINUTE, "30": 30 * MINUTE, "60": HOUR,
    "120": 2 * HOUR, "240": 4 * HOUR, "360": 6 * HOUR, "720": 12 * HOUR, "D": DAY,
}  # fmt: skip


class _Wire:
    def kind(self, path: str) -> Kind | None:
        if path == "/v5/market/kline":
            return "candles"
        if path == "/v5/market/instruments-info":
            return "markets"
        return "other" if path == "/v5/market/time" else None

    def ask(self, path: str, query: Mapping[str, str], now_ms: int) -> Ask:
        seconds = _TIMEFRAMES.get(query.get("interval", ""))
        if "symbol" not in query or seconds is None or query.get("category", "linear") != "spot":
            raise Refused("bad_request")
        start, end = whole(query, "start"), whole(query, "end")
        limit = min(whole(query, "limit") or 200, VENUE.page_limit)
        if start is not None:
            start = start // (seconds * 1_000) * seconds * 1_000  # the candle that contains it is included
        return Ask(
            market_id=query["symbol"],
            seconds=seconds,
            limit=limit,
            start=start,
            end=None if end is None else end + 1,
            keep="oldest" if start is not None and end is None else "newest",
        )

    def rows(self, times: Sequence[int], texts: Texts, seconds: int, closed: bool) -> list[str]:
        return [
            f'["{t}","{o}","{h}","{lo}","{c}","{v}","{float(v) * float(c):.8f}"]'
            for t, o, h, lo, c, v in zip(times, *texts, strict=True)
        ]

    def page(self, ask: Ask, instrument: Instrument, rows: bytes, last_closed_ms: int | None) -> bytes:
        head = b'{"retCode":0,"retMsg":"OK","result":{"category":"spot","symbol":"%s","list":['
        return (
            head % instrument.name.market_id.encode()
            + rows
            + b']},"retExtInfo":{},"time":%d}' % ((last_closed_ms or 0) + ask.seconds * 1_000)
        )

    def markets(self, query: Mapping[str, str], instruments: Sequence[Instrument], now_ms: int) -> Any:
        category = query.get("category", "linear")
        found = [_market(one) for one in instruments] if category == "spot" else []
        return _answer({"category": category, "list": found, "nextPageCursor": ""}, now_ms)

    def other(self, path: str, now_ms: int) -> Any:
        return _answer({"timeSecond": str(now_ms // 1_000), "timeNano": str(now_ms * 1_000_000)}, now_ms)


def _answer(result: dict[str, Any], now_ms: int) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms}


def _market(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.name.market_id,
        "baseCoin": instrument.name.base_id,
        "quoteCoin": instrument.name.quote_id,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "none",
        "lotSizeFilter": {
            "basePrecision": f"{10.0**-instrument.volume_decimals:.{instrument.volume_decimals}f}",
            "quotePrecision": "0.00000001",
            "minOrderQty": "0.00001",
            "maxOrderQty": "1000000000",
            "minOrderAmt": "1",
            "maxOrderAmt": "4000000",
        },
        "priceFilter": {"tickSize": f"{10.0**-instrument.price_decimals:.{instrument.price_decimals}f}"},
    }


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(
        status, f'{{"retCode":{code},"retMsg":"{text}","result":{{}},"retExtInfo":{{}},"time":1700000000000}}'
    )


VENUE = Venue(
    id="bybit",
    port=18805,
    naming=lambda base, quote: Name(base + quote, base, quote),
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2021-07-05T12:00:00Z",
    page_limit=1_000,
    descending=True,
    empty_minutes="filled",
    outage_every=60,
    turnover=0.4,
    quiet=2.0,
    timeframes=_TIMEFRAMES,
    limits=(
        Limit(
            name="requests per 5 s",
            allowed=600,
            window=5,
            kind="sliding",
            source="bybit-exchange.github.io/docs/v5/rate-limit: 600 requests within 5 seconds and IP; beyond it "
            "403, access too frequent, for at least 10 minutes",
            patience=0,
            ban_seconds=600,
        ),
    ),
    refusals={
        "throttled": _error(403, 10006, "access too frequent"),
        "banned": Refusal(403, '{"retCode":10006,"retMsg":"403, access too frequent"}'),
        "forbidden": html(403, "Forbidden", "CloudFront"),
        "unknown_symbol": _error(200, 10001, "Not supported symbols"),
        "bad_request": _error(200, 10001, "params error"),
        "internal": _error(500, 10016, "Internal server error"),
        "maintenance": _error(200, 10016, "Service is restarting"),
    },
    wire=_Wire(),
    sources=(
        "bybit-exchange.github.io/docs/v5/market/kline: newest first; limit default 200, at most 1000",
        "`start` alone gives the rows from there on (ccxt issue 26736 on the candle that contains it); both ends "
        "inclusive; empty minutes are flat rows (assumed)",
    ),
)
