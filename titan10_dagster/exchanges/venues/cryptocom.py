"""Crypto.com."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, code_pattern, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="cryptocom",
    page_size=300,
    # ccxt: 40004 is a BadRequest, which is right for every argument except the symbol.
    phrases=(phrase(code_pattern("code", 40004) + r".*instrument_name", FailureKind.UNKNOWN_SYMBOL),),
    quota=Quota(100, 1),
    source="docs: 300 candles; error codes",
)
