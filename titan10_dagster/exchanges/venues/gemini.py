"""Gemini."""

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
    phrases=(phrase(r"is not a valid symbol", FailureKind.UNKNOWN_SYMBOL),),  # ccxt: InvalidSymbol is a BadRequest
    source="docs: the request has no start, 1m candles are always of the last day. code: `features` name no limit",
)
