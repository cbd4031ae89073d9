"""Fetch slices of many series from one exchange, at the exchange's pace.

A loop keeps as many requests in progress as the pace needs. A candle is open as long as it is not known whether the
candle exists. Each request is for the earliest open candles of a series that are not being requested yet. The
`SeriesState` of the series processes each answer.

When a slice has no open candles any more, the slice is settled and is written to the landing zone. A few threads write
the files, so that the disk does not delay requests. The use of memory does not depend on the number of requested days:
only the pages in progress, their days, and the few slices that wait for the disk are in memory.

The fetch can search for three bounds of a series, for each bound at most once:

- The first candle. The fetch searches for it if at least the first hour of the requested days has no candle.
- The last candle. The fetch searches for it if at least the last hour of a day has no candle and the exchange lists the
  market as closed, or if the exchange returns no candle at all, not even a recent candle.
- The first candle that the exchange still serves. The fetch searches for it if the first candle of the series was known
  before the fetch, and a whole day between this candle and the first received candle is empty. Possibly the exchange no
  longer serves this day. `listing` finds out whether this is true.

The record of each fetched slice (`FetchRecord`) contains the known bounds. Candles outside of the known bounds are not
requested.

| failure | what happens |
|-|-|
| TransientError | the page is requested again with exponential backoff and jitter |
| TransientError, at the retry limit | the symbol fails; its settled slices still land, and other symbols continue |
| Throttled | all requests to the exchange pause (in the client's pacer), then the page is requested again |
| Throttled, at the retry limit | the breaker opens for at least the pause that the exchange asked for; requests stop |
| Banned, Unavailable, Refused, BreakerOpen | all requests stop, and the error is raised |
| FetchError, if the exchange rejects pages that begin before the listing | the fetch searches for the first candle |
| UnknownSymbol, other FetchError | the symbol fails; its settled slices still land, and other symbols continue |
| all symbols failed because of the exchange or the network | one error is raised after the settled slices landed |
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.slices import Series, Slice, to_ms
from titan10_dagster.errors import (
    Blocked,
    FetchError,
    Maintenance,
    MalformedAnswer,
    Refused,
    Throttled,
    TransientError,
    UnknownSymbol,
    without_promises,
)
from titan10_dagster.exchanges.breaker import Breaker, HealthSignal, signal_of
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.failures import REJECTED
from titan10_dagster.exchanges.landing_threads import LandingThreads
from titan10_dagster.exchanges.pages import PageRequest
from titan10_dagster.exchanges.requesting import Log, Requester
from titan10_dagster.exchanges.retries import RetryLimits
from titan10_dagster.exchanges.series_state import Bound, Finding, Reply, SeriesState

LAUNCH_AGAIN = "Launch the same partitions again when the exchange answers."

# The number of pages that are requested ahead for all series together. It is divided among the series, but each series
# gets at least two pages. More pages would need more memory, because a page that arrives before the page with the
# preceding candles is kept in memory.
_PAGES_AHEAD = 64
# The maximum number of pages that are requested ahead for one series. With a higher number, many requests would be made
# for times before the listing.
_MOST_PAGES_AHEAD = 16
# During a fetch, Python's cycle collector runs when the number of allocated objects exceeds the number of freed objects
# by this number.
_COLLECT_AFTER = 50_000
_STOPPING = (Blocked, Refused)  # errors that end the requests of all symbols
_COMMON_CLASSES: tuple[type[FetchError], ...] = (MalformedAnswer, Maintenance, TransientError)

Outcome = Reply | Finding


@dataclass(frozen=True)
class FetchReport:
    """The result of a fetch.

    landed: the number of slices that were written to the landing zone.
    failed: the error of each symbol that failed.
    requests: the number of all requests, including requests for slices that did not land.
    retries: the number of repeated requests.
    candles: the number of candles in the landed slices.
    seconds: the duration of the fetch.
    parse_seconds, land_seconds: the CPU time for parsing answers and for writing slices.
    answer_seconds: the sum of the exchange's answer times. The times of simultaneous requests are added up.
    listed: the symbols of which this fetch has found the first candle, each with the start of this candle (aware, UTC).
    empty: the symbols for which the exchange serves no candles at all.
    """

    landed: int
    failed: Mapping[str, FetchError]
    requests: int
    retries: int
    candles: int
    seconds: float
    parse_seconds: float
    land_seconds: float
    answer_seconds: float
    listed: Mapping[str, datetime] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()

    @property
    def candles_per_second(self) -> float:
        return self.candles / self.seconds if self.seconds else 0.0


async def fetch_slices(
    client: ExchangeClient,
    slices: Sequence[Slice],
    *,
    now: Callable[[], datetime],
    land: Callable[[FetchedSlice], None],
    breaker: Breaker,
    log: Log,
    retry_limits: RetryLimits | None = None,
) -> FetchReport:
    """Fetch slices of the client's exchange. Pass each slice to `land` as soon as the slice has no open candles.

    Several threads call `land` at the same time. If `land` raises an error, the error is raised here, and no more
    slices are passed on. Candles that had not ended at the start of the fetch are left out. If a symbol fails, those of
    its slices that have no open candles still land.

    Raises:
        Banned, Unavailable, Refused, BreakerOpen: requests are not allowed.
        FetchError: all symbols failed, and the exchange or the network caused these failures. A symbol that the
            exchange does not list is only reported in `failed`, even if no other symbol was requested. FetchError is
            also raised if Titan-10 itself has left a slice unfinished, which is a fault of Titan-10.
    """
    fetch = _Fetch(
        client,
        slices,
        land=land,
        breaker=breaker,
        requester=Requester(client, retry_limits or RetryLimits(), log, now),
    )
    with _rare_collections():
        return await fetch.run()


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Run Python's cycle collector less often inside `with`.

    The collector took 1.4 of the 3.8 ms of CPU time for a page, without any use: a page has a thousand lists, but no
    reference cycle.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(_COLLECT_AFTER, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Fetch:
    """A running fetch. Its loop starts requests, waits for answers, processes them and passes on settled slices."""

    def __init__(
        self,
        client: ExchangeClient,
        slices: Sequence[Slice],
        *,
        land: Callable[[FetchedSlice], None],
        breaker: Breaker,
        requester: Requester,
    ) -> None:
        self._client = client
        self._requester = requester
        self._landing = LandingThreads(land)
        self._breaker = breaker
        self._states = _states(slices, client, requester.now())
        self._ready = deque(self._states)
        self._pending: dict[asyncio.Task[Reply] | asyncio.Task[Finding], SeriesState] = {}
        self._failed: dict[str, FetchError] = {}
        self._probing = False
        self._healthy = False  # whether the exchange has answered since its last failure
        self._retries = 0
        self._began = asyncio.get_running_loop().time()
        self._before = replace(client.counters)

    async def run(self) -> FetchReport:
        async with self._landing:
            for state in self._states:
                self._land_settled(state)
            try:
                if any(state.waiting for state in self._states):
                    self._probing = await self._breaker.admit()
                    self._client.confirm = self._breaker.confirm
                    await self._loop()
            finally:
                await _cancel(self._pending)
        left = [state.series for state in self._states if state.waiting and state.series.symbol not in self._failed]
        if left:
            raise _not_requested(left[0])
        if len(self._failed) == len({state.series.symbol for state in self._states}) and _is_systemic(self._failed):
            raise _systemic(self._client.exchange, self._failed)
        return self._report()

    async def _loop(self) -> None:
        while True:
            self._fill()
            if not self._pending:
                return
            done, _ = await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                state = self._pending.pop(task, None)
                if state is not None:
                    await self._learn(state, task.result())
            await self._landing.wait()

    def _fill(self) -> None:
        """Start requests for the series in turn, each for the oldest open candles that are not being requested yet."""
        most = 1 if self._probing else self._client.concurrency
        while self._ready and len(self._pending) < most:
            state = self._ready.popleft()
            request = state.next_request(to_ms(self._requester.now()))
            if request is not None:
                self._start(state, request)
                self._ready.append(state)
            self._land_settled(state)

    def _start(self, state: SeriesState, request: PageRequest) -> None:
        self._pending[asyncio.create_task(self._requester.page(state.series, request))] = state

    def _search(self, state: SeriesState, bound: Bound, trigger: Slice) -> None:
        state.bounds.start_search(bound)
        self._pending[asyncio.create_task(self._requester.bound(state, bound, trigger))] = state

    async def _learn(self, state: SeriesState, outcome: Outcome) -> None:
        self._retries += outcome.effort.retries
        if isinstance(outcome, Finding):
            await self._learn_bound(state, outcome)
        elif state.take_refusal(outcome):
            await self._answered()
            if state.bounds.refusal is not None and not state.bounds.searching:
                self._search(state, Bound.LISTED, next(iter(state.waiting)))
        else:
            await self._learn_page(state, outcome)

    async def _learn_page(self, state: SeriesState, reply: Reply) -> None:
        if reply.error is None:
            await self._answered()
        try:
            state.take(reply)
        except MalformedAnswer as error:
            self._land_settled(state)
            await self._fail(state, error)
            return
        self._land_settled(state)
        if reply.error is not None:
            await self._fail(state, reply.error)
        else:
            self._make_ready(state)

    async def _learn_bound(self, state: SeriesState, finding: Finding) -> None:
        """Record the result of a search for a bound (see `Bound`), and land the slices that waited for this result.

        The slices usually also land if no bound was found. Exception: the exchange sent an error for a page, and the
        result does not explain this error (`bounds.refusal`). Then the symbol fails with this error.
        """
        state.learn_bound(finding)
        if isinstance(finding.error, (*_STOPPING, Throttled)):
            await self._fail(state, finding.error)
            return
        if state.bounds.refusal is not None:
            await self._fail(state, state.bounds.refusal)
            return
        if finding.error is not None:
            self._requester.log.warning(
                f"{state.series}: the search for {finding.bound.value} failed, so the candles are stored without this"
                f" date. The reason: {finding.error}"
            )
        self._land_settled(state)
        self._make_ready(state)

    def _make_ready(self, state: SeriesState) -> None:
        if state not in self._ready:
            self._ready.append(state)

    async def _answered(self) -> None:
        self._probing = False
        if not self._healthy:
            await self._breaker.succeeded()
            self._healthy = True

    async def _fail(self, state: SeriesState, error: FetchError) -> None:
        """Stop the requests of a symbol, and report its error to the breaker."""
        if isinstance(error, _STOPPING):
            await self._breaker.learn(error)
            raise error
        self._failed.setdefault(state.series.symbol, error)
        if state in self._ready:
            self._ready.remove(state)
        for task in [task for task, owner in self._pending.items() if owner is state]:
            del self._pending[task]
            task.cancel()
        match signal_of(error):
            case HealthSignal.FAILED:
                self._healthy = False
            case HealthSignal.REJECTED:
                self._probing, self._healthy = False, True
        await self._breaker.learn(error)

    def _land_settled(self, state: SeriesState) -> None:
        for slice_ in state.settled():
            bound = state.bound_in_doubt(slice_)
            if bound is not None:
                self._search(state, bound, slice_)
                return
            if state.is_doubtful(slice_):
                self._start(state, state.request_recent(slice_, self._requester.now()))
                return
            self._landing.hand_in(state.release(slice_))

    def _report(self) -> FetchReport:
        now, before = self._client.counters, self._before
        found = {state.series.symbol: state.bounds.found for state in self._states}
        empty = {state.series.symbol for state in self._states if state.serves_nothing}
        return FetchReport(
            landed=self._landing.landed,
            failed=dict(self._failed),
            requests=now.requests - before.requests,
            retries=self._retries,
            candles=self._landing.candles,
            seconds=asyncio.get_running_loop().time() - self._began,
            parse_seconds=now.parse_seconds - before.parse_seconds,
            land_seconds=self._landing.seconds,
            answer_seconds=now.request_seconds - before.request_seconds,
            listed={symbol: instant for symbol, instant in found.items() if instant is not None},
            empty=frozenset(empty - self._failed.keys()),
        )


def _states(slices: Iterable[Slice], client: ExchangeClient, now: datetime) -> list[SeriesState]:
    by_series: dict[Series, list[Slice]] = {}
    for slice_ in sorted(set(slices)):
        by_series.setdefault(slice_.series, []).append(slice_)
    for series in by_series:
        if series.exchange != client.exchange:
            raise ValueError(f"{series} does not belong to {client.exchange}")
    ahead = pages_ahead(len(by_series))
    return [
        SeriesState(series, wanted, venue=client.venue, market=client.markets.get(series.symbol), now=now, ahead=ahead)
        for series, wanted in by_series.items()
    ]


def pages_ahead(series: int) -> int:
    """Return how many pages can be requested ahead for each series.

    They are counted from the first candle of which it is not yet known whether it exists (the first open candle).

    `series`: the number of series of the fetch.
    """
    return min(max(2, _PAGES_AHEAD // max(1, series)), _MOST_PAGES_AHEAD)


async def _cancel(tasks: Iterable[asyncio.Task[Reply] | asyncio.Task[Finding]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _not_requested(series: Series) -> FetchError:
    return FetchError(
        f"{series}: the fetch ended, but for some candles it is not known whether they exist. This is a fault of"
        " Titan-10: please report it with the requested partitions. The slices that landed are kept.",
        exchange=series.exchange,
        symbol=series.symbol,
    )


def _without_advice(error: FetchError) -> str:
    """Return the text of a symbol's error without its advice.

    The text becomes part of the error of the whole exchange. That error ends with its own advice.
    """
    return without_promises(f"{error}").replace(f" {REJECTED}", "")


def _is_systemic(failed: Mapping[str, FetchError]) -> bool:
    """Return whether the exchange or the network caused the failure of all symbols.

    This is the case if the exchange could not answer a request or asked for fewer requests, or if it rejected the
    requests of several symbols. A single rejected symbol is possibly delisted. A symbol that the exchange does not list
    shows nothing about the exchange.

    `failed`: the error of each symbol. All symbols have failed.
    """
    errors = [error for error in failed.values() if not isinstance(error, UnknownSymbol)]
    return len(errors) > 1 or any(isinstance(error, (TransientError, Throttled)) for error in errors)


def _systemic(exchange: str, failed: Mapping[str, FetchError]) -> FetchError:
    """Return one error for all symbols.

    Its class is the most specific class that all errors have in common. UnknownSymbol errors are not considered.
    """
    errors = [error for error in failed.values() if not isinstance(error, UnknownSymbol)]
    common = FetchError
    for class_ in _COMMON_CLASSES:
        if all(isinstance(error, class_) for error in errors):
            common = class_
            break
    some = " ".join(_without_advice(error) for error in list(failed.values())[:3])
    more = f" And {len(failed) - 3} more." if len(failed) > 3 else ""
    is_rejected = any(type(error) is FetchError for error in errors)
    return common(
        f"{exchange}: every symbol failed ({len(failed)} of {len(failed)}), so the exchange or the network is at fault,"
        f" and not the symbols. {some}{more} The slices that landed are kept."
        f" {REJECTED if is_rejected else LAUNCH_AGAIN}",
        exchange=exchange,
        status=errors[0].status,
    )
