"""Page requests: the division of a series' open candles into requests. This module makes no requests.

A page begins at a known row if there is one shortly before the open stretch, and goes a little beyond the stretch, so
that an answer with rows on both sides proves what is absent between them. If an answer leaves a stretch open, the next
request begins earlier and ends later, so that the first and last candle of the stretch are no longer the first and last
candle of a request. Exchanges differ in whether the start and the end of a request are included.
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
_WIDER = 2  # number of candles by which another attempt goes beyond the edge of a window


class Purpose(Enum):
    """PAGE: the candles of a page.

    SINCE: a check whether the exchange honours `since`. RECENT: a check whether the symbol has recent candles.
    """

    PAGE = auto()
    SINCE = auto()
    RECENT = auto()


@dataclass(frozen=True)
class PageRequest:
    """A request for `limit` candles from `since`, up to `until`.

    target: the open stretch that needs the request. names_end: `until` is sent to the exchange too.
    """

    since: int
    limit: int
    until: int
    target: Stretch
    purpose: Purpose = Purpose.PAGE
    names_end: bool = False


@dataclass(frozen=True, eq=False)
class Page:
    """The rows of one answer: (n, 6) float64 [ms, open, high, low, close, volume], by time, complete and unfiltered.

    They may include rows before `since`, rows after the page, and the unfinished candle, which ends after
    `requested_at`.
    `requested_at`: the time (aware, UTC) before the request was sent, by the exchange's clock if it is behind this
        machine's. `seconds`: how long the exchange took.

    empty, cut_short, dropped, untimed: as in `rows.ParsedRows`.
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
        """The starts of all minutes in the answer, including empty minutes, in ascending order (ms)."""
        times = self.rows[:, 0].astype(np.int64)
        return np.union1d(times, self.empty) if len(self.empty) else times


@dataclass
class PagePlanner:
    """The division of stretches into page requests.

    step: the timeframe. page_size: the most candles of a page. overlap: the number of candles by which new pages
        overlap.
    windows: the wanted windows, ascending. begins: no request asks for candles before this time.
    names_end: requests name their end, because the exchange ignores a start without an end.
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

        They show whether the symbol is alive, and so help to prove that the candle `trigger` is absent.
        """
        since = (now // self.step - self.page_size + 1) * self.step
        return self.request(since, self.page_size, (trigger, trigger + self.step), Purpose.RECENT)

    def last_rows(self, start: int, end: int) -> PageRequest:
        """Return a request for a full page, for an exchange that always returns its last rows."""
        since = max(self._window_start(start), self.begins, start - self.overlap * self.step)
        stop = min(end, since + self.page_size * self.step)
        return self.request(since, self.page_size, (start, stop))

    def page(self, start: int, end: int, known: int | None, *, attempt: int, narrow: bool) -> PageRequest:
        """Return the request for the open stretch [start, end), or for the part of it that fits into a page.

        known: the last known row before it. attempt: how many answers have left it open.
        narrow: request only the stretch itself, because the exchange may return very few rows per request.
        """
        narrow = narrow and attempt % 2 == 0
        since = self._since(start, known, attempt=attempt, narrow=narrow)
        room = since + self.page_size * self.step
        stop = min(end, room)
        # The candle after the stretch is usually known, so an answer that includes it proves the end of the stretch.
        margin = 0 if narrow else 1
        if attempt and not narrow and self._is_end(stop):
            margin = _WIDER
        last = min(stop + margin * self.step, room)
        return self.request(since, (last - since) // self.step, (start, stop))

    def _since(self, start: int, known: int | None, *, attempt: int, narrow: bool) -> int:
        if narrow and known is not None:
            return max(start, self.begins)
        window = self._window_start(start)
        if attempt and start == window:  # a different division than before
            return max(self.begins, start - min(attempt, _WIDER) * self.step)
        earliest = max(window, self.begins, start - self.overlap * self.step)
        return known if known is not None and earliest <= known else earliest

    def _window_start(self, start: int) -> int:
        """Return the start of the window that contains `start`."""
        return self.windows[bisect_left(self.windows, (start + 1,)) - 1][0]

    def _is_end(self, stop: int) -> bool:
        """Return whether a window ends at `stop`."""
        return self.windows[bisect_left(self.windows, (stop,)) - 1][1] == stop
