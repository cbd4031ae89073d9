"""Slices of many series, from one exchange, at its pace.

One loop keeps as many requests under way as the pace needs, always for the earliest open candles among all series;
each answer goes to the `pages.Survey` of its series, and a slice lands as soon as the survey calls it settled, in one
of a few threads, for the disk must not keep the loop from asking. So memory holds the pages under way, the days that
they belong to and the few slices that wait for the disk, however long the window.

Where a series is silent for an hour or more from the first moment asked for, its first candle is looked for, once; its
last one, where it is silent at the end of a day and the exchange calls the market closed. Where the first is known,
and a whole day is silent after it, the exchange may have forgotten that day: `listing` tells. The records tell what was
found, and nothing is asked for beyond it.

| failure | what happens |
|-|-|
| TransientError | that page is asked again, with exponential backoff and jitter; then its symbol fails |
| Throttled | all requests of the exchange rest (the client's pacer sees to that); then the page is asked again |
| Throttled until the retry limit | the breaker opens for the time that the exchange asked for; everything stops |
| Banned, Refused, BreakerOpen | everything stops, and the error is raised |
| FetchError, where the exchange is known to answer one before the listing | the listing is looked for first |
| UnknownSymbol, FetchError | its symbol fails: what is complete of it still lands, and the others go on |
| all symbols fail by the exchange's fault | an error of their common class is raised, after what was complete landed |
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import Enum, auto
from threading import Lock
from typing import Any, Protocol, Self

import numpy as np
from structlog.contextvars import bound_contextvars

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.slices import Series, Slice, from_ms, to_ms, windows
from titan10_dagster.errors import (
    Banned,
    BreakerOpen,
    FetchError,
    Maintenance,
    MalformedAnswer,
    Refused,
    Throttled,
    TransientError,
    UnknownSymbol,
)
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient, Page
from titan10_dagster.exchanges.listing import (
    Beginning,
    How,
    RequestPage,
    can_tell,
    first_candle,
    is_rejection,
    last_candle,
)
from titan10_dagster.exchanges.pages import NoProgress, PageRequest, Stretch, Survey
from titan10_dagster.exchanges.retries import Effort, RetryLimits, with_retries
from titan10_dagster.exchanges.rows import Rows
from titan10_dagster.exchanges.venues.venue import EmptyMinutes

_DAY_MS = 86_400_000
_PAGES_AHEAD = 64  # of all series together; what is received before the oldest page is held in memory
_PAGES_AHEAD_OF_ONE = 16  # or a series before its listing is asked for far and wide before that is found
_MOST_TO_LAND = 64  # slices that wait for the disk before nothing more is asked for
_LANDING_THREADS = 4  # a disk syncs four files at once in the time of one: 0.4 ms each instead of 5.5, measured
_COLLECT_AFTER = 50_000  # allocations
_SILENCE_MS = 3_600_000  # at the edge of what was asked for: was the symbol listed at all?
_SYSTEMIC = (Banned, Refused, BreakerOpen)
_CLASSES: tuple[type[FetchError], ...] = (MalformedAnswer, Maintenance, TransientError)


class Log(Protocol):
    """What is said on the way goes here: structlog's and Dagster's loggers fit, and `logging`'s."""

    def info(self, message: str, /) -> Any: ...

    def warning(self, message: str, /) -> Any: ...


