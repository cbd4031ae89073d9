"""The record of Bithumb."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import EACH, FailureKind, Venue, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="bithumb",
    page_size=200,
    depth=200,
    market_name=(EACH, "market"),
    no_since=True,
    # ccxt raises ExchangeError for an unknown symbol.
    phrases=(phrase(r"Code not found", FailureKind.UNKNOWN_SYMBOL),),
    quota=Quota(150, 1),
    source="code: ccxt's `features` have a limit of 200 candles. ccxt never sends `since`",
)
