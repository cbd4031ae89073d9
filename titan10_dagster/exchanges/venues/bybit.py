"""The record of Bybit."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import Bans, FailureKind, Venue, Wire, error_code, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="bybit",
    page_size=1000,
    wire=Wire((0, 1, 2, 3, 4, 5), 1, envelope=("result", "list")),
    market_name=("result", "symbol"),
    days_per_run=30,
    cost=5,
    # ccxt makes 10 requests a second, which is a twelfth of the allowed rate. A budget of 6 uses half of the allowed
    # rate and leaves the other half to other programs.
    budget=6,
    quota=Quota(600, 5),
    quota_pause=timedelta(seconds=5),
    bans=Bans(frozenset({403, 418}), timedelta(minutes=10)),
    phrases=(
        phrase(r"symbol (is )?invalid|invalid symbol|not supported symbol", FailureKind.UNKNOWN_SYMBOL),
        phrase(r"symbol params err", FailureKind.UNKNOWN_SYMBOL),
        error_code("retCode", 10006, 10018, kind=FailureKind.THROTTLED),
        error_code("retCode", 10000, 10016, kind=FailureKind.TRANSIENT),
        error_code("retCode", 10024, 10009, kind=FailureKind.REFUSED),
    ),
    error_marker='"ret',
    source="docs: a request returns up to 1000 candles. 600 requests per 5 s are allowed for each IP address. HTTP 403"
    " 'access too frequent' means a block of 10 minutes, but HTTP 403 can also mean that the country is blocked. The"
    " error codes are also from the docs",
)
