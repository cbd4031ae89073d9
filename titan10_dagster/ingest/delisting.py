"""The final state of days that an exchange does not serve because it closed the market.

Some exchanges answer requests for a closed market as if the symbol had never existed, or without any candle. Such an
answer carries no date, so the days would stay open and be requested for ever. Three facts together are evidence of a
closing:

1. the exchange's market list calls the market inactive, or no longer holds it,
2. the exchange answers a request for its candles with "unknown symbol", or serves no candle of it at all,
3. the last stored candle ended at least `HALT` ago, or none is stored.

The end of the last stored candle then counts as the delisting: the candles after it are `delisted`, and those before it
that are missing are `beyond_horizon`, because the exchange no longer serves them. Without a stored candle, all are
`beyond_horizon`. The ledger's note names the evidence. A later candle revokes both reasons.

The error of a symbol ends all its requests. So if it came for a day before the last stored candle, the days after that
candle are requested once more, separately: the exchange may still serve them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import CLOSED_NOTE, FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.errors import FetchError, UnknownSymbol
from titan10_dagster.exchanges.listing import HALT
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.store.database import retrying
from titan10_dagster.store.markets import MarketStore


@dataclass(frozen=True)
class Closing:
    """The end of the last stored candle of a closed market (aware, UTC; None if none is stored), and the evidence."""

    end: datetime | None
    evidence: str

    def excludes(self, slice_: Slice) -> bool:
        """Return whether the whole slice lies before the end."""
        return self.end is not None and slice_.end <= self.end


def closings(
    titan10: IngestContext,
    exchange: str,
    slices: Iterable[Slice],
    failed: Mapping[str, FetchError],
    empty: Collection[str] = (),
) -> dict[Series, Closing]:
    """Return the closing of each series of `slices` for which the module's three facts hold.

    `empty`: the symbols that the exchange serves no candle of.
    """
    evidence = dict.fromkeys(empty, f"{exchange} serves no candle of it")
    for symbol, error in failed.items():
        if isinstance(error, UnknownSymbol):
            evidence[symbol] = str(error)
    if not evidence:
        return {}
    store, now = MarketStore(titan10.database), titan10.now()
    markets = {market.symbol: market for market in retrying(lambda: store.load(exchange))}
    found = {}
    for series in {slice_.series for slice_ in slices if slice_.series.symbol in evidence}:
        if _is_traded(markets.get(series.symbol)):
            continue
        end = retrying(partial(store.last_candle_end, series))
        if end is None or now - end >= HALT:
            found[series] = Closing(end, CLOSED_NOTE + evidence[series.symbol])
    return found


def perhaps_not_requested(slices: Sequence[Slice], closed: Mapping[Series, Closing]) -> list[Slice]:
    """Return the slices after the last stored candle of series that also have slices before it."""
    earlier: set[Series] = set()
    later: list[Slice] = []
    for slice_ in slices:
        closing = closed.get(slice_.series)
        if closing is not None and closing.excludes(slice_):
            earlier.add(slice_.series)
        elif closing is not None:
            later.append(slice_)
    return [slice_ for slice_ in later if slice_.series in earlier]


def closed_slice(slice_: Slice, closing: Closing, now: datetime, *, tried: str = "") -> FetchedSlice:
    """Return a slice of a closed market: it has no candles, and no later answer for it is expected.

    `tried`: the beginning of the slice's note, if other sources were tried.
    """
    record = FetchRecord(
        slice=slice_, fetched_at=now, source=Source.REST, requests=0, retries=0, seconds=0.0,
        answered=True, horizon=slice_.end if closing.end is None else closing.end, delisted=closing.end,
        note=tried + closing.evidence,
    )  # fmt: skip
    return FetchedSlice(record, Candles.empty())


def _is_traded(market: Market | None) -> bool:
    return market is not None and market.active
