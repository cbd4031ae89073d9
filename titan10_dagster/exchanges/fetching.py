"""Slices of many series, from one exchange, at its pace.

One loop keeps as many requests under way as the pace needs, always for the earliest open candles among all series;
each answer goes to the `pages.Survey` of its series, and a slice lands as soon as the survey calls it settled. So
memory holds the pages under way and the days that they belong to, however long the window.

| failure | what happens |
|-|-|
| PassingError | that page is asked again, with exponential backoff and jitter; then its symbol fails |
| Throttled | all requests of the exchange rest (the client's pacer sees to that); then the page is asked again |
| Banned, Refused, BreakerOpen | everything stops, and the error is raised |
| UnknownSymbol, FetchError | its symbol fails: what is complete of it still lands, and the others go on |
| all symbols fail | an error of their common class is raised, after what was complete has landed |
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Protocol

import numpy as np
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter
from tenacity.wait import wait_base

from titan10_dagster.candles import frame
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord
from titan10_dagster.candles.slices import Series, Slice, from_ms, to_ms, windows
from titan10_dagster.errors import (
    Banned,
    BreakerOpen,
    FetchError,
    Maintenance,
    MalformedAnswer,
    PassingError,
    Refused,
    Throttled,
    UnknownSymbol,
)
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient, Page, Rows
from titan10_dagster.exchanges.pages import Ask, NoProgress, Survey

_DAY_MS = 86_400_000
_PAGES_AHEAD = 64  # of all series together; what is received before the oldest page is held in memory
_COLLECT_AFTER = 50_000  # allocations
_SYSTEMIC = (Banned, Refused, BreakerOpen)
_CLASSES: tuple[type[FetchError], ...] = (MalformedAnswer, Maintenance, PassingError, UnknownSymbol)


class Log(Protocol):
    """What is said on the way goes here: structlog's and Dagster's loggers fit, and `logging`'s."""

    def info(self, message: str, /) -> Any: ...

    def warning(self, message: str, /) -> Any: ...


@dataclass(frozen=True)
class Patience:
    """How often a page is asked for. `wait` is tenacity's, for passing errors; throttled ones wait at the pacer."""

    attempts: int = 5
    throttled: int = 8
    wait: wait_base = field(default_factory=lambda: wait_exponential_jitter(initial=1, max=30))


@dataclass(frozen=True)
class Progress:
    """How far a fetch is; candles are those landed."""

    slices: int
    of_slices: int
    candles: int
    requests: int
    seconds: float


