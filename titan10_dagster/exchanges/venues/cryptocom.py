"""The record of Crypto.com."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, code_pattern, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="cryptocom",
    page_size=300,
    market_name=("result", "instrument_name"),
    # Code 40004 means that an argument is invalid, and ccxt raises BadRequest. If the invalid argument is the symbol,
    # ccxt should raise BadSymbol.
    phrases=(phrase(code_pattern("code", 40004) + r".*instrument_name", FailureKind.UNKNOWN_SYMBOL),),
    quota=Quota(100, 1),
    source="docs: a request returns up to 300 candles. The error codes are also from the docs",
)
