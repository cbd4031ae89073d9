"""Upbit."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import EmptyMinutes, FailureKind, Venue, phrase

VENUE = Venue(
    exchange="upbit",
    page_size=200,
    empty_minutes=EmptyMinutes.MISSING,
    cursor=True,
    cost=2,
    quota_pause=timedelta(seconds=2),
    phrases=(phrase(r"Code not found", FailureKind.UNKNOWN_SYMBOL),),  # ccxt: ExchangeError
    source="docs: 200 candles back from a cursor; minutes without trades left out; 429, then 418",
)
