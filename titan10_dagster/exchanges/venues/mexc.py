"""The record of MEXC."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, error_code, list_spot_markets
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="mexc",
    page_size=500,
    # The codes 30014 and 30021 mean "invalid symbol". For these codes, ccxt raises InvalidOrder and BadRequest.
    phrases=(error_code("code", 30014, 30021, kind=FailureKind.UNKNOWN_SYMBOL),),
    list_markets=list_spot_markets,
    quota=Quota(500, 10),
    source="code: ccxt requests up to 500 rows, although its `features` have a limit of 1000. The error codes are from"
    " the docs",
)
