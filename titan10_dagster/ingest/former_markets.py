"""Days on which a symbol named a different market than now.

The exchange answers a request for such a day with candles of the current market, which must not be mixed with those of
the former one. Therefore no request is made, and missing candles are final, because no configured source still has
them. They are `beyond_horizon`; the note of the slice names both markets.
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
    """Return the slices of `slices` with a different market on their day, each with the reason not to request it."""
    symbols = sorted({slice_.series.symbol for slice_ in slices})
    changed = retrying(lambda: changed_identities(titan10.database, exchange, symbols))
    found = {}
    for slice_ in slices:
        present = changed.get(slice_.series.symbol)
        if present is not None and slice_.start < present.valid_from:
            found[slice_] = _refusal(exchange, present)
    return found


def begin_of_markets(titan10: IngestContext, series: Iterable[Series]) -> dict[Series, datetime]:
    """Return the start (aware, UTC) of the current market, for each series with a former market."""
    wanted = list(series)
    changed = changed_markets(titan10.database, {(item.exchange, item.symbol) for item in wanted})
    begins = {}
    for item in wanted:
        present = changed.get((item.exchange, item.symbol))
        if present is not None:
            begins[item] = present.valid_from
    return begins


def former_slice(slice_: Slice, error: MarketChanged, now: datetime) -> FetchedSlice:
    """Return a slice of a former market. It has no candles, and no later answer for it is expected."""
    record = FetchRecord(
        slice=slice_, fetched_at=now, source=Source.REST, requests=0, retries=0, seconds=0.0,
        answered=True, horizon=slice_.end, note=str(error),
    )  # fmt: skip
    return FetchedSlice(record, Candles.empty())


def _refusal(exchange: str, present: ChangedIdentity) -> MarketChanged:
    return MarketChanged(
        f"{exchange} {present.symbol}: days before {present.valid_from:%Y-%m-%d} are of the market "
        f"{present.former_id}, and {exchange} gives {present.market_id} under this symbol now; they are not fetched",
        exchange=exchange,
        symbol=present.symbol,
    )
