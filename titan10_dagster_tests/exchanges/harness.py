"""Helpers for tests of fetching: clients of the sandbox, a store of breakers in memory, and inspectable fetches."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.gaps import Evidence, Gap, count, explain
from titan10_dagster.candles.markets import Market, guessed_market
from titan10_dagster.candles.slices import Series, Slice, days
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.fetching import FetchReport, fetch_slices
from titan10_dagster.exchanges.retries import RetryLimits
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import Wire
from titan10_dagster.planning.breaker import Health
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import venue
from titan10_dagster_tests.exchanges.serving import Handler, serving

NOW = datetime(2024, 6, 20, 2, 0, 5, tzinfo=UTC)
YESTERDAY = date(2024, 6, 19)
MINUTE = Timeframe.parse("1m")
FIVE = ("binance", "bybit", "coinbase", "kraken", "okx")
NO_WAITING = RetryLimits(wait=lambda _: 0.0)


T = TypeVar("T")


class MemoryHealthStore:
    """A store in memory for the states of breakers, for one process."""

    def __init__(self) -> None:
        self.states: dict[str, Health] = {}
        self.changes = 0
        self.requests = 0

    def load(self, exchange: str) -> Health:
        return self.states.get(exchange, Health(exchange))

    def apply(self, exchange: str, change: Callable[[Health], Health]) -> Health:
        self.changes += 1
        self.states[exchange] = change(self.load(exchange))
        return self.states[exchange]

    def count_requests(self, exchange: str, hour: datetime, requests: int) -> None:
        self.requests += requests


class Messages:
    """A logger that keeps the logged messages."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, message: str, /) -> None:
        self.said.append(message)

    def warning(self, message: str, /) -> None:
        self.said.append(message)


def now() -> datetime:
    return NOW


def symbols(exchange: str, count: int = 2) -> list[str]:
    return list(venue(exchange).symbols[:count])


def market(exchange: str, symbol: str, **changes: Any) -> Market:
    """Return the market as in the exchange's own list."""
    base, quote = symbol.split("/")
    name = venue(exchange).naming(base, quote)
    values: dict[str, Any] = {
        "market_id": name.market_id,
        "base_id": name.base_id,
        "quote_id": name.quote_id,
        "active": True,
        **changes,
    }
    return Market(exchange=exchange, symbol=symbol, base=base, quote=quote, **values)


def plain(exchange: str, symbol: str = "BTC/USDT") -> Market:
    """Return a market of an exchange that the sandbox does not have."""
    return guessed_market(exchange, symbol, active=True)


def wire_of(exchange: str) -> Wire:
    wire = venue_of(exchange).wire
    assert wire is not None
    return wire


def slices(exchange: str, of: Sequence[str], count: int = 1, last: date = YESTERDAY) -> list[Slice]:
    first = last - timedelta(days=count - 1)
    return [Slice(Series(exchange, symbol, MINUTE), day) for symbol in of for day in days(first, last)]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@dataclass
class Fetched:
    """The landed slices of a fetch, and its result."""

    store: MemoryHealthStore = field(default_factory=MemoryHealthStore)
    log: Messages = field(default_factory=Messages)
    landed: dict[Slice, FetchedSlice] = field(default_factory=dict)
    report: FetchReport | None = None

    def gaps(self, slice_: Slice) -> list[Gap]:
        """Return the gaps after two equal observations."""
        landed = self.landed[slice_]
        record, gaps = landed.record, list[Gap]()
        for later in (timedelta(0), timedelta(hours=7)):
            look = Evidence(
                record.fetched_at + later,
                answered=record.answered,
                horizon=record.horizon,
                listed=record.listed,
                delisted=record.delisted,
            )
            gaps = explain(landed.candles.times, slice_, look, gaps)
        return gaps

    def reasons(self, slice_: Slice) -> dict[str, int]:
        """Return the number of missing candles by reason, after two observations."""
        missing: Counter[str] = Counter()
        for gap in self.gaps(slice_):
            missing[gap.reason.value] += count(gap, slice_.series.timeframe)
        return dict(missing)

    def rows(self, slice_: Slice) -> NDArray[np.float64]:
        candles = self.landed[slice_].candles
        return np.column_stack([candles.times.astype(np.int64), candles.values.T])


def fetch(
    sandbox: Sandbox,
    wanted: Sequence[Slice],
    *,
    markets: Sequence[Market] | None = None,
    into: Fetched | None = None,
    retry_limits: RetryLimits = NO_WAITING,
    paced: bool = False,
    clock: Callable[[], datetime] = now,
    **options: Any,
) -> Fetched:
    """Fetch from the sandbox. The landed slices are added to `into`, even if an error is raised."""
    exchange = wanted[0].series.exchange
    known = [market(exchange, symbol) for symbol in dict.fromkeys(slice_.series.symbol for slice_ in wanted)]
    fetched = into or Fetched()
    known = known if markets is None else list(markets)
    run(
        _fetch(
            fetched,
            sandbox.url(exchange),
            wanted,
            known,
            retry_limits=retry_limits,
            paced=paced,
            clock=clock,
            **options,
        )
    )
    return fetched


def fetch_from(handler: Handler, wanted: Sequence[Slice], into: Fetched | None = None, **changes: Any) -> Fetched:
    """Fetch from a server that answers with `handler`, as an exchange that the sandbox does not have."""
    fetched = into or Fetched()
    symbols = dict.fromkeys(slice_.series.symbol for slice_ in wanted)
    known = [plain_market(wanted[0].series.exchange, symbol, **changes) for symbol in symbols]

    async def work() -> None:
        async with serving(handler) as url:
            await _fetch(fetched, url, wanted, known, retry_limits=NO_WAITING, paced=False, clock=now)

    run(work())
    return fetched


def plain_market(exchange: str, symbol: str, **changes: Any) -> Market:
    base, quote = symbol.split("/")
    names = {"market_id": base + quote, "base": base, "quote": quote, "base_id": base, "quote_id": quote}
    return Market(**{"exchange": exchange, "symbol": symbol, "active": True, **names, **changes})


async def _fetch(
    fetched: Fetched,
    url: str,
    wanted: Sequence[Slice],
    markets: Sequence[Market],
    *,
    retry_limits: RetryLimits,
    paced: bool,
    clock: Callable[[], datetime],
    **options: Any,
) -> None:
    exchange = wanted[0].series.exchange
    async with ExchangeClient(exchange, markets, base_url=url, paced=paced, now=clock, **options) as client:
        fetched.report = await fetch_slices(
            client,
            wanted,
            now=clock,
            land=lambda slice_: fetched.landed.__setitem__(slice_.record.slice, slice_),
            breaker=Breaker(exchange, fetched.store, clock),
            log=fetched.log,
            retry_limits=retry_limits,
        )


def truth(sandbox: Sandbox, slice_: Slice) -> NDArray[np.float64]:
    return sandbox.truth(slice_.series.exchange, slice_.series.symbol, slice_.start, slice_.end)


def assert_true(sandbox: Sandbox, fetched: Fetched, wanted: Sequence[Slice]) -> None:
    """Check that every slice landed with exactly the candles of the exchange."""
    assert set(fetched.landed) == set(wanted)
    for slice_ in wanted:
        assert np.array_equal(fetched.rows(slice_), truth(sandbox, slice_)), slice_
