"""BingX."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, code_pattern, list_spot_markets, phrase

VENUE = Venue(
    exchange="bingx",
    page_size=1440,
    quota_pause=timedelta(minutes=5),
    # ccxt: OperationFailed, because "the current system is busy" has this code too. The documentation describes it as
    # the block for too many requests, whose end is in the message.
    phrases=(phrase(code_pattern("code", 100410) + r"|code:100410", FailureKind.THROTTLED),),
    list_markets=list_spot_markets,
    source="docs: too many requests lead to a block, which ends after 5 minutes",
)