@dataclass(frozen=True)
class FetchReport:
    """What a fetch did. `failed` maps symbols to the reason; seconds are of the clock, and their shares of CPU time.

    requests: all of them, also those of slices that did not land; retries: those among them that repeat another.
    answer_seconds: how long the exchange took, summed up over requests side by side. listed: the starts of the first
    candles (aware, UTC) of the symbols for which they were looked for and found.
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
    """Fetches the slices, all of the client's exchange, and hands each to `land` once it is complete.

    `land` is called in threads, for several slices at once; what it raises is raised here, and it is called no more.
    Candles that are not finished by `now` are not among them; a slice whose symbol fails does not land. Raises Banned,
    Refused or BreakerOpen when no request may be made, and FetchError or a subclass when every symbol failed and the
    exchange is at fault. Symbols that it does not list are only reported, even if they are all that was asked for.
    """
    fetch = _Fetch(
        client,
        slices,
        now=now,
        land=land,
        breaker=breaker,
        log=log,
        retry_limits=retry_limits or RetryLimits(),
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


@dataclass(frozen=True, eq=False)
class _Reply:
    """What came of asking, retries included."""

    request: PageRequest
    page: Page | None
    error: FetchError | None
    effort: Effort


class _Bound(Enum):
    """What may have to be found out of a series: its first candle, the first that is not forgotten, its last one."""

    LISTED = auto()
    FORGOTTEN = auto()
    DELISTED = auto()


@dataclass(frozen=True, eq=False)
class _Finding:
    """What came of looking for a bound, for the trigger of a slice."""

    bound: _Bound
    trigger: Slice
    found: datetime | Beginning | None
    error: FetchError | None
    effort: Effort


class _SeriesFetch:
    """One series: its survey, and the rows of the slices that have not landed."""

    def __init__(
        self, series: Series, slices: Sequence[Slice], client: ExchangeClient, now: datetime, ahead: int
    ) -> None:
        self.series = series
        self.waiting = {slice_: (to_ms(slice_.start), to_ms(slice_.end)) for slice_ in sorted(slices)}
        self._planned_at = now
        self._requested_at: dict[date, datetime] = {}
        able, market = client.venue, client.markets.get(series.symbol)
        self.listed = market.listed if market is not None else None
        self.delisted: datetime | None = None
        self.found: datetime | None = None  # the listing, where it was not known
        self.searching = False
        self._in_doubt = set[_Bound]()
        if market is not None and can_tell(able):
            self._in_doubt.add(_Bound.LISTED if market.listed is None else _Bound.FORGOTTEN)
            self._in_doubt |= set() if market.active else {_Bound.DELISTED}
        self._seen: Stretch | None = None  # the first and the last candle that came
        self._looked = False
        self._may_refuse = able.refuses_before_listing
        self._begins: int | None = None  # what begins earlier is refused
        self.refusal: FetchError | None = None  # that is not explained yet
        self._unexplained = False  # nothing comes before the first candle that came, and why is not known
        self.survey = Survey(
            [(to_ms(window.start), to_ms(window.end)) for window in windows(slices)],
            step=series.timeframe.ms,
            page_size=able.page_size,
            overlap=able.overlap,
            depth=able.depth,
            ahead=ahead,
            filled=able.empty_minutes is EmptyMinutes.FILLED,
            honours_since=False if able.no_since else None,
            cursor=able.cursor,
            now=to_ms(now),
        )
        if self.listed is not None:
            self.survey.absent_before(to_ms(self.listed))
        self._efforts: dict[date, Effort] = {}
        self._rows: dict[date, list[Rows]] = {slice_.day: [] for slice_ in slices}

    def take(self, reply: _Reply) -> None:
        """Learns from an answer; MalformedAnswer when the exchange keeps answering something else."""
        self._add(reply)
        page = reply.page
        if page is None:
            return
        times = page.rows[:, 0].astype(np.int64)
        requested_at = to_ms(page.requested_at)
        self._note(reply.request, page.requested_at)
        # What ended after the planning nobody asked for: it may come whole, or only in part.
        self._keep(page.rows[times + self.series.timeframe.ms <= min(requested_at, to_ms(self._planned_at))])
        try:
            self.survey.learn(reply.request, times, requested_at)
        except NoProgress as error:
            raise self._malformed(reply.request, error) from error

    def refused(self, reply: _Reply) -> bool:
        """Whether the page may only be too old: it is as open as before then, and the listing to be looked for."""
        in_doubt = self.searching or _Bound.LISTED in self._in_doubt
        early = self._begins is not None and reply.request.since < self._begins
        if not (self._may_refuse and is_rejection(reply.error) and (in_doubt or early)):
            return False
        self._add(reply)
        self.survey.withdraw(reply.request)
        self.refusal = None if early else reply.error
        return True

    def complete(self) -> list[Slice]:
        """The waiting slices that are settled, oldest first; none while something is being found out about them."""
        if self.survey.looking or self.searching:
            return []
        return [slice_ for slice_, (start, end) in self.waiting.items() if self.survey.settled(start, end)]

    def next_request(self, now: int) -> PageRequest | None:
        return None if self.searching else self.survey.next_request(now)

    def doubtful(self, slice_: Slice) -> bool:
        """Whether there is only emptiness to believe so far, so that a look at recent candles is due first."""
        return not (self._answered_once or self._looked or self._excused(slice_))

    def bound_in_doubt(self, slice_: Slice) -> _Bound | None:
        """What has to be found out before this settled slice lands, because it is silent at its edge.

        Its end where the exchange says that the market is closed; its beginning where nothing came before either.
        Each is looked for once.
        """
        start, end = to_ms(slice_.start), to_ms(min(slice_.end, self._planned_at))
        if self._excused(slice_) or self.survey.horizon is not None:
            return None
        rows = [part[:, 0] for part in self._rows[slice_.day] if len(part)]
        over = max((int(times[-1]) + self.series.timeframe.ms for times in rows), default=start)
        if _Bound.DELISTED in self._in_doubt and end - over >= _SILENCE_MS:
            return _Bound.DELISTED
        silence = self._silent_until(slice_) - start
        if _Bound.LISTED in self._in_doubt and self._answered_once and silence >= _SILENCE_MS:
            return _Bound.LISTED
        if _Bound.FORGOTTEN in self._in_doubt and self._answered_once and silence >= _DAY_MS:
            return _Bound.FORGOTTEN
        return None

    @property
    def silent_at_first(self) -> datetime:
        """The end of the silence with which the first slice that has not landed begins."""
        return from_ms(self._silent_until(next(iter(self.waiting))))

    def _silent_until(self, slice_: Slice) -> int:
        """The end of the silence with which the slice begins, ms; its start, if candles came before."""
        end = to_ms(min(slice_.end, self._planned_at))
        return end if self._seen is None else max(min(self._seen[0], end), to_ms(slice_.start))

    def search(self, bound: _Bound) -> None:
        self._in_doubt.discard(bound)
        self.searching = True

    def learn_bound(self, finding: _Finding) -> None:
        """Takes in the bound, unless a candle that came contradicts it."""
        self.searching = False
        self._efforts.setdefault(finding.trigger.day, Effort()).add(finding.effort)
        if isinstance(finding.found, Beginning):
            self._learn_beginning(finding.found)
        elif finding.found is not None:
            self._learn_end(finding.found)

    def _learn_end(self, delisted: datetime) -> None:
        if self._seen is None or self._seen[1] < to_ms(delisted):
            self.delisted = delisted
            self.survey.absent_from(to_ms(delisted))

    def _learn_beginning(self, beginning: Beginning) -> None:
        instant = None if beginning.instant is None else to_ms(beginning.instant)
        contradicted = instant is None or (self._seen is not None and self._seen[0] < instant)
        self._unexplained = beginning.how is How.UNEXPLAINED or (beginning.how is How.FORGOTTEN and contradicted)
        if instant is None or contradicted:
            return
        self._begins, self.refusal = instant, None
        if beginning.how is How.FORGOTTEN:
            self.survey.forgotten_before(instant)
            return
        self.survey.absent_before(instant)
        if beginning.how is How.LISTED:
            self.listed = self.found = beginning.instant

    @property
    def honours_since(self) -> bool | None:
        return self.survey.honours_since

    @property
    def _answered_once(self) -> bool:
        return self.survey.answered or self.found is not None or self.delisted is not None

    def look_at_recent(self, slice_: Slice, now: datetime) -> PageRequest:
        self._looked = True
        return self.survey.recent_request(to_ms(now), to_ms(slice_.start))

    def _excused(self, slice_: Slice) -> bool:
        """Whether the exchange need not answer for it: it is behind the horizon, or the symbol was not listed."""
        horizon = self.survey.horizon
        beyond = horizon is not None and to_ms(slice_.end) <= horizon
        early = self.listed is not None and slice_.end <= self.listed
        return beyond or early or (self.delisted is not None and slice_.start >= self.delisted)

    def release(self, slice_: Slice) -> FetchedSlice:
        """The slice as it lands; its rows are forgotten here."""
        del self.waiting[slice_]
        effort = self._efforts.pop(slice_.day, Effort())
        horizon = self.survey.horizon
        record = FetchRecord(
            slice=slice_,
            fetched_at=self._fetched_at(slice_),
            source=Source.REST,
            requests=effort.requests,
            retries=effort.retries,
            seconds=effort.seconds,
            answered=self._excused(slice_) or (self._answered_once and not self._inexplicable(slice_)),
            horizon=None if horizon is None else from_ms(horizon),
            listed=self.listed,
            delisted=self.delisted,
        )
        candles = Candles.from_rows(_merged(self._rows.pop(slice_.day)))
        # Where our clock is ahead, the pages of a day may have been asked for at instants that differ by a second.
        return FetchedSlice(record, candles.drop_unfinished(self.series.timeframe, record.fetched_at))

    def _inexplicable(self, slice_: Slice) -> bool:
        return self._unexplained and self._silent_until(slice_) > to_ms(slice_.start)

    def _fetched_at(self, slice_: Slice) -> datetime:
        """As of when the slice was asked for, however late it lands: what ended after that is not known of it."""
        requested_at = self._requested_at.pop(slice_.day, self._planned_at)
        return min(requested_at, self._planned_at) if slice_.end > self._planned_at else requested_at

    def _note(self, request: PageRequest, requested_at: datetime) -> None:
        start, end = request.target
        for day in map(from_ms, range(start // _DAY_MS * _DAY_MS, end, _DAY_MS)):
            self._requested_at[day.date()] = min(requested_at, self._requested_at.get(day.date(), requested_at))

    def _add(self, reply: _Reply) -> None:
        self._efforts.setdefault(from_ms(reply.request.target[0]).date(), Effort()).add(reply.effort)

    def _keep(self, rows: Rows) -> None:
        days = rows[:, 0] // _DAY_MS
        for part in np.split(rows, np.flatnonzero(np.diff(days)) + 1):
            day = from_ms(int(part[0, 0])).date() if len(part) else None
            if day in self._rows:
                self._rows[day].append(part)
                first, last = self._seen or (int(part[0, 0]), int(part[-1, 0]))
                self._seen = min(first, int(part[0, 0])), max(last, int(part[-1, 0]))

    def _malformed(self, request: PageRequest, error: NoProgress) -> MalformedAnswer:
        return MalformedAnswer(
            f"{self.series}: the exchange's answers leave {from_ms(request.target[0]):%Y-%m-%d %H:%M} to"
            f" {from_ms(request.target[1]):%Y-%m-%d %H:%M} UTC open however often it is asked ({error}). Try the day"
            " again later; if it goes on, the exchange cuts its answers in another way: correct its venue record.",
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


class _Landing:
    """Threads that land slices; inside `async with`, whose end waits for those that were handed in.

    What landing raises is raised by `keep_up` or by that end, and nothing more begins to land.
    """

    def __init__(self, land: Callable[[FetchedSlice], None]) -> None:
        self._land = land
        self._threads = ThreadPoolExecutor(_LANDING_THREADS, thread_name_prefix="landing")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._failed = False
        self._counting = Lock()
        self.landed = self.candles = 0
        self.seconds = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.keep_up(0)
        finally:
            self._threads.shutdown(cancel_futures=True)

    def hand_in(self, fetched: FetchedSlice) -> None:
        loop, context = asyncio.get_running_loop(), copy_context()
        self._waiting.append(loop.run_in_executor(self._threads, context.run, self._write, fetched))

    async def keep_up(self, most: int = _MOST_TO_LAND) -> None:
        """Waits until at most so many slices have not landed."""
        while self._waiting and (len(self._waiting) > most or self._waiting[0].done()):
            await self._waiting.popleft()

    def _write(self, fetched: FetchedSlice) -> None:
        if self._failed:
            return
        began = time.thread_time()
        try:
            self._land(fetched)
        except BaseException:
            self._failed = True
            raise
        with self._counting:
            self.seconds += time.thread_time() - began
            self.landed += 1
            self.candles += len(fetched.candles)


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
        retry_limits: RetryLimits,
    ) -> None:
        self._client = client
        self._now = now
        self._landing = _Landing(land)
        self._breaker = breaker
        self._log = log
        self._retry_limits = retry_limits
        self._series = _by_series(slices, client, now())
        self._ready = deque(self._series)
        self._pending: dict[asyncio.Task[_Reply] | asyncio.Task[_Finding], _SeriesFetch] = {}
        self._failed: dict[str, FetchError] = {}
        self._probing = False
        self._healthy = False  # the exchange answered since it last failed
        self._retries = 0
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._before = replace(client.counters)

    async def run(self) -> FetchReport:
        async with self._landing:
            for series in self._series:
                self._land_complete(series)
            try:
                if any(series.waiting for series in self._series):
                    self._probing = self._breaker.admit()
                    self._client.confirm = self._breaker.confirm
                    await self._loop()
            finally:
                await _cancel(self._pending)
        left = [series.series for series in self._series if series.waiting and series.series.symbol not in self._failed]
        if left:
            raise _unasked(left[0])
        if len(self._failed) == len({series.series.symbol for series in self._series}) and _is_systemic(self._failed):
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
            await self._landing.keep_up()

    def _fill(self) -> None:
        """Starts requests, in turn among the series: the oldest open candles of each."""
        most = 1 if self._probing else self._client.concurrency
        while self._ready and len(self._pending) < most:
            series = self._ready.popleft()
            request = series.next_request(to_ms(self._now()))
            if request is not None:
                self._start(series, request)
                self._ready.append(series)
            self._land_complete(series)

    def _start(self, series: _SeriesFetch, request: PageRequest) -> None:
        task = asyncio.create_task(self._request(series.series, request))
        self._pending[task] = series

    async def _request(self, series: Series, request: PageRequest) -> _Reply:
        """One page, asked for with retries."""
        effort = Effort()
        try:
            page = await self._asking(effort)(series, from_ms(request.since), request.limit)
        except FetchError as error:
            return _Reply(request, None, error, effort)
        return _Reply(request, page, None, effort)

    async def _search(self, series: _SeriesFetch, bound: _Bound, trigger: Slice) -> _Finding:
        effort = Effort()
        asking, able, honours = self._asking(effort), self._client.venue, series.honours_since
        found: datetime | Beginning | None
        try:
            if bound is _Bound.DELISTED:
                found = await last_candle(asking, able, series.series, self._now(), honours_since=honours)
            else:
                found = await first_candle(
                    asking,
                    able,
                    series.series,
                    self._now(),
                    honours_since=honours,
                    silent_until=series.silent_at_first,
                    listed=series.listed,
                )
        except FetchError as error:
            return _Finding(bound, trigger, None, error, effort)
        return _Finding(bound, trigger, found, None, effort)

    def _asking(self, effort: Effort) -> RequestPage:
        async def request(series: Series, since: datetime, limit: int) -> Page:
            with bound_contextvars(symbol=series.symbol):
                page = await with_retries(
                    lambda: self._client.fetch_page(series, since, limit),
                    self._retry_limits,
                    log=self._log.info,
                    effort=effort,
                )
            effort.seconds += page.seconds
            return page

        return request

    def _settle_bound(self, series: _SeriesFetch, finding: _Finding) -> None:
        """Its candles land whether or not the bound was found."""
        self._retries += finding.effort.retries
        series.learn_bound(finding)
        if isinstance(finding.error, (*_SYSTEMIC, Throttled)):
            self._fail(series, finding.error)
        elif series.refusal is not None:
            self._fail(series, series.refusal)
            return
        elif finding.error is not None:
            self._log.warning(f"{series.series}: cannot tell when it was {finding.bound.name.lower()}. {finding.error}")
        self._land_complete(series)
        if series not in self._ready:
            self._ready.append(series)

    def _settle(self, series: _SeriesFetch, reply: _Reply | _Finding) -> None:
        if isinstance(reply, _Finding):
            self._settle_bound(series, reply)
            return
        self._retries += reply.effort.retries
        if series.refused(reply):
            self._answered()
            if series.refusal is not None and not series.searching:
                self._look_for(series, _Bound.LISTED, next(iter(series.waiting)))
            return
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
        elif isinstance(error, Refused):
            self._breaker.refused(error)
        elif not isinstance(error, (BreakerOpen, Throttled, TransientError)):  # these tell the breaker themselves
            self._breaker.noted(error)
        if isinstance(error, _SYSTEMIC):
            raise error
        self._failed.setdefault(series.series.symbol, error)
        if series in self._ready:
            self._ready.remove(series)
        for task in [task for task, owner in self._pending.items() if owner is series]:
            del self._pending[task]
            task.cancel()
        if isinstance(error, Throttled):
            self._breaker.throttled(error)
        elif isinstance(error, TransientError):
            self._healthy = False
            self._breaker.failed(error)
        elif error.status is not None:  # it knows what it rejects: the exchange is well
            self._answered()

    def _land_complete(self, series: _SeriesFetch) -> None:
        for slice_ in series.complete():
            bound = series.bound_in_doubt(slice_)
            if bound is not None:
                self._look_for(series, bound, slice_)
                return
            if series.doubtful(slice_):
                self._start(series, series.look_at_recent(slice_, self._now()))
                return
            self._landing.hand_in(series.release(slice_))

    def _look_for(self, series: _SeriesFetch, bound: _Bound, trigger: Slice) -> None:
        series.search(bound)
        self._pending[asyncio.create_task(self._search(series, bound, trigger))] = series

    def _report(self) -> FetchReport:
        now, before = self._client.counters, self._before
        return FetchReport(
            landed=self._landing.landed,
            failed=dict(self._failed),
            requests=now.requests - before.requests,
            retries=self._retries,
            candles=self._landing.candles,
            seconds=self._clock() - self._began,
            parse_seconds=now.parse_seconds - before.parse_seconds,
            land_seconds=self._landing.seconds,
            answer_seconds=now.request_seconds - before.request_seconds,
            listed={one.series.symbol: one.found for one in self._series if one.found is not None},
        )


def _by_series(slices: Iterable[Slice], client: ExchangeClient, now: datetime) -> list[_SeriesFetch]:
    groups: dict[Series, list[Slice]] = {}
    for slice_ in sorted(set(slices)):
        groups.setdefault(slice_.series, []).append(slice_)
    foreign = [series for series in groups if series.exchange != client.exchange]
    if foreign:
        raise ValueError(f"{foreign[0]} is not of {client.exchange}")
    ahead = min(max(2, _PAGES_AHEAD // max(1, len(groups))), _PAGES_AHEAD_OF_ONE)
    return [_SeriesFetch(series, ones, client, now, ahead) for series, ones in groups.items()]


async def _cancel(tasks: Iterable[asyncio.Task[_Reply] | asyncio.Task[_Finding]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _unasked(series: Series) -> FetchError:
    return FetchError(
        f"{series}: candles were left open without being asked for. This is a fault of Titan-10: please report it, with"
        " the partitions that were asked for; what has landed is kept.",
        exchange=series.exchange,
        symbol=series.symbol,
    )


def _is_systemic(failed: Mapping[str, FetchError]) -> bool:
    """Whether the exchange is at fault where every symbol failed, and not the symbols.

    It is where it could not answer; where it rejects what is asked for, it must reject several symbols, for one alone
    may be gone. A symbol that it does not list says nothing of the exchange.
    """
    errors = [error for error in failed.values() if not isinstance(error, UnknownSymbol)]
    return len(errors) > 1 or any(isinstance(error, (TransientError, Throttled)) for error in errors)


def _systemic(exchange: str, failed: Mapping[str, FetchError]) -> FetchError:
    """One error for all symbols, of the most telling class that they have in common."""
    errors = [error for error in failed.values() if not isinstance(error, UnknownSymbol)]
    class_ = next((one for one in _CLASSES if all(isinstance(error, one) for error in errors)), FetchError)
    some = " ".join(f"{error}" for error in list(failed.values())[:3])
    more = f" And {len(failed) - 3} more." if len(failed) > 3 else ""
    return class_(
        f"{exchange}: every symbol failed ({len(failed)} of {len(failed)}), so the exchange or the way to it is at"
        f" fault, not one of them. {some}{more} What has landed is kept: when the exchange answers again, launch"
        " the same partitions again.",
        exchange=exchange,
        status=errors[0].status,
    )