@dataclass(frozen=True)
class FetchReport:
    """What a fetch did. `failed` maps symbols to the reason; seconds are of the clock, and their shares of CPU time.

    requests: all of them, also those of slices that did not land; retries: those among them that repeat another.
    answer_seconds: how long the exchange took, summed up over requests side by side.
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
    patience: Patience | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> FetchReport:
    """Fetches the slices, all of the client's exchange, and hands each to `land` once it is complete.

    Candles that are not finished by `now` are not among them; a slice whose symbol fails does not land. Raises
    Banned, Refused or BreakerOpen when nobody may ask, and FetchError or a subclass when every symbol failed.
    """
    fetch = _Fetch(
        client,
        slices,
        now=now,
        land=land,
        breaker=breaker,
        log=log,
        patience=patience or Patience(),
        progress=progress,
    )
    with _rare_collections():
        return await fetch.run()


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Python's cycle collector less often: each page is a thousand lists without a cycle, and it cost 1.4 ms of 3.8."""
    before = gc.get_threshold()
    gc.set_threshold(max(_COLLECT_AFTER, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass
class _Effort:
    """What was done for one day of a series."""

    requests: int = 0
    retries: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class _Reply:
    """What came of asking, retries included."""

    ask: Ask
    page: Page | None
    error: FetchError | None
    effort: _Effort


class _SeriesFetch:
    """One series: its survey, and the rows of the slices that have not landed."""

    def __init__(
        self, series: Series, slices: Sequence[Slice], client: ExchangeClient, now: datetime, ahead: int
    ) -> None:
        self.series = series
        self.waiting = {slice_: (to_ms(slice_.start), to_ms(slice_.end)) for slice_ in sorted(slices)}
        self.listed = client.markets[series.symbol].listed if series.symbol in client.markets else None
        self._looked = False
        able = client.capabilities
        self.survey = Survey(
            [(to_ms(window.start), to_ms(window.end)) for window in windows(slices)],
            step=series.timeframe.ms,
            page_size=able.page_size,
            overlap=able.overlap,
            depth=able.depth,
            ahead=ahead,
            now=to_ms(now),
        )
        if self.listed is not None:
            self.survey.absent_before(to_ms(self.listed))
        self._efforts: dict[date, _Effort] = {}
        self._rows: dict[date, list[Rows]] = {slice_.day: [] for slice_ in slices}

    def take(self, reply: _Reply) -> None:
        """Learns from an answer; MalformedAnswer when the exchange keeps answering something else."""
        self._add(reply)
        page = reply.page
        if page is None:
            return
        times = page.rows[:, 0].astype(np.int64)
        asked_at = to_ms(page.asked_at)
        self._keep(page.rows[times + self.series.timeframe.ms <= asked_at])
        try:
            self.survey.learn(reply.ask, times, asked_at)
        except NoProgress as error:
            raise self._malformed(reply.ask, error) from error

    def complete(self) -> list[Slice]:
        """The waiting slices that are settled, oldest first; none while a look at recent candles is under way."""
        if self.survey.looking:
            return []
        return [slice_ for slice_, (start, end) in self.waiting.items() if self.survey.settled(start, end)]

    def doubtful(self, slice_: Slice) -> bool:
        """Whether there is only emptiness to believe so far, so that a look at recent candles is due first."""
        return not (self.survey.heard or self._looked or self._excused(slice_))

    def look_at_recent(self, slice_: Slice, now: datetime) -> Ask:
        self._looked = True
        return self.survey.recent_ask(to_ms(now), to_ms(slice_.start))

    def _excused(self, slice_: Slice) -> bool:
        """Whether the exchange need not answer for it: it is behind the horizon, or from before the listing."""
        horizon = self.survey.horizon
        beyond = horizon is not None and to_ms(slice_.end) <= horizon
        return beyond or (self.listed is not None and slice_.end <= self.listed)

    def release(self, slice_: Slice, fetched_at: datetime) -> FetchedSlice:
        """The slice as it lands; its rows are forgotten here."""
        del self.waiting[slice_]
        effort = self._efforts.pop(slice_.day, _Effort())
        horizon = self.survey.horizon
        record = FetchRecord(
            slice=slice_,
            fetched_at=fetched_at,
            source="rest",
            requests=effort.requests,
            retries=effort.retries,
            seconds=effort.seconds,
            answered=self.survey.heard or self._excused(slice_),
            horizon=None if horizon is None else from_ms(horizon),
            listed=self.listed,
        )
        return FetchedSlice(record, frame.from_rows(_merged(self._rows.pop(slice_.day))))

    def _add(self, reply: _Reply) -> None:
        effort = self._efforts.setdefault(from_ms(reply.ask.target[0]).date(), _Effort())
        effort.requests += reply.effort.requests
        effort.retries += reply.effort.retries
        effort.seconds += reply.effort.seconds

    def _keep(self, rows: Rows) -> None:
        days = rows[:, 0] // _DAY_MS
        for part in np.split(rows, np.flatnonzero(np.diff(days)) + 1):
            day = from_ms(int(part[0, 0])).date() if len(part) else None
            if day in self._rows:
                self._rows[day].append(part)

    def _malformed(self, ask: Ask, error: NoProgress) -> MalformedAnswer:
        return MalformedAnswer(
            f"{self.series}: the exchange's answers leave {from_ms(ask.target[0]):%Y-%m-%d %H:%M} to"
            f" {from_ms(ask.target[1]):%Y-%m-%d %H:%M} UTC open however often it is asked ({error}). Try the day"
            " again later; if it goes on, the exchange changed how it cuts its answers: update the capabilities table.",
            exchange=self.series.exchange,
            symbol=self.series.symbol,
        )


def _merged(parts: Sequence[Rows]) -> Rows:
    """The rows of all answers by time, each candle from the last answer that gave it.

    Two answers may differ, for an exchange corrects its candles; rows that differ within one answer all stay.
    """
    if len(parts) <= 1:
        return _once(parts[0]) if parts else np.empty((0, 6))
    rows = np.concatenate(parts)
    answer = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = np.lexsort((answer, rows[:, 0]))
    rows, answer = rows[order], answer[order]
    last = np.searchsorted(rows[:, 0], rows[:, 0], side="right") - 1
    return _once(rows[answer == answer[last]])


def _once(rows: Rows) -> Rows:
    """Rows by time without those that repeat the one before."""
    if len(rows) < 2 or (np.diff(rows[:, 0]) > 0).all():
        return rows
    bits = np.ascontiguousarray(rows).view(np.int64)
    repeats = np.zeros(len(rows), np.bool_)
    for back in range(1, len(rows)):
        same = bits[back:, 0] == bits[:-back, 0]
        if not same.any():
            break
        repeats[back:] |= same & (bits[back:] == bits[:-back]).all(axis=1)
    return rows[~repeats]


class _Fetch:
    """The loop: fill, wait, learn, land."""

    def __init__(
        self,
        client: ExchangeClient,
        slices: Sequence[Slice],
        *,
        now: Callable[[], datetime],
        land: Callable[[FetchedSlice], None],
        breaker: Breaker,
        log: Log,
        patience: Patience,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._client = client
        self._now = now
        self._land = land
        self._breaker = breaker
        self._log = log
        self._patience = patience
        self._progress = progress
        self._total = len(set(slices))
        self._series = _by_series(slices, client, now())
        self._ready = deque(self._series)
        self._pending: dict[asyncio.Task[_Reply], _SeriesFetch] = {}
        self._failed: dict[str, FetchError] = {}
        self._probing = False
        self._healthy = False  # the exchange answered since it last failed
        self._landed = self._candles = self._retries = 0
        self._land_seconds = 0.0
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._before = replace(client.counters)

    async def run(self) -> FetchReport:
        for series in self._series:
            self._land_complete(series)
        try:
            if any(series.waiting for series in self._series):
                self._probing = self._breaker.admit()
                await self._loop()
        finally:
            await _cancel(self._pending)
        left = [series.series for series in self._series if series.waiting and series.series.symbol not in self._failed]
        assert not left, f"the planner left candles of {left[0]} open without asking for them: please report this"
        if self._failed and len(self._failed) == len({series.series.symbol for series in self._series}):
            raise _systemic(self._client.exchange, self._failed)
        return self._report()

    async def _loop(self) -> None:
        while True:
            self._fill()
            if not self._pending:
                return
            done, _ = await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                series = self._pending.pop(task, None)
                if series is not None:
                    self._settle(series, task.result())

    def _fill(self) -> None:
        """Starts requests, in turn among the series: the oldest open candles of each."""
        most = 1 if self._probing else self._client.concurrency
        while self._ready and len(self._pending) < most:
            series = self._ready.popleft()
            ask = series.survey.next_ask(to_ms(self._now()))
            if ask is not None:
                self._start(series, ask)
                self._ready.append(series)
            self._land_complete(series)

    def _start(self, series: _SeriesFetch, ask: Ask) -> None:
        task = asyncio.create_task(self._ask(series.series, ask))
        self._pending[task] = series

    async def _ask(self, series: Series, ask: Ask) -> _Reply:
        """One page, asked for until it is had or patience is over."""
        effort, failures = _Effort(), Counter[bool]()

        async def once() -> Page:
            effort.requests += 1
            return await self._client.fetch_page(series, from_ms(ask.since), ask.limit)

        def enough(state: RetryCallState) -> bool:
            throttled = isinstance(_error(state), Throttled)
            failures[throttled] += 1
            return failures[throttled] >= (self._patience.throttled if throttled else self._patience.attempts)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type((PassingError, Throttled)),
            stop=enough,
            wait=self._pause,
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            page: Page = await retrying(once)
        except FetchError as error:
            effort.retries = effort.requests - 1
            return _Reply(ask, None, error, effort)
        effort.retries, effort.seconds = effort.requests - 1, page.seconds
        return _Reply(ask, page, None, effort)

    def _pause(self, state: RetryCallState) -> float:
        return 0.0 if isinstance(_error(state), Throttled) else self._patience.wait(state)

    def _tell(self, state: RetryCallState) -> None:
        self._log.info(f"{_error(state)}")

    def _settle(self, series: _SeriesFetch, reply: _Reply) -> None:
        self._retries += reply.effort.retries
        if reply.error is None:
            self._answered()
        try:
            series.take(reply)
        except MalformedAnswer as error:
            self._fail(series, error)
            return
        finally:
            self._land_complete(series)
        if reply.error is not None:
            self._fail(series, reply.error)
        elif series not in self._ready:
            self._ready.append(series)

    def _answered(self) -> None:
        self._probing = False
        if not self._healthy:
            self._breaker.succeeded()
            self._healthy = True

    def _fail(self, series: _SeriesFetch, error: FetchError) -> None:
        if isinstance(error, Banned):
            self._breaker.banned(error.until, error)
        if isinstance(error, _SYSTEMIC):
            raise error
        self._failed.setdefault(series.series.symbol, error)
        if series in self._ready:
            self._ready.remove(series)
        for task in [task for task, owner in self._pending.items() if owner is series]:
            del self._pending[task]
            task.cancel()
        if isinstance(error, (PassingError, Throttled)):
            self._healthy = False
            self._breaker.failed(error)

    def _land_complete(self, series: _SeriesFetch) -> None:
        for slice_ in series.complete():
            if series.doubtful(slice_):
                self._start(series, series.look_at_recent(slice_, self._now()))
                return
            fetched = series.release(slice_, self._now())
            began = self._clock()
            self._land(fetched)
            self._land_seconds += self._clock() - began
            self._landed += 1
            self._candles += len(fetched.candles)
            self._tell_progress()

    def _tell_progress(self) -> None:
        if self._progress is not None:
            requests = self._client.counters.requests - self._before.requests
            seconds = self._clock() - self._began
            self._progress(Progress(self._landed, self._total, self._candles, requests, seconds))

    def _report(self) -> FetchReport:
        now, before = self._client.counters, self._before
        return FetchReport(
            landed=self._landed,
            failed=dict(self._failed),
            requests=now.requests - before.requests,
            retries=self._retries,
            candles=self._candles,
            seconds=self._clock() - self._began,
            parse_seconds=now.parse_seconds - before.parse_seconds,
            land_seconds=self._land_seconds,
            answer_seconds=now.request_seconds - before.request_seconds,
        )


def _by_series(slices: Iterable[Slice], client: ExchangeClient, now: datetime) -> list[_SeriesFetch]:
    groups: dict[Series, list[Slice]] = {}
    for slice_ in sorted(set(slices)):
        groups.setdefault(slice_.series, []).append(slice_)
    foreign = [series for series in groups if series.exchange != client.exchange]
    if foreign:
        raise ValueError(f"{foreign[0]} is not of {client.exchange}")
    ahead = max(2, _PAGES_AHEAD // max(1, len(groups)))
    return [_SeriesFetch(series, ones, client, now, ahead) for series, ones in groups.items()]


async def _cancel(tasks: Iterable[asyncio.Task[_Reply]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _systemic(exchange: str, failed: Mapping[str, FetchError]) -> FetchError:
    """One error for all symbols, of the most telling class that they have in common."""
    errors = list(failed.values())
    class_ = next((one for one in _CLASSES if all(isinstance(error, one) for error in errors)), FetchError)
    some = "; ".join(f"{symbol}: {error}" for symbol, error in list(failed.items())[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    return class_(
        f"{exchange}: every symbol failed ({len(failed)} of {len(failed)}), so something is wrong with the exchange,"
        f" the way to it or its symbols, not with one of them. {some}{more}. Correct it and launch the same"
        " partitions again: what has landed is kept.",
        exchange=exchange,
        status=errors[0].status,
    )
