"""Bithumb REST, generation 2: the interface of Upbit with other limits. ccxt sends neither start nor end."""

from __future__ import annotations

from titan10_dagster.sandbox.venues import upbit
from titan10_dagster.sandbox.venues.venue import RateLimit, SandboxVenue, against

VENUE = SandboxVenue(
    id="bithumb",
    port=18819,
    naming=upbit.naming,
    symbols=(*against("KRW"), "ETH/BTC", "XRP/BTC"),
    opens="2017-09-25T00:00:00Z",
    page_limit=200,
    descending=True,
    empty_minutes="missing",
    turnover=0.1,
    quiet=5.0,
    limits=(
        RateLimit(
            name="public requests per second",
            allowed=150,
            window=1,
            kind="sliding",
            source="apidocs.bithumb.com, Rate limits: public interfaces 150 per second per IP",
        ),
    ),
    refusals={**upbit.REFUSALS, "throttled": upbit.error(429, '"too_many_requests"', "Too many requests")},
    wire=upbit.WIRE,
    sources=(
        "apidocs.bithumb.com/v2.1.5, Minute candles: at most 200 rows before `to`",
        "The answer for an unknown market is HTTP 404 with `Code not found`. Minutes without trades are left out "
        "(assumed, as at Upbit)",
    ),
)
