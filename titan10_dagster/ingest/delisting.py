"""The final state of days that an exchange does not serve because it closed the market.

Some exchanges answer requests for a closed market as if the symbol had never existed. Such an answer has no date, so
the days would stay open and be requested forever. Three facts together are evidence of a delisting:

1. the exchange's market list calls the market inactive, or no longer holds it,
2. the exchange answers a request for its candles with "unknown symbol",
3. the last stored candle ended at least `HALT` ago.

The end of the last stored candle then counts as the delisting: the candles after it are `delisted`, and those before it
that are missing are `beyond_horizon`, because the exchange no longer serves them. A later candle revokes `delisted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.errors import FetchError, UnknownSymbol
from titan10_dagster.exchanges.listing import HALT
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.store.database import retrying
from titan10_dagster.store.markets import MarketStore


def delistings(
    titan10: IngestContext, exchange: str, slices: Iterable[Slice], failed: Mapping[str, FetchError]
) -> dict[Series, datetime]:
    """Return the delisting (aware, UTC) of each series of `slices` for which the module's three facts hold."""
    unknown = {symbol for symbol, error in failed.items() if isinstance(error, UnknownSymbol)}
    if not unknown:
        return {}
    store, now = MarketStore(titan10.database), titan10.now()
    markets = {market.symbol: market for market in retrying(lambda: store.load(exchange))}
    found = {}
    for series in {slice_.series for slice_ in slices if slice_.series.symbol in unknown}:
        if _is_traded(markets.get(series.symbol)):
            continue
        end = retrying(partial(store.last_candle_end, series))
        if end is not None and now - end >= HALT:
            found[series] = end
    return found


def closed_slice(slice_: Slice, delisted: datetime, error: FetchError, now: datetime) -> FetchedSlice:
    """Return a slice of a closed market. It has no candles, and no later answer for it is expected."""
    record = FetchRecord(
        slice=slice_, fetched_at=now, source=Source.REST, requests=0, retries=0, seconds=0.0,
        answered=True, horizon=delisted, delisted=delisted, note=str(error),
    )  # fmt: skip
    return FetchedSlice(record, Candles.empty())


def _is_traded(market: Market | None) -> bool:
    return market is not None and market.active
