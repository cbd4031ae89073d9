"""What to request from an exchange, and what its answers prove. No request is made here.

A `Survey` knows which candles of a series are still open, that is neither received nor proven absent. The
earliest open stretch becomes the next page, at most a page size long, overlapping what is known on either side.
A window's first pages, what follows a shortened answer, and the missing head of one are all the earliest open stretch.

An answer to [since, until) proves, whichever way the exchange counts and however few rows it was willing to give:

- between two of its neighbouring rows there is nothing (it lists what exists, in a row)
- if rows lie after `until`, it counted forward from `since`: nothing else lies in [since, until). Or it ignored `since`
  and gave its last rows, as it does for a quiet pair as well as for a busy one. So the first such answer of a series
  is not believed: one small request tells whether it starts at the same row or ends at the same one
- if it holds only a row or two on one side of the stretch, nothing; if it does so a second time, nothing lies in the
  stretch. Where minutes without trades are left out, a short stretch is believed empty at once
- if it is empty, nothing; if it is empty a second time, nothing lies in the stretch
- where the exchange counts back from `until`, as many rows as were asked for are the last ones before it, however old:
  whatever of [since, until) is not among them does not exist, all of it if they all lie before `since`

An exchange that ignores `since` gives its last rows whatever is asked for: the first of a full page is its horizon.

Instants are milliseconds since 1970 (UTC) on the timeframe's grid; stretches are half-open.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.exchanges.rows import Instants, Rows, no_instants
from titan10_dagster.exchanges.venues.venue import EmptyMinutes, Venue

Times = NDArray[np.int64]
Stretch = tuple[int, int]

LONG_AGO = -(1 << 62)
_LATE = 5  # candles that an exchange's newest one may be behind the clock
_SPARSE = 2  # rows an answer may hold at the edge of a stretch
_EMPTY_PAGES = 3  # empty pages in a row, after which one answer each is enough
_STUCK = 4  # answers without anything new to one page
_MOST_REQUESTS = 64  # requests that one page may take, however the exchange cuts it


class Purpose(Enum):
    """PAGE: for its candles. SINCE: does the exchange honour `since`? RECENT: does the symbol have candles now?"""

    PAGE = auto()
    SINCE = auto()
    RECENT = auto()


@dataclass(frozen=True)
class PageRequest:
    """One request: `limit` candles from `since`. `target` is the open stretch that it is made for."""

    since: int
    limit: int
    until: int
    target: Stretch
    purpose: Purpose = Purpose.PAGE


@dataclass(frozen=True, eq=False)
class Page:
    """The rows of one answer: (n, 6) float64 [ms, open, high, low, close, volume], by time, whole and unfiltered.

    Rows from before `since` and after the page may be among them, and the unfinished candle, which ends after
    `requested_at`: the time (aware, UTC) before the request was sent, by the exchange's clock where that is behind
    this machine's. `seconds`: how long the exchange took.

    empty, cut_short, dropped: as in `rows.ParsedRows`.
    """

    rows: Rows
    requested_at: datetime
    seconds: float
    empty: Instants = field(default_factory=no_instants)
    cut_short: Instants = field(default_factory=no_instants)
    dropped: int = 0

    @property
    def times(self) -> Instants:
        """The starts of all minutes that the answer speaks about, empty ones included, in ascending order (ms)."""
        times = self.rows[:, 0].astype(np.int64)
        return np.union1d(times, self.empty) if len(self.empty) else times


class NoProgress(Exception):
    """The exchange goes on answering without ever answering what was asked."""


@dataclass(frozen=True)
class _Suspicion:
    """An answer of `rows` to `since` and `limit` went from `first`, which is later, to `last`, which nobody asked for.

    unlimited: asked about that, the exchange gave as many rows again, so that it may have ignored only the limit.
    """

    since: int
    limit: int
    first: int
    last: int
    rows: int
    unlimited: bool = False


class Survey:
    """What is known of one series, over `windows`.

    step: the timeframe. overlap: candles by which fresh pages overlap. depth: how many candles back from now
    can be had, None for all. ahead: how many pages beyond the first open candle may be asked for. filled: the exchange
    gives candles without trades too, so that any absence is strange. honours_since: whether it is known to count from
    `since`; None: that is found out. cursor: it counts back from the end of what is asked for.
    """

    def __init__(
        self,
        windows: Iterable[Stretch],
        *,
        step: int,
        page_size: int,
        overlap: int = 1,
        depth: int | None = None,
        ahead: int = 32,
        filled: bool = False,
        honours_since: bool | None = None,
        cursor: bool = False,
        now: int,
    ) -> None:
        self._step = step
        self._page_size = page_size
        self._overlap = min(overlap, page_size - 1)
        self._depth = depth
        self._ahead = ahead * page_size * step
        self._believable = 0 if filled else page_size // 2 * step
        self._windows = sorted(windows)
        self._open: list[Stretch] = list(self._windows)
        self._flight: list[PageRequest] = []
        self._edges: list[int] = []  # first and last rows of answers
        self._most = 0  # rows of the longest answer
        self._sparse = False  # no answer held more rows than an edge may: does the exchange give no more at once?
        self._empty_pages = 0
        self._empty: Counter[Stretch] = Counter()
        self._requests: Counter[int] = Counter()
        self._stuck: Counter[int] = Counter()
        self._suspicion: _Suspicion | None = None
        self.honours_since = honours_since
        self._cursor = cursor
        self._begins = LONG_AGO  # nothing before it is worth asking for
        self.horizon: int | None = None
        self.answered = False  # the exchange gave at least one candle of this symbol
        self._prove(now // step * step, 1 << 62)
        self._give_up_the_past(now)

    @classmethod
    def for_exchange(
        cls,
        venue: Venue,
        windows: Iterable[Stretch],
        *,
        step: int,
        now: int,
        honours_since: bool | None = None,
        ahead: int = 32,
    ) -> Survey:
        """Return a survey that counts as the exchange does; see `Venue` for what each fact means."""
        return cls(
            windows,
            step=step,
            page_size=venue.page_size,
            overlap=venue.overlap,
            depth=venue.depth,
            ahead=ahead,
            filled=venue.empty_minutes is EmptyMinutes.FILLED,
            honours_since=False if venue.no_since else honours_since,
            cursor=venue.cursor,
            now=now,
        )

    @property
    def requests_recent(self) -> bool:
        """Whether a request for recent candles is under way."""
        return any(request.purpose is Purpose.RECENT for request in self._flight)

    def settled(self, start: int, end: int) -> bool:
        """Every candle of [start, end) was received or is proven absent, and no request for it is under way."""
        after = bisect_left(self._open, (end,))
        if after and self._open[after - 1][1] > start:
            return False
        return not any(request.target[0] < end and request.target[1] > start for request in self._flight)

    def absent_before(self, instant: int) -> None:
        """Takes it from elsewhere that there are no candles before `instant`, and requests none."""
        self._begins = max(self._begins, -(-instant // self._step) * self._step)
        self._prove(LONG_AGO, self._begins)

    def forgotten_before(self, instant: int) -> None:
        """Takes it from elsewhere that the exchange gives no candles from before `instant` any more."""
        self._set_horizon(-(-instant // self._step) * self._step)

    def absent_from(self, instant: int) -> None:
        """Takes it from elsewhere that there are no candles from `instant` on."""
        self._prove(instant // self._step * self._step, 1 << 62)

    def next_request(self, now: int) -> PageRequest | None:
        """The next request, which is in flight from now on; None if there is none at the moment."""
        self._give_up_the_past(now)
        request = self._next_request()
        if request is not None:
            self._flight.append(request)
        return request

    def recent_request(self, now: int, trigger: int) -> PageRequest:
        """A request for the newest candles, which shows whether the symbol has any; `trigger`: the candle in doubt."""
        since = (now // self._step - self._page_size + 1) * self._step
        request = self._request(since, self._page_size, (trigger, trigger + self._step), Purpose.RECENT)
        self._flight.append(request)
        return request

    def withdraw(self, request: PageRequest) -> None:
        """The request got no answer; what it was for is as open as before."""
        self._flight.remove(request)

    def learn(self, request: PageRequest, times: Times, requested_at: int) -> None:
        """Takes in the starts of the candles (ascending) of an answer; NoProgress after too many useless ones."""
        self._flight.remove(request)
        given, rows = len(times), times[times <= requested_at] // self._step * self._step
        times = rows[rows >= request.since]
        backward = self._cursor or self.honours_since is False  # rows from before `since` are an answer as well
        self.answered |= len(rows if backward else times) > 0
        self._most = max(self._most, len(times))
        self._sparse = self._most <= _SPARSE and (self._sparse or 0 < len(times) < request.limit)
        if request.purpose is Purpose.RECENT:
            return
        before = _overlapping(self._open, *request.target)
        if self._cursor and len(rows) >= request.limit and rows[-1] <= request.until:
            self._prove(max(request.since, int(rows[0])), request.until)
        if request.purpose is Purpose.SINCE:
            self._learn_of_since(rows, requested_at)
        elif self.honours_since is False and len(rows):
            self._learn_last_rows(request, rows)
        elif len(times):
            self._learn_rows(request, times, requested_at)
        elif given <= _SPARSE or self._cursor:  # more than a straggler is the answer to some other question
            self._learn_nothing(request)
        self._count(request, stuck=bool(before) and before == _overlapping(self._open, *request.target))

    # -- asking

    def _next_request(self) -> PageRequest | None:
        if self._suspicion is not None:
            under_way = any(request.purpose is Purpose.SINCE for request in self._flight)
            return None if under_way else self._question(self._suspicion)
        if self.honours_since is False and self._flight:  # every answer is the same
            return None
        free = self._free()
        if free is None or free[0] - self._open[0][0] >= self._ahead:
            return None
        return self._page(*free)

    def _question(self, doubt: _Suspicion) -> PageRequest:
        """What shows whether `since` was ignored: fewer rows than that answer had, or more if it had hardly any."""
        since = doubt.last + self._step if doubt.unlimited else doubt.since
        limit = self._page_size if doubt.rows <= _SPARSE else 1 if doubt.rows <= 2 * _SPARSE else 2
        return self._request(since, limit, (doubt.since, doubt.since + self._step), Purpose.SINCE)

    def _free(self) -> Stretch | None:
        """The first open stretch that nobody is asking for."""
        taken = sorted(request.target for request in self._flight)
        for start, end in self._open:
            for a, b in taken:
                if a < end and b > start:
                    if a > start:
                        return start, a
                    start = b
            if start < end:
                return start, end
        return None

    def _page(self, start: int, end: int) -> PageRequest:
        since = self._left_edge(start)
        room = since + self._page_size * self._step
        stop = min(end, room)
        # The candle after the stretch is usually known: with it, an answer proves where the stretch ends.
        last = stop + self._step if stop < room and not self._sparse else stop
        limit = self._page_size if self.honours_since is False else (last - since) // self._step
        return self._request(since, limit, (start, stop))

    def _left_edge(self, start: int) -> int:
        """Where to begin a page for an open stretch: at a known row if there is one shortly before."""
        window = self._windows[bisect_left(self._windows, (start + 1,)) - 1]
        if self._sparse and self._edges:
            return start
        earliest = max(window[0], self._begins, start - self._overlap * self._step)
        row = bisect_left(self._edges, start) - 1
        return self._edges[row] if row >= 0 and self._edges[row] >= earliest else earliest

    def _request(self, since: int, limit: int, target: Stretch, purpose: Purpose = Purpose.PAGE) -> PageRequest:
        return PageRequest(since, limit, since + limit * self._step, target, purpose)

    # -- learning

    def _learn_rows(self, request: PageRequest, times: Times, requested_at: int) -> None:
        self._empty_pages = 0
        given, last = len(times), int(times[-1])
        doubtful = self._may_ignore_since(request, times, requested_at)
        times = _without_strays(times, request.until, self._page_size * self._step)
        if doubtful:
            self._suspicion = self._suspicion or _Suspicion(request.since, request.limit, int(times[0]), last, given)
        elif times[-1] > request.until:
            self._prove(request.since, int(times[0]))
        elif len(times) <= _SPARSE:
            self._prove_edges(request, times)
        self._prove_row(times)

    def _prove_row(self, times: Times) -> None:
        """Between two of its neighbours there is nothing."""
        self._prove(int(times[0]), int(times[-1]) + self._step)
        self._remember(int(times[0]), int(times[-1]))

    def _may_ignore_since(self, request: PageRequest, times: Times, requested_at: int) -> bool:
        if self.honours_since is not None or times[0] == request.since or times[-1] <= request.until:
            return False
        # A handful, fewer than were asked for, is all there is: most likely of a market that opened just now.
        handful = 2 * (_LATE if self._is_recent(int(times[-1]), requested_at) else _SPARSE)
        return len(times) >= request.limit or len(times) > handful

    def _is_recent(self, row: int, requested_at: int) -> bool:
        return row >= requested_at - _LATE * self._step

    def _learn_last_rows(self, request: PageRequest, rows: Times) -> None:
        """Learns from the last rows that there are; of what lies before them only if no more can be asked for."""
        self._empty_pages = 0
        rows = _without_first_strays(rows, self._page_size * self._step)
        if request.limit >= self._page_size and self._open and self._open[0][0] < rows[0]:
            self._set_horizon(int(rows[0]))
        self._prove_row(rows)
        if rows[-1] < request.target[0]:
            self._believe(request, int(rows[-1]) + self._step, request.target[1])

    def _prove_edges(self, request: PageRequest, times: Times) -> None:
        start, end = request.target
        if times[0] >= end:
            start = request.since
            end = int(times[0])
        elif times[-1] < start and not self._sparse:
            start = int(times[-1]) + self._step
        else:
            return
        self._believe(request, start, end)

    def _believe(self, request: PageRequest, start: int, end: int) -> None:
        # Nothing bounds the stretch on its other side: an answer that lost most of its rows looks the same.
        self._empty[request.target] += 1
        if self._empty[request.target] > 1 or end - start <= self._believable:
            self._prove(start, end)

    def _learn_nothing(self, request: PageRequest) -> None:
        self._empty[request.target] += 1
        if self._empty[request.target] > 1 or self._empty_pages >= _EMPTY_PAGES:
            self._empty_pages += 1
            self._prove(*request.target)

    def _learn_of_since(self, rows: Times, requested_at: int) -> None:
        """Judges by the answer to a small request; where that says nothing, the page is asked for again."""
        doubt, self._suspicion = self._suspicion, None
        if doubt is None or not len(rows):
            return
        if doubt.rows <= _SPARSE:
            self._learn_of_more(doubt, rows)
        elif doubt.unlimited:
            later = np.count_nonzero(rows > doubt.last)
            self._judge(doubt, honours=bool(later > _SPARSE >= len(rows) - later))
        elif rows[-1] < doubt.last:
            if doubt.first in rows[: 2 * _SPARSE]:
                self._judge(doubt, honours=True)
        elif len(rows) > 2 * _SPARSE and not self._is_recent(doubt.last, requested_at):
            self._suspicion = replace(doubt, unlimited=True)
        else:
            self._judge(doubt, honours=False)

    def _learn_of_more(self, doubt: _Suspicion, rows: Times) -> None:
        """A page instead of a row or two: does it begin at the same row, or earlier, so that these were the last?"""
        asked = rows[rows >= doubt.since]
        if len(rows) - len(asked) > _SPARSE or (len(asked) and asked[0] < doubt.first):
            self._judge(replace(doubt, first=int(rows[0]), limit=self._page_size), honours=False)
            self._prove_row(rows)
        elif len(asked) and asked[0] == doubt.first:
            self._judge(doubt, honours=True)

    def _judge(self, doubt: _Suspicion, *, honours: bool) -> None:
        self.honours_since = honours
        if honours:
            self._prove(doubt.since, doubt.first)
        elif doubt.limit >= self._page_size:
            self._set_horizon(doubt.first)

    def _give_up_the_past(self, now: int) -> None:
        # Last rows, if requested, show the horizon: without empty minutes they reach further back than as many minutes.
        if self._depth is not None:
            oldest = (now // self._step - self._depth + HORIZON_SLACK) * self._step
            asks_anyhow = self.honours_since is False and bool(self._open) and self._open[-1][1] > oldest
            if self._open and self._open[0][0] < oldest and not asks_anyhow:
                self._set_horizon(oldest)

    def _set_horizon(self, instant: int) -> None:
        self.horizon = max(self.horizon or instant, instant)
        self.absent_before(instant)

    def _prove(self, start: int, end: int) -> None:
        self._open = _without(self._open, start, end)

    def _remember(self, first: int, last: int) -> None:
        for row in {first, last}:
            place = bisect_left(self._edges, row)
            if place == len(self._edges) or self._edges[place] != row:
                insort(self._edges, row)

    def _count(self, request: PageRequest, *, stuck: bool) -> None:
        page = request.target[0] // (self._page_size * self._step)
        self._requests[page] += 1
        self._stuck[page] = self._stuck[page] + 1 if stuck else 0
        if self._stuck[page] >= _STUCK or self._requests[page] > _MOST_REQUESTS:
            raise NoProgress(f"{self._requests[page]} requests, the last {self._stuck[page]} without anything new")


def _without(stretches: Sequence[Stretch], start: int, end: int) -> list[Stretch]:
    """The stretches with [start, end) cut out."""
    rest: list[Stretch] = []
    for a, b in stretches:
        if b <= start or a >= end:
            rest.append((a, b))
            continue
        rest += [(a, start)] if a < start else []
        rest += [(end, b)] if end < b else []
    return rest


def _overlapping(stretches: Sequence[Stretch], start: int, end: int) -> list[Stretch]:
    """The parts of the stretches that lie in [start, end)."""
    return [(max(a, start), min(b, end)) for a, b in stretches if a < end and b > start]


def _without_strays(times: Times, until: int, jump: int) -> Times:
    """The rows without those that lie alone, far behind the rest: a wrong time must not prove years absent."""
    chunks = np.split(times, np.flatnonzero(np.diff(times) > jump) + 1)
    kept = [chunk for chunk in chunks if len(chunk) > _SPARSE or chunk[0] <= until]
    return np.concatenate(kept or chunks[:1])


def _without_first_strays(rows: Times, jump: int) -> Times:
    """The rows without one or two that lie far before the rest."""
    cuts = np.flatnonzero(np.diff(rows) > jump)
    return rows[cuts[0] + 1 :] if len(cuts) and cuts[0] < _SPARSE else rows
