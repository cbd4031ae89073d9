"""Kraken spot REST: `GET /0/public/OHLC`, `GET /0/public/AssetPairs`."""

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
    "1": MINUTE, "5": 5 * MINUTE, "15": 15 * MINUTE, "30": 30 * MINUTE, "60": HOUR, "240": 4 * HOUR, "1440": DAY,
}  # fmt: skip
_ALTNAMES = {"BTC": "XBT", "DOGE": "XDG"}
_OLD_ASSETS = {"BTC": "XXBT", "ETH": "XETH", "XRP": "XXRP", "LTC": "XLTC", "XLM": "XXLM", "ETC": "XETC",
               "DOGE": "XXDG", "USD": "ZUSD", "EUR": "ZEUR"}  # fmt: skip


def _naming(base: str, quote: str) -> Name:
    """Pairs of two assets from the early days have long ids: XXBTZUSD, but XBTUSDT and SOLUSD."""
    base_id, quote_id = _OLD_ASSETS.get(base, base), _OLD_ASSETS.get(quote, quote)
    if base in _OLD_ASSETS and quote in _OLD_ASSETS and base != "DOGE":
        return Name(base_id + quote_id, base_id, quote_id)
    return Name(_altname(base, quote), base_id, quote_id)


def _altname(base: str, quote: str) -> str:
    return _ALTNAMES.get(base, base) + _ALTNAMES.get(quote, quote)


class _Wire:
    def kind(self, path: str) -> Kind | None:
        if path == "/0/public/OHLC":
            return "candles"
        if path == "/0/public/AssetPairs":
            return "markets"
        return "other" if path in {"/0/public/Assets", "/0/public/Time", "/0/public/SystemStatus"} else None

    def ask(self, path: str, query: Mapping[str, str], now_ms: int) -> Ask:
        seconds = _TIMEFRAMES.get(query.get("interval", "1"))
        if "pair" not in query or seconds is None:
            raise Refused("bad_request")
        since, step = whole(query, "since"), seconds * 1_000
        running = now_ms // step * step
        # Rows newer than `since`; the running one whatever it says.
        start = None if since is None else min(since * 1_000 // step * step + step, running)
        return Ask(query["pair"], seconds, VENUE.page_limit, start=start, keep="newest")

    def rows(self, times: Sequence[int], texts: Texts, seconds: int, closed: bool) -> list[str]:
        return [
            f'[{t // 1000 if t % 1000 == 0 else t / 1000},"{o}","{h}","{lo}","{c}","{c}","{v}",{t // 60_000 % 90 + 1}]'
            for t, o, h, lo, c, v in zip(times, *texts, strict=True)
        ]

    def page(self, ask: Ask, instrument: Instrument, rows: bytes, last_closed_ms: int | None) -> bytes:
        key = instrument.name.market_id.encode()
        return b'{"error":[],"result":{"%s":[%s],"last":%d}}' % (key, rows, (last_closed_ms or 0) // 1_000)

    def markets(self, query: Mapping[str, str], instruments: Sequence[Instrument], now_ms: int) -> Any:
        return {"error": [], "result": {one.name.market_id: _pair(one) for one in instruments}}

    def other(self, path: str, now_ms: int) -> Any:
        if path.endswith("Time"):
            return {"error": [], "result": {"unixtime": now_ms // 1_000, "rfc1123": ""}}
        return {"error": [], "result": {} if path.endswith("Assets") else {"status": "online"}}


def _pair(instrument: Instrument) -> dict[str, Any]:
    return {
        "altname": _altname(instrument.base, instrument.quote),
        "wsname": instrument.symbol.replace("BTC", "XBT"),
        "aclass_base": "currency",
        "base": instrument.name.base_id,
        "aclass_quote": "currency",
        "quote": instrument.name.quote_id,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": instrument.price_decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "ordermin": "0.0001",
        "costmin": "0.5",
        "tick_size": f"{10.0**-instrument.price_decimals:.{instrument.price_decimals}f}",
        "status": "online",
    }


def _error(text: str) -> Refusal:
    return Refusal(200, f'{{"error":["{text}"]}}')


VENUE = Venue(
    id="kraken",
    port=18803,
    naming=_naming,
    symbols=(*against("USD"), "BTC/USDT", "ETH/USDT", "ETH/BTC", "BTC/EUR", "BTC/USDC"),
    opens="2013-10-06T21:00:00Z",
    page_limit=720,
    descending=False,
    empty_minutes="filled",
    outage_every=None,
    turnover=0.1,
    quiet=6.0,
    pad=8,
    timeframes=_TIMEFRAMES,
    limits=(
        Limit(
            name="counter of public calls",
            allowed=15,
            window=15,
            kind="decay",
            source="support.kraken.com, What are the API rate limits: public calls once a second or less are safe; "
            "the counter's ceiling of 15 is that of the private API's starter tier",
            patience=5,
            ban_seconds=900,
        ),
    ),
    refusals={
        "throttled": _error("EGeneral:Too many requests"),
        "banned": _error("EGeneral:Temporary lockout"),
        "unknown_symbol": _error("EQuery:Unknown asset pair"),
        "bad_request": _error("EGeneral:Invalid arguments"),
        "not_found": _error("EGeneral:Unknown method"),
        "internal": _error("EGeneral:Internal error"),
        "maintenance": _error("EService:Unavailable"),
    },
    wire=_Wire(),
    sources=(
        "docs.kraken.com/api-reference/market-data/get-ohlc-data: the last 720 rows, older ones cannot be had "
        "whatever `since` says; the last row is the running one and always present; `last` is the last committed one",
        "Minutes without a trade are zero-volume rows by REST, absent in the CSV archive",
    ),
)
