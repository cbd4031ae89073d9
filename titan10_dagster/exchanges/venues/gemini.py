"""The record of Gemini."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import EmptyMinutes, FailureKind, Venue, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="gemini",
    page_size=1440,
    depth=1440,
    empty_minutes=EmptyMinutes.FILLED,
    no_since=True,
    cost=5,
    quota=Quota(120, 60),
    # ccxt raises BadRequest for an unknown symbol.
    phrases=(phrase(r"is not a valid symbol", FailureKind.UNKNOWN_SYMBOL),),
    source="docs: a request has no start parameter, and returns the 1m candles of the last day. code: ccxt's `features`"
    " have no limit",
)
