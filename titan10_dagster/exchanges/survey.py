"""Track which candles of a series are still open during a fetch, and choose the next request.

A candle is open if it was not received and is not proven to be absent. A `Survey` tracks the open candles. Usually the
next request is for the earliest open candles for which no request is in progress. This rule also covers answers that
lack their beginning or their end, because the missing part stays open and is requested again.

`pages` divides stretches (spans of time) into requests. `evidence` draws conclusions from answers. `since_check` finds
out whether an exchange honours `since` (returns candles from `since` on). An exchange that ignores `since` always
returns its newest rows. After two full pages of these rows, the earlier one of the two first rows is the retention
horizon. This module makes no requests.

Instants are in milliseconds since 1970 UTC and on the timeframe's grid. A stretch includes its start and excludes its
end.
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

# For these exchanges, ccxt sends an end only if `until` is given. Their documentation does not explain requests without
# an end. If one of these exchanges seems to ignore the start, later requests have an end too.
_BARE_START = ("bingx", "poloniex", "xt")
_STUCK = 4  # NoProgress is raised after this many consecutive answers without new information about a page
_MOST_REQUESTS = 64  # the maximum number of requests for one page; after one more, NoProgress is raised


class NoProgress(Exception):
    """An error of the survey: too many answers about the same page left some of its candles open."""


class Survey:
    """A record of the known and the open candles of one series in the given windows.

    step: the timeframe in ms.
    page_size: the maximum number of candles in a page.
    overlap: the number of candles by which consecutive pages overlap.
    depth: the number of newest candles that the exchange serves; None means all candles.
    ahead: the maximum number of pages that are requested ahead, counted from the first open candle.
    filled: whether the exchange also returns candles for minutes without trades.
    honours_since: whether the exchange returns candles from `since` on; None if this is not known yet.
    cursor: whether the exchange counts candles back from the end of the requested time range.
    edges: see `Evidence`.
    can_name_end: see `SinceCheck`.
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
        self._requests: Counter[int] = Counter()  # the number of requests for each page
        # For each page, the number of consecutive answers without new information, up to the last answer.
        self._stuck: Counter[int] = Counter()
        # For the start of each open stretch (see stretches.py): the number of answers that did not close the stretch.
        self._attempts: Counter[int] = Counter()
        self.reach = Reach(self._planner, self._evidence.open, depth)
        self.reach.absent_from(now)
        self.reach.apply_depth(now, shows_itself=honours_since is False)

    @property
    def answered(self) -> bool:
        """Return whether the exchange has returned at least one candle of this symbol that counts; see `Evidence`."""
        return self._evidence.answered

    @property
    def honours_since(self) -> bool | None:
        """Return whether the exchange returns candles from `since` on; None until this is known."""
        return self._check.honours_since

    @property
    def horizon(self) -> int | None:
        """Return the start of the first candle that the exchange still serves (ms); None if no horizon is known."""
        return self.reach.horizon

    @property
    def requests_recent(self) -> bool:
        """Return whether a request for recent candles is in progress."""
        return any(request.purpose is Purpose.RECENT for request in self._flight)

    def settled(self, start: int, end: int) -> bool:
        """Return whether all candles from `start` to `end` (exclusive) were received or are proven to be absent.

        If a request for one of these candles is in progress, or if a second answer must still confirm the retention
        horizon, the result is False.
        """
        if self.reach.awaits_second_answer or not self._evidence.open.is_closed(start, end):
            return False
        return not any(request.target[0] < end and request.target[1] > start for request in self._flight)

    def next_request(self, now: int) -> PageRequest | None:
        """Return the next request, which counts as in progress from now on; None if no request is needed now."""
        self.reach.apply_depth(now, shows_itself=self.honours_since is False)
        request = self._next_request()
        if request is not None:
            self._flight.append(request)
        return request

    def recent_request(self, now: int, trigger: int) -> PageRequest:
        """Return a request for the newest candles. Its answer shows whether the symbol has candles at all.

        The request counts as in progress from now on.
        """
        request = self._planner.recent(now, trigger)
        self._flight.append(request)
        return request

    def withdraw(self, request: PageRequest) -> None:
        """Remove a request to which the exchange answered with an error. The candles of the request stay open."""
        self._flight.remove(request)

    def learn(self, request: PageRequest, times: Times, requested_at: int) -> None:
        """Process an answer.

        `times`: the starts of the candles in the answer, in ascending order.

        Raises:
            NoProgress: too many answers about this page left some of its candles open.
        """
        self._flight.remove(request)
        given = len(times)
        rows = times[times <= requested_at] // self._step * self._step
        times = rows[rows >= request.since]
        # whether a correct answer can consist only of rows before `since`
        backward = self._cursor or self.honours_since is False
        self._evidence.note(request, times, answered=len(rows if backward else times) > 0)
        if request.purpose is Purpose.RECENT:
            return
        before = self._evidence.open.within(*request.target), self._evidence.observations
        if self._cursor and len(rows) >= request.limit and rows[-1] <= request.until:
            self._evidence.counted_back(request, rows)
        if request.purpose is Purpose.SINCE:
            self._learn_of_since(rows, requested_at)
        elif self.honours_since is False and len(rows):
            self._learn_last_rows(request, rows, requested_at)
        elif len(times):
            self._learn_rows(request, times, requested_at)
        elif given <= SPARSE or self._cursor or (self._serves_newest and _are_last_rows(self._evidence, request, rows)):
            # Each of these three conditions is evidence that the exchange has no candles in the requested time. An
            # answer that meets none of them has only rows before `since`. Such an answer proves nothing.
            self._evidence.nothing(request)
        self._count(request, before)

    def _next_request(self) -> PageRequest | None:
        if self._check.suspicion is not None:
            under_way = any(request.purpose is Purpose.SINCE for request in self._flight)
            return None if under_way else self._check.question()
        is_same_answer = self.honours_since is False  # the exchange returns the same rows for every request
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

    def _learn_last_rows(self, request: PageRequest, rows: Times, requested_at: int) -> None:
        """Process an answer of an exchange that always returns its newest rows.

        The first row is evidence for the horizon only if a full page was requested.
        """
        rows = without_first_strays(rows, self._page_size * self._step)
        open_ = self._evidence.open
        if request.limit >= self._page_size and open_ and open_.start < rows[0]:
            self.reach.see_horizon(int(rows[0]), requested_at)
        self._evidence.neighbours(rows)
        rows_end = int(rows[-1]) + self._step
        if open_ and open_.end > rows_end:
            self._evidence.possibly_empty(request, rows_end, open_.end, uncut=True)

    def _learn_of_since(self, rows: Times, requested_at: int) -> None:
        result = self._check.learn(rows, requested_at)
        if result is None:
            return
        doubt = result.suspicion
        if result.honours_since:
            self._evidence.counted_forward(doubt.request, doubt.first)
            return
        self._evidence.neighbours(rows)
        if doubt.full_page:
            self.reach.see_horizon(doubt.first, requested_at)

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
            raise NoProgress(
                f"{self._requests[page]} requests; consecutive answers without new information: {self._stuck[page]}"
            )


def _are_last_rows(evidence: Evidence, request: PageRequest, rows: Times) -> bool:
    """Return whether the rows before `since` are possibly the last rows of a market that is closed now.

    Some exchanges serve only their newest candles, and return these candles for any `since`. So if no answer had a row
    at `since` or later, the market has no candles from `since` on.
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
    """Return a survey of the windows that uses the facts in the exchange's record (see `Venue`)."""
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
