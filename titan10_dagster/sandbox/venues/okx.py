"""OKX REST v5: `GET /api/v5/market/candles`, `.../history-candles`, `GET /api/v5/public/instruments`."""

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
    "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1H": HOUR,
    "2H": 2 * HOUR, "4H": 4 * HOUR, "6Hutc": 6 * HOUR, "12Hutc": 12 * HOUR, "1Dutc": DAY,
}  # fmt: skip
_RECENT = "/api/v5/market/candles"
_HISTORY = "/api/v5/market/history-candles"
_RECENT_DEPTH = 1_440  # rows that /candles can give


class _Wire:
    def kind(self, path: str) -> Kind | None:
        if path in {_RECENT, _HISTORY}:
            return "candles"
        if path == "/api/v5/public/instruments":
            return "markets"
        return "other" if path == "/api/v5/public/time" else None

    def ask(self, path: str, query: Mapping[str, str], now_ms: int) -> Ask:
        seconds = _TIMEFRAMES.get(query.get("bar", "1m"))
        if "instId" not in query or seconds is None:
            raise Refused("bad_request")
        newer_than, older_than = whole(query, "before"), whole(query, "after")
        start = None if newer_than is None else newer_than + 1
        if path == _RECENT:
            oldest = now_ms // (seconds * 1_000) * (seconds * 1_000) - (_RECENT_DEPTH - 1) * seconds * 1_000
            start = max(start or 0, oldest)
        return Ask(
            market_id=query["instId"],
            seconds=seconds,
            limit=min(whole(query, "limit") or 100, VENUE.page_limit),
            start=start,
            end=older_than,
            keep="newest",
            unfinished=path == _RECENT,
        )

    def rows(self, times: Sequence[int], texts: Texts, seconds: int, closed: bool) -> list[str]:
        confirm = "1" if closed else "0"
        turnover = [f"{float(v) * float(c):.6f}" for c, v in zip(texts[3], texts[4], strict=True)]
        return [
            f'["{t}","{o}","{h}","{lo}","{c}","{v}","{q}","{q}","{confirm}"]'
            for t, o, h, lo, c, v, q in zip(times, *texts, turnover, strict=True)
        ]

    def page(self, ask: Ask, instrument: Instrument, rows: bytes, last_closed_ms: int | None) -> bytes:
        return b'{"code":"0","msg":"","data":[' + rows + b"]}"

    def markets(self, query: Mapping[str, str], instruments: Sequence[Instrument], now_ms: int) -> Any:
        spot = query.get("instType") == "SPOT"
        return {"code": "0", "msg": "", "data": [_market(one) for one in instruments] if spot else []}

    def other(self, path: str, now_ms: int) -> Any:
        return {"code": "0", "msg": "", "data": [{"ts": str(now_ms)}]}


def _market(instrument: Instrument) -> dict[str, Any]:
    return {
        "alias": "",
        "baseCcy": instrument.name.base_id,
        "category": "1",
        "ctMult": "",
        "ctType": "",
        "ctVal": "",
        "ctValCcy": "",
        "expTime": "",
        "instFamily": "",
        "instId": instrument.name.market_id,
        "instType": "SPOT",
        "lever": "",
        "listTime": str(instrument.listed_ms),
        "lotSz": f"{10.0**-instrument.volume_decimals:.{instrument.volume_decimals}f}",
        "maxLmtSz": "999999999999",
        "maxMktSz": "1000000",
        "minSz": "0.00001",
        "optType": "",
        "quoteCcy": instrument.name.quote_id,
        "settleCcy": "",
        "state": "live",
        "stk": "",
        "tickSz": f"{10.0**-instrument.price_decimals:.{instrument.price_decimals}f}",
        "uly": "",
    }


def _error(status: int, code: int, text: str) -> Refusal:
    return Refusal(status, f'{{"code":"{code}","data":[],"msg":"{text}"}}')


VENUE = Venue(
    id="okx",
    port=18804,
    naming=lambda base, quote: Name(f"{base}-{quote}", base, quote),
    symbols=(*against("USDT"), "ETH/BTC", "BTC/USDC"),
    opens="2018-01-11T00:00:00Z",
    page_limit=300,
    descending=True,
    empty_minutes="filled",
    outage_every=60,
    turnover=0.4,
    quiet=2.0,
    trim=True,
    timeframes=_TIMEFRAMES,
    limits=(
        Limit(
            name="history-candles per 2 s",
            allowed=20,
            window=2,
            kind="sliding",
            source="www.okx.com/docs-v5, Get candlesticks history: 20 requests per 2 seconds, by IP",
            paths=_HISTORY,
        ),
        Limit(
            name="candles per 2 s",
            allowed=40,
            window=2,
            kind="sliding",
            source="www.okx.com/docs-v5, Get candlesticks: 40 requests per 2 seconds, by IP",
            paths=_RECENT,
        ),
        Limit(
            name="instruments per 2 s",
            allowed=20,
            window=2,
            kind="sliding",
            source="www.okx.com/docs-v5, Get instruments: 20 requests per 2 seconds, by IP and instrument type",
            paths="/api/v5/public/instruments",
        ),
    ),
    refusals={
        "throttled": _error(429, 50011, "Too Many Requests"),
        "banned": _error(429, 50011, "Too Many Requests"),
        "unknown_symbol": _error(200, 51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
        "bad_request": _error(400, 51000, "Parameter bar error"),
        "not_found": _error(404, 404, "Not Found"),
        "internal": _error(500, 50026, "System error. Try again later"),
        "maintenance": _error(503, 50001, "Service temporarily unavailable. Please try again later."),
        "restricted": _error(451, 50113, "Service is not available in your region."),
    },
    wire=_Wire(),
    sources=(
        "www.okx.com/docs-v5: `before` newer than, `after` older than, both exclusive; newest first; limit default "
        "100, at most 300; `confirm` 0 while the candle forms; /candles reaches back 1,440 rows",
        "history-candles holds finished candles only (assumed); empty minutes are flat rows (assumed)",
    ),
)
