"""Handles days on which a symbol belonged to a different market than now.

The market to which the symbol belonged then is its former market. A request for such a day would return candles of the
current market, and the candles of the two markets must not be mixed. Therefore no request is made. Missing candles get
the final reason `beyond_horizon`, because no configured source still has candles of the former market. The note of the
slice contains the ids of both markets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.errors import MarketChanged
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.store.database import retrying
from titan10_dagster.store.identities import ChangedIdentity, changed_identities, changed_markets


def of_a_former_market(titan10: IngestContext, exchange: str, slices: Sequence[Slice]) -> dict[Slice, MarketChanged]:
    """Return the slices that belong to a former market, each with an error that says why the slice is not requested."""
    symbols = sorted({slice_.series.symbol for slice_ in slices})
    changed = retrying(lambda: changed_identities(titan10.database, exchange, symbols))
    found = {}
    for slice_ in slices:
        present = changed.get(slice_.series.symbol)
        if present is not None and slice_.start < present.valid_from:
            found[slice_] = _refusal(exchange, present)
    return found


def begin_of_markets(titan10: IngestContext, series: Iterable[Series]) -> dict[Series, datetime]:
    """Return, for each series with a former market, the time from which its candles come from the current market.

    The times are aware and UTC.
    """
    wanted = list(series)
    changed = changed_markets(titan10.database, {(item.exchange, item.symbol) for item in wanted})
    begins = {}
    for item in wanted:
        present = changed.get((item.exchange, item.symbol))
        if present is not None:
            begins[item] = present.valid_from
    return begins


def former_slice(slice_: Slice, error: MarketChanged, now: datetime) -> FetchedSlice:
    """Return an empty slice of a former market. The slice counts as answered, so it is not requested again."""
    record = FetchRecord(
        slice=slice_, fetched_at=now, source=Source.REST, requests=0, retries=0, seconds=0.0,
        answered=True, horizon=slice_.end, note=str(error),
    )  # fmt: skip
    return FetchedSlice(record, Candles.empty())


def _refusal(exchange: str, present: ChangedIdentity) -> MarketChanged:
    return MarketChanged(
        f"{exchange} {present.symbol}: days before {present.valid_from:%Y-%m-%d} belong to the market "
        f"{present.former_id}. They are not fetched, because this symbol is now the market {present.market_id}",
        exchange=exchange,
        symbol=present.symbol,
    )
