"""The record of Kraken."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import Bans, EmptyMinutes, FailureKind, Venue, Wire, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="kraken",
    page_size=720,
    depth=720,
    empty_minutes=EmptyMinutes.FILLED,
    wire=Wire((0, 1, 2, 3, 4, 6), 1000, envelope=None, last_finished=("result", "last")),
    files_omit_empty_minutes=True,
    alternative_source="Kraken's quarterly OHLCVT zips, which leave out minutes without trades",
    days_per_run=32,
    cost=1.2,
    quota=Quota(15, 15),
    bans=Bans(frozenset({418}), timedelta(minutes=15)),
    phrases=(
        phrase(r"EQuery:Unknown asset pair", FailureKind.UNKNOWN_SYMBOL),
        phrase(r"Temporary lockout", FailureKind.BANNED),
        phrase(r"Too many requests|Rate limit exceeded|EService: ?Throttled", FailureKind.THROTTLED),
        phrase(r"EService:(Unavailable|Market in)|This service is under maintenance", FailureKind.MAINTENANCE),
        phrase(r"EService:(Busy|Timeout|Deadline)|EGeneral:Internal error", FailureKind.TRANSIENT),
    ),
    warning=r"W[A-Z].*",
    source="docs: the endpoint OHLC returns the last 720 rows for any `since`. The last row is not finished, and `last`"
    " is the time of the last finished candle. The error sentences are also from the docs. Errors begin"
    " with E, and warnings with W",
)
