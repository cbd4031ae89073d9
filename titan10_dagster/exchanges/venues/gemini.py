"""Gemini."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import EmptyMinutes, FailureKind, Venue, phrase

VENUE = Venue(
    exchange="gemini",
    page_size=1440,
    depth=1440,
    empty_minutes=EmptyMinutes.FILLED,
    no_since=True,
    cost=5,
    phrases=(phrase(r"is not a valid symbol", FailureKind.UNKNOWN_SYMBOL),),  # ccxt: InvalidSymbol is a BadRequest
    source="docs: no start time, always the last day of 1m; `features` name no limit",
)
