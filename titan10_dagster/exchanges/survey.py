"""The knowledge about the candles of one series during a fetch, and the next request. This module makes no requests.

A `Survey` tracks which candles are still open, that is neither received nor proven absent. The earliest open stretch
becomes the next page. This one rule covers all cases: the first pages of a window, the rest after a shortened answer,
and the beginning that a truncated answer lacks.

`pages` cuts stretches into requests, `evidence` holds what answers prove, and `since_check` finds out whether an
exchange honours `since`. An exchange that ignores it always returns its last rows: the first row of a full page is its
horizon, once a second full page agrees.

Instants are milliseconds since 1970 (UTC) on the timeframe's grid; stretches are half-open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from titan10_dagster.candles.slices import from_ms
from titan10_dagster.exchanges.evidence import SPARSE, Evidence, Times, without_first_strays, without_strays
from titan10_dagster.exchanges.pages import PagePlanner, PageRequest, Purpose
from titan10_dagster.exchanges.reach import Reach
from titan10_dagster.exchanges.since_check import SinceCheck
from titan10_dagster.exchanges.stretches import Stretch
from titan10_dagster.exchanges.venues.venue import EmptyMinutes, Venue

# For these exchanges ccxt sends only a start, and their documentation does not say what that means. ccxt can send an
# end too.
_BARE_START = ("bingx", "poloniex", "xt")
_STUCK = 4  # the most answers to one page without anything new
_MOST_REQUESTS = 64  # the most requests for one page


class NoProgress(Exception):
    """The exchange repeatedly answers, but never with the requested candles."""


class Survey:
    """The knowledge about one series in `windows`.

    step: the timeframe. overlap: the number of candles by which new pages overlap. depth: how many candles back from
    now the exchange serves; None: all. ahead: how many pages beyond the first open candle may be requested. filled: the
    exchange also returns candles without trades. honours_since: whether it counts from `since`; None: not known yet.
    cursor: pages count back from the end of the request. edges: see `Evidence`. can_name_end: see `SinceCheck`.
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
        edges: bool = True,
        can_name_end: bool = False,
        now: int,
    ) -> None:
        wanted = sorted(windows)
        self._step = step
        self._page_size = page_size
        self._cursor = cursor
        self._serves_newest = depth is not None
        self._ahead = ahead * page_size * step
        self._planner = PagePlanner(step, page_size, min(overlap, page_size - 1), wanted)
        self._evidence = Evidence(wanted, step=step, page_size=page_size, filled=filled, edges=edges)
        self._check = SinceCheck(self._planner, honours_since, can_name_end=can_name_end)
        self._flight: list[PageRequest] = []
        self._requests: Counter[int] = Counter()  # by page
        self._stuck: Counter[int] = Counter()
        self._attempts: Counter[int] = Counter()  # number of answers that left a stretch open, by its start
        self.reach = Reach(self._planner, self._evidence.open, depth)
        self.reach.absent_from(now)
        self.reach.apply_depth(now, shows_itself=honours_since is False)

    @property
    def answered(self) -> bool:
        """Whether the exchange has returned at least one candle of this symbol."""
        return self._evidence.answered

    @property
    def honours_since(self) -> bool | None:
        """Whether the exchange counts from `since`; None until it is known."""
        return self._check.honours_since

    @property
    def horizon(self) -> int | None:
        """The first candle that the exchange still serves (ms); None if no horizon is known."""
        return self.reach.horizon

    @property
    def requests_recent(self) -> bool:
        """Whether a request for recent candles is under way."""
        return any(request.purpose is Purpose.RECENT for request in self._flight)

    def settled(self, start: int, end: int) -> bool:
        """Return whether every candle of [start, end) was received or is absent, and no request for it is under way."""
        if self.reach.awaits_second_answer or not self._evidence.open.is_closed(start, end):
            return False
        return not any(request.target[0] < end and request.target[1] > start for request in self._flight)

    def next_request(self, now: int) -> PageRequest | None:
        """Return the next request, and count it as in flight. Return None if there is none at the moment."""
        self.reach.apply_depth(now, shows_itself=self.honours_since is False)
        request = self._next_request()
        if request is not None:
            self._flight.append(request)
        return request

    def recent_request(self, now: int, trigger: int) -> PageRequest:
        """Return a request for the newest candles, to check that the symbol has any. It counts as in flight."""
        request = self._planner.recent(now, trigger)
        self._flight.append(request)
        return request

    def withdraw(self, request: PageRequest) -> None:
        """Remove a request without an answer. Its candles stay open."""
        self._flight.remove(request)

    def learn(self, request: PageRequest, times: Times, requested_at: int) -> None:
        """Process the starts of the candles (ascending) in an answer.

        Raises NoProgress after too many useless answers.
        """
        self._flight.remove(request)
        given = len(times)
        rows = times[times <= requested_at] // self._step * self._step
        times = rows[rows >= request.since]
        backward = self._cursor or self.honours_since is False  # if so, an answer may consist of rows before `since`
        self._evidence.note(request, times, answered=len(rows if backward else times) > 0)
        if request.purpose is Purpose.RECENT:
            return
        before = self._evidence.open.within(*request.target), self._evidence.observations
        if self._cursor and len(rows) >= request.limit and rows[-1] <= request.until:
            self._evidence.counted_back(request, rows)
        if request.purpose is Purpose.SINCE:
            self._learn_of_since(rows, requested_at)
        elif self.honours_since is False and len(rows):
            self._learn_last_rows(request, rows)
        elif len(times):
            self._learn_rows(request, times, requested_at)
        elif given <= SPARSE or self._cursor or (self._serves_newest and _are_last_rows(self._evidence, request, rows)):
            self._evidence.nothing(request)  # other rows answer a different request
        self._count(request, before)

    def _next_request(self) -> PageRequest | None:
        if self._check.suspicion is not None:
            under_way = any(request.purpose is Purpose.SINCE for request in self._flight)
            return None if under_way else self._check.question()
        is_same_answer = self.honours_since is False  # whatever is requested
        if is_same_answer and self._flight:
            return None
        evidence = self._evidence
        free = evidence.open.first_outside(request.target for request in self._flight)
        if free is None or free[0] - evidence.open.start >= self._ahead:
            return None
        if is_same_answer:
            return self._planner.last_rows(*free)
        known = evidence.known_before(free[0])
        return self._planner.page(*free, known, attempt=self._attempts[free[0]], narrow=evidence.sparse)

    def _learn_rows(self, request: PageRequest, times: Times, requested_at: int) -> None:
        is_suspicious = self._check.suspects(request, times, requested_at)
        kept = without_strays(times, request.until, self._page_size * self._step)
        if is_suspicious:
            self._check.suspect(request, times, int(kept[0]))
        elif kept[-1] > request.until:
            self._evidence.counted_forward(request, int(kept[0]))
        elif len(kept) <= SPARSE:
            self._evidence.edges(request, kept)
        self._evidence.neighbours(kept)

    def _learn_last_rows(self, request: PageRequest, rows: Times) -> None:
        """Process the exchange's last rows.

        They show something about earlier candles only if no more rows can be requested.
        """
        rows = without_first_strays(rows, self._page_size * self._step)
        open_ = self._evidence.open
        if request.limit >= self._page_size and open_ and open_.start < rows[0]:
            self.reach.see_horizon(int(rows[0]))
        self._evidence.neighbours(rows)
        over = int(rows[-1]) + self._step
        if open_ and open_.end > over:
            self._evidence.believe(request, over, open_.end, uncut=True)

    def _learn_of_since(self, rows: Times, requested_at: int) -> None:
        judgement = self._check.learn(rows, requested_at)
        if judgement is None:
            return
        doubt = judgement.suspicion
        if judgement.honours_since:
            self._evidence.counted_forward(doubt.request, doubt.first)
            return
        self._evidence.neighbours(rows)
        if doubt.full_page:
            self.reach.see_horizon(doubt.first)

    def _count(self, request: PageRequest, before: tuple[list[Stretch], int]) -> None:
        left = self._evidence.open.within(*request.target)
        if request.purpose is Purpose.PAGE:
            for start, _ in left:
                self._attempts[start] += 1
        page = request.target[0] // (self._page_size * self._step)
        is_stuck = bool(left) and before == (left, self._evidence.observations)
        self._requests[page] += 1
        self._stuck[page] = self._stuck[page] + 1 if is_stuck else 0
        if self._stuck[page] >= _STUCK or self._requests[page] > _MOST_REQUESTS:
            raise NoProgress(f"{self._requests[page]} requests, the last {self._stuck[page]} without anything new")


def _are_last_rows(evidence: Evidence, request: PageRequest, rows: Times) -> bool:
    """Return whether rows before `since` may be the last rows of an exchange that serves only its newest candles.

    Such an exchange may return them for any `since`. A closed market then has no candle from `since` on, unless an
    earlier answer had a later row.
    """
    return len(rows) > 0 and evidence.is_newest(request.since)


def survey_of(
    venue: Venue,
    windows: Iterable[Stretch],
    *,
    step: int,
    now: int,
    honours_since: bool | None = None,
    ahead: int = 32,
    edges: bool = True,
) -> Survey:
    """Return a survey with the facts of the exchange's record; for their meaning see `Venue`."""
    wanted = sorted(windows)
    oldest = from_ms(wanted[0][0] if wanted else now)
    return Survey(
        wanted,
        step=step,
        page_size=venue.page_size_from(oldest, from_ms(now)),
        overlap=venue.overlap,
        depth=venue.depth,
        ahead=ahead,
        filled=venue.empty_minutes is EmptyMinutes.FILLED,
        honours_since=False if venue.no_since else honours_since,
        cursor=venue.cursor,
        edges=edges,
        can_name_end=venue.exchange in _BARE_START,
        now=now,
    )
