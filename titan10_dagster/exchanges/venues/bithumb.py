"""Bithumb."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="bithumb",
    page_size=200,
    depth=200,
    no_since=True,
    phrases=(phrase(r"Code not found", FailureKind.UNKNOWN_SYMBOL),),  # ccxt: ExchangeError
    quota=Quota(150, 1),
    source="code: `features` say 200; `since` is never sent",
)
