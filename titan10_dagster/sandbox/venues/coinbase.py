"""Coinbase Advanced Trade REST, public: `GET /api/v3/brokerage/market/products[/{id}/candles]`."""

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
    "ONE_MINUTE": MINUTE, "FIVE_MINUTE": 5 * MINUTE, "FIFTEEN_MINUTE": 15 * MINUTE, "THIRTY_MINUTE": 30 * MINUTE,
    "ONE_HOUR": HOUR, "TWO_HOUR": 2 * HOUR, "SIX_HOUR": 6 * HOUR, "ONE_DAY": DAY,
}  # fmt: skip
_PRODUCTS = "/api/v3/brokerage/market/products"


class _Wire:
    def kind(self, path: str) -> Kind | None:
        if path.startswith(_PRODUCTS):
            return "candles" if path.endswith("/candles") else "markets"
        return "other" if path.startswith(("/v2/", "/api/v3/brokerage/time")) else None

    def ask(self, path: str, query: Mapping[str, str], now_ms: int) -> Ask:
        seconds = _TIMEFRAMES.get(query.get("granularity", ""))
        start, end = whole(query, "start"), whole(query, "end")
        if seconds is None or start is None or end is None or end < start:
            raise Refused("bad_request")
        if end - start > VENUE.page_limit * seconds:
            raise Refused("too_many_candles")
        return Ask(
            market_id=path.removeprefix(_PRODUCTS + "/").removesuffix("/candles"),
            seconds=seconds,
            limit=VENUE.page_limit,
            start=start // seconds * seconds * 1_000,  # the candle that contains `start` is in the answer
            end=end * 1_000,
            keep="newest",
        )

    def rows(self, times: Sequence[int], texts: Texts, seconds: int, closed: bool) -> list[str]:
        return [
            f'{{"start":"{t // 1000}","low":"{lo}","high":"{h}","open":"{o}","close":"{c}","volume":"{v}"}}'
            for t, o, h, lo, c, v in zip(times, *texts, strict=True)
        ]

    def page(self, ask: Ask, instrument: Instrument, rows: bytes, last_closed_ms: int | None) -> bytes:
        return b'{"candles":[' + rows + b"]}"

    def markets(self, query: Mapping[str, str], instruments: Sequence[Instrument], now_ms: int) -> Any:
        spot = query.get("product_type", "SPOT") == "SPOT"
        products = [_product(instrument) for instrument in instruments] if spot else []
        return {"products": products, "num_products": len(products)}

    def other(self, path: str, now_ms: int) -> Any:
        if path.endswith("exchange-rates"):
            return {"data": {"currency": "USD", "rates": {}}}
        if path.endswith("time"):
            return {"epochSeconds": str(now_ms // 1_000), "epochMillis": str(now_ms)}
        return {"data": []}


def _product(instrument: Instrument) -> dict[str, Any]:
    increment = f"{10.0**-instrument.price_decimals:.{instrument.price_decimals}f}"
    return {
        "product_id": instrument.name.market_id,
        "base_increment": f"{10.0**-instrument.volume_decimals:.{instrument.volume_decimals}f}",
        "quote_increment": increment,
        "price_increment": increment,
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": "0.00000001",
        "base_max_size": "3400000000",
        "base_name": instrument.base,
        "quote_name": instrument.quote,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "trading_disabled": False,
        "product_type": "SPOT",
        "quote_currency_id": instrument.name.quote_id,
        "base_currency_id": instrument.name.base_id,
        "alias": "",
        "alias_to": [],
        "view_only": False,
        "display_name": instrument.name.market_id,
        "product_venue": "CBE",
    }


def _error(status: int, code: str, text: str) -> Refusal:
    return Refusal(status, f'{{"error":"{code}","error_details":"{text}","message":"{text}"}}')


VENUE = Venue(
    id="coinbase",
    port=18802,
    naming=lambda base, quote: Name(f"{base}-{quote}", base, quote),
    symbols=(*against("USD"), "BTC/USDT", "ETH/USDT", "ETH/BTC", "SOL/USDT"),
    opens="2015-07-20T21:36:00Z",
    listed={"PEPE/USD": "2024-11-13T17:00:00Z", "XRP/USD": "2023-07-13T18:00:00Z"},
    page_limit=300,
    descending=True,
    empty_minutes="missing",
    outage_every=60,
    turnover=0.3,
    quiet=4.0,
    trim=True,
    timeframes=_TIMEFRAMES,
    limits=(
        Limit(
            name="requests per second",
            allowed=10,
            window=1,
            kind="sliding",
            source="docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/rest-api: public endpoints 10 a second "
            "and IP, 429 beyond it",
        ),
    ),
    refusals={
        "throttled": Refusal(429, '{"error":"rate_limit_exceeded","error_details":"","message":"Too many requests"}'),
        "banned": Refusal(429, '{"error":"rate_limit_exceeded","error_details":"","message":"Too many requests"}'),
        "unknown_symbol": _error(404, "NOT_FOUND", "valid product_id is required"),
        "too_many_candles": _error(
            400,
            "INVALID_ARGUMENT",
            "start and end argument is invalid - number of candles requested should be less than 300",
        ),
        "bad_request": _error(400, "INVALID_ARGUMENT", "granularity argument is invalid"),
        "not_found": _error(404, "NOT_FOUND", "not found"),
        "internal": Refusal(500, '{"error":"INTERNAL","error_details":"","message":"Internal server error"}'),
        "maintenance": Refusal(503, '{"error":"UNAVAILABLE","error_details":"","message":"Service unavailable"}'),
        "forbidden": Refusal(403, '{"error":"PERMISSION_DENIED","error_details":"","message":"Forbidden"}'),
    },
    wire=_Wire(),
    sources=(
        "docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-candles",
        "ccxt pull request 25171: 300 candles at most; KmiQ/coinbase-advanced-python pull request 26: the error's "
        "text; ccxt asks for exactly 300, which is answered",
        "`end` is taken as exclusive (not documented)",
        "Buckets without a trade are absent (docs); rows may precede `start` (coinbasepro-python issue 269)",
    ),
)
