"""Bybit."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import Bans, FailureKind, Venue, Wire, error_code, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="bybit",
    page_size=1000,
    wire=Wire((0, 1, 2, 3, 4, 5), 1, envelope=("result", "list")),
    days_per_run=30,
    cost=5,
    budget=6,  # ccxt requests 10 times a second, a twelfth of the allowed rate; half of that leaves room for others
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
    source="docs: kline limit 1000; 600 requests per 5 s and address; 403 'access too frequent' ends after 10"
    " minutes, but 403 is a geo-block too; error codes",
)
