"""MEXC."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, error_code, list_spot_markets
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="mexc",
    page_size=500,
    # 30014, 30021: "invalid symbol"; ccxt: InvalidOrder and BadRequest
    phrases=(error_code("code", 30014, 30021, kind=FailureKind.UNKNOWN_SYMBOL),),
    list_markets=list_spot_markets,
    quota=Quota(500, 10),
    source="code: 500 rows; `features` say 1000. docs: error codes",
)
