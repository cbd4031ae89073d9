"""The record of BingX."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, code_pattern, list_spot_markets, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="bingx",
    page_size=1440,
    quota_pause=timedelta(minutes=5),
    # ccxt raises OperationFailed for this code, because the answer "the current system is busy" has the same code.
    # According to BingX's documentation, the code means a block because of too many requests. The message contains the
    # time at which the block ends.
    phrases=(phrase(code_pattern("code", 100410) + r"|code:100410", FailureKind.THROTTLED),),
    list_markets=list_spot_markets,
    quota=Quota(500, 10),
    source="docs: after too many requests, BingX blocks the sender for 5 minutes",
)
