"""Divide the open stretches of a series into page requests. This module makes no requests.

A stretch is a span of time. It is open as long as it is not known which of its candles exist. A page request for an
open stretch begins shortly before the stretch. If an earlier answer has a row there, the request begins at this row.
The request ends a little after the stretch. If the answer has rows on both sides of the stretch, it proves which
candles of the stretch are absent.

If a stretch at the start of a window is still open after the answer, the next request begins earlier. If a stretch at
the end of a window is still open, the next request ends later. The reason is that some exchanges leave out the first or
the last candle of a request.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

import numpy as np

from titan10_dagster.exchanges.rows import Instants, Rows, no_instants
from titan10_dagster.exchanges.stretches import Stretch

LONG_AGO = -(1 << 62)
_WIDER = 2  # a repeated request also asks for at most this many candles before the window, or after the window


class Purpose(Enum):
    """The purpose of a page request.

    PAGE: to receive candles.
    SINCE: to check whether the exchange returns candles from `since` on.
    RECENT: to check whether the symbol has recent candles.
    """

    PAGE = auto()
    SINCE = auto()
    RECENT = auto()


@dataclass(frozen=True)
class PageRequest:
    """A request for `limit` candles from `since` to `until`. Times are in ms since 1970 UTC.

    target: the open stretch for which the request is made.
    names_end: whether `until` is sent to the exchange.
    """

    since: int
    limit: int
    until: int
    target: Stretch
    purpose: Purpose = Purpose.PAGE
    names_end: bool = False


@dataclass(frozen=True, eq=False)
class Page:
    """One answer of the exchange with all of its rows.

    rows: an array of shape (n, 6) and type float64, sorted by time: time in ms, open, high, low, close, volume. Some of
        the rows can be before `since` or after `until`. The last row can be a candle that has not ended.
    requested_at: the time (aware, UTC) just before the request was sent. There is one exception. If the answer is dated
        more than two seconds before the request, the date of the answer is used. In this case, this machine's clock is
        ahead, or the answer comes from a cache.
    seconds: how long the exchange took to answer.
    empty, cut_short, dropped, untimed: see `rows.ParsedRows`.
    """

    rows: Rows
    requested_at: datetime
    seconds: float
    empty: Instants = field(default_factory=no_instants)
    cut_short: Instants = field(default_factory=no_instants)
    dropped: int = 0
    untimed: Instants = field(default_factory=no_instants)

    @property
    def times(self) -> Instants:
        """Return the starts of all candles in the answer, including empty minutes, in ascending order (ms)."""
        times = self.rows[:, 0].astype(np.int64)
        return np.union1d(times, self.empty) if len(self.empty) else times


@dataclass
class PagePlanner:
    """Divides open stretches into page requests. Times are in ms since 1970 UTC.

    step: the timeframe in ms.
    page_size: the maximum number of candles of a page.
    overlap: the number of candles by which consecutive pages overlap.
    windows: the time ranges for which candles are wanted, in ascending order.
    begins: requests never begin before this time.
    names_end: whether `until` is sent to the exchange. Some exchanges ignore a start without an end.
    """

    step: int
    page_size: int
    overlap: int
    windows: list[Stretch]
    begins: int = LONG_AGO
    names_end: bool = False

    def request(self, since: int, limit: int, target: Stretch, purpose: Purpose = Purpose.PAGE) -> PageRequest:
        return PageRequest(since, limit, since + limit * self.step, target, purpose, self.names_end)

    def recent(self, now: int, trigger: int) -> PageRequest:
        """Return a request for the newest candles.

        The answer shows whether the exchange has candles of the symbol at all.

        `trigger`: the start (ms) of the slice that waits for this answer.
        """
        since = (now // self.step - self.page_size + 1) * self.step
        return self.request(since, self.page_size, (trigger, trigger + self.step), Purpose.RECENT)

    def last_rows(self, start: int, end: int) -> PageRequest:
        """Return a request for a full page, for an exchange that always returns its newest rows."""
        since = max(self._window_start(start), self.begins, start - self.overlap * self.step)
        stop = min(end, since + self.page_size * self.step)
        return self.request(since, self.page_size, (start, stop))

    def page(self, start: int, end: int, known: int | None, *, attempt: int, narrow: bool) -> PageRequest:
        """Return the request for an open stretch. If the stretch is too long for a page, request its first part.

        start, end: the open stretch; the end is exclusive.
        known: the time of the last row before the stretch in earlier answers; None if there is no such row.
        attempt: the number of earlier requests for this stretch that did not close it.
        narrow: whether the exchange possibly returns only one or two rows per request. If so, every second request for
            the stretch (beginning with the first) does not ask for the candle after the stretch. If `known` is not
            None, this request does not ask for candles before the stretch either.
        """
        narrow = narrow and attempt % 2 == 0
        since = self._since(start, known, attempt=attempt, narrow=narrow)
        room = since + self.page_size * self.step
        stop = min(end, room)
        # The request also asks for the candle after the requested stretch, which usually exists. An answer with this
        # candle proves which candles before it are absent.
        margin = 0 if narrow else 1
        if attempt and not narrow and self._is_end(stop):
            margin = _WIDER
        last = min(stop + margin * self.step, room)
        return self.request(since, (last - since) // self.step, (start, stop))

    def _since(self, start: int, known: int | None, *, attempt: int, narrow: bool) -> int:
        if narrow and known is not None:
            return max(start, self.begins)
        window = self._window_start(start)
        if attempt and start == window:  # a repeated request begins one or two candles before the window, if possible
            return max(self.begins, start - min(attempt, _WIDER) * self.step)
        earliest = max(window, self.begins, start - self.overlap * self.step)
        return known if known is not None and earliest <= known else earliest

    def _window_start(self, start: int) -> int:
        """Return the start of the window that contains `start`."""
        return self.windows[bisect_left(self.windows, (start + 1,)) - 1][0]

    def _is_end(self, stop: int) -> bool:
        """Return whether a window ends at `stop`."""
        return self.windows[bisect_left(self.windows, (stop,)) - 1][1] == stop
