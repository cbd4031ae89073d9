"""The record of Bitfinex."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import EmptyMinutes, FailureKind, Venue, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="bitfinex",
    page_size=10_000,
    empty_minutes=EmptyMinutes.MISSING,
    cost=2.7,
    quota=Quota(30, 60),
    quota_pause=timedelta(seconds=60),
    phrases=(phrase(r"ERR_RATE_LIMIT|ratelimit", FailureKind.THROTTLED),),
    source="docs: a request returns up to 10,000 candles. Minutes without trades are left out. After too many requests,"
    " Bitfinex blocks the sender for 10 to 60 s",
)
