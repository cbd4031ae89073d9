"""Finds closed markets. Days that an exchange does not serve because their market is closed get a final state.

Some exchanges answer requests for a closed market as if the symbol had never existed, or without a candle. Such an
answer does not contain the date of the closing. So without further rules, the days would never become settled, and
would be requested again and again. A market counts as closed if three facts are true:

1. The market is inactive in the exchange's market list, or it is not in the list any more.
2. The exchange answers a request for candles of the market with "unknown symbol", or it serves no candles at all.
3. The last stored candle of the market ended at least `HALT` (a day) ago, or no candle is stored.

The end of the last stored candle then counts as the delisting date. Missing candles after this date are `delisted`.
Missing candles before this date are `beyond_horizon`, because the exchange no longer serves them. If no candle is
stored, all candles are `beyond_horizon`. The note in the ledger contains the evidence. If a later candle of the market
is stored, both reasons are revoked.

A day can have a complete answer from the time before the closing, and still have a gap that needs a second answer.
After the closing, the exchange gives no second answer. Then the candles and the file of the day are kept, and only the
reason of the gap becomes final.

After an "unknown symbol" error, no more requests are made for the symbol. If the failed request was for a day before
the last stored candle, the exchange possibly still serves the days after this candle. Therefore these later days are
requested once more, without the earlier days.
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
    """The closing of a market.

    `end`: the end of the last stored candle (aware, UTC), or None if no candle is stored. `evidence`: a text that says
    why the market counts as closed.
    """

    end: datetime | None
    evidence: str

    def excludes(self, slice_: Slice) -> bool:
        """Return whether the whole slice is before the closing, that is, before the end of the last stored candle."""
        return self.end is not None and slice_.end <= self.end


def closings(
    titan10: IngestContext,
    exchange: str,
    slices: Iterable[Slice],
    failed: Mapping[str, FetchError],
    empty: Collection[str] = (),
) -> dict[Series, Closing]:
    """Return the closing of the market for each series of `slices` that has a closed market.

    failed: the error of each symbol that failed.
    empty: the symbols for which the exchange serves no candles at all.
    """
    evidence = dict.fromkeys(empty, f"{exchange} serves no candles of this market")
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
    """Return the slices of closed markets that were possibly not requested.

    An error for an early slice ends all requests for the symbol, so its later slices are possibly not requested. A
    slice is returned under two conditions: it ends after the last stored candle of its series, and `slices` also
    contains an earlier slice of this series that ends no later than this candle.
    """
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
    """Return an empty slice of a closed market. The slice counts as answered, so it is not requested again.

    `tried`: a text about the sources that were tried before, or "". The slice's note begins with this text.
    """
    record = FetchRecord(
        slice=slice_, fetched_at=now, source=Source.REST, requests=0, retries=0, seconds=0.0,
        answered=True, horizon=slice_.end if closing.end is None else closing.end, delisted=closing.end,
        note=tried + closing.evidence,
    )  # fmt: skip
    return FetchedSlice(record, Candles.empty())


def _is_traded(market: Market | None) -> bool:
    return market is not None and market.active
