"""The record of Phemex."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="phemex",
    page_size=1000,
    accepted_limits=(5, 10, 50, 100, 500, 1000),
    depth=1000,
    no_since=True,
    cost=5,
    quota=Quota(10, 60),
    market_fields=("priceScale", "valueScale"),
    source="docs: the limit is one of 5, 10, 50, 100, 500 and 1000. code: ccxt never sends `since`. Prices and volumes"
    " are integers. Their scales are in ccxt's record of the market",
)
