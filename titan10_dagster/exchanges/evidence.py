"""What the answers of an exchange prove about a series.

An answer to [since, until) proves, whichever way the exchange counts and however few rows it was willing to give:

- between two of its neighbouring rows there is nothing, because it lists in a row what exists
- if rows lie after `until`, the exchange counted forward from `since`: nothing lies between `since` and its first row.
  Or it ignored `since`; `since_check` finds that out
- if it holds only a row or two on one side of the stretch, nothing; if it does so a second time, nothing lies in the
  stretch. A short stretch is believed empty at once where the exchange leaves out minutes without trades
- if it is empty, nothing; if it is empty a second time, nothing lies in the stretch
- if the exchange counts back from `until`, as many rows as were requested are the last ones before it, however old:
  whatever of [since, until) is not among them does not exist, all of it if they all lie before `since`

Exchanges differ in whether the start and the end of a request are included, and documents are vague about it. So the
first and the last candle of a window are absent only if they lie between two neighbouring rows, or if two answers with
different cuts lack them, one of which was requested from before and to after that candle.

Instants are milliseconds since 1970 (UTC) on the timeframe's grid; stretches are half-open.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.exchanges.pages import PageRequest
from titan10_dagster.exchanges.stretches import OpenStretches, Stretch

Times = NDArray[np.int64]

SPARSE = 2  # rows an answer may hold at the edge of a stretch
_EMPTY_PAGES = 3  # in a row, after which one answer each is enough
_ENOUGH = 3  # answers without a boundary candle, whatever their cuts


@dataclass
class _Boundary:
    """The answers that lacked the first or the last candle of a window.

    cuts: the different (since, until) of their requests. inside: one of them reached beyond the candle on both sides.
    """

    cuts: set[Stretch] = field(default_factory=set)
    inside: bool = False
    answers: int = 0

    @property
    def is_absent(self) -> bool:
        return (len(self.cuts) > 1 and self.inside) or self.answers >= _ENOUGH


class Evidence:
    """The open candles of one series, and what has been proven so far.

    filled: the exchange gives candles without trades too, so that any absence is strange.
    edges: the first and the last candle of a window matter as much as the others.
    answered: the exchange gave at least one candle of this symbol.
    observations: how many answers added to what is known without closing anything yet.
    sparse: no answer held more rows than an edge may, so the exchange perhaps gives no more at once.
    """

    def __init__(
        self, windows: Iterable[Stretch], *, step: int, page_size: int, filled: bool, edges: bool = True
    ) -> None:
        self._step = step
        self._believable = 0 if filled else page_size // 2 * step
        self.open = OpenStretches(windows)
        self._boundaries: dict[int, _Boundary] = {}
        for start, end in windows if edges else ():
            self._boundaries |= {start: _Boundary(), end - step: _Boundary()}
        self._edges: list[int] = []  # first and last rows of answers
        self._longest = 0  # rows of the longest answer
        self._empty: deque[Stretch] = deque(maxlen=64)  # targets of the last answers that held nothing of them
        self._empty_pages = 0
        self._includes_start = not edges  # a row at `since` itself came
        self.answered = False
        self.sparse = False
        self.observations = 0

    def note(self, request: PageRequest, times: Times, *, answered: bool) -> None:
        """Record how an answer was cut, independent of what it proves; `times`: its rows from `since` on."""
        self.answered |= answered
        self._longest = max(self._longest, len(times))
        self.sparse = self._longest <= SPARSE and (self.sparse or 0 < len(times) < request.limit)
        self._includes_start |= len(times) > 0 and bool(times[0] == request.since)

    def is_newest(self, instant: int) -> bool:
        """Return whether no known row starts at `instant` or later."""
        return not self._edges or self._edges[-1] < instant

    def known_before(self, instant: int) -> int | None:
        """Return the last known row before `instant`."""
        row = bisect_left(self._edges, instant) - 1
        return self._edges[row] if row >= 0 else None

    def neighbours(self, times: Times) -> None:
        """Learn from the rows (at least one) of an answer: between two neighbours there is nothing."""
        self._empty_pages = 0
        first, last = int(times[0]), int(times[-1])
        self.open.close(first, last + self._step)
        for row in {first, last}:
            place = bisect_left(self._edges, row)
            if place == len(self._edges) or self._edges[place] != row:
                insort(self._edges, row)

    def silence(
        self, start: int, end: int, request: PageRequest, *, believed: bool = True, uncut: bool = False
    ) -> None:
        """Learn that an answer to `request` holds nothing in [start, end).

        If that is `believed`, it is closed, except for boundary candles that this answer alone does not prove absent.
        uncut: the answer's edges do not depend on the request.
        """
        for candle, boundary in self._boundaries.items():
            if not start <= candle < end:
                continue
            cut = (boundary.answers, 0) if uncut else (request.since, request.until)
            self.observations += cut not in boundary.cuts
            boundary.answers += 1
            boundary.cuts.add(cut)
            boundary.inside |= uncut or (request.since < candle and candle + self._step < request.until)
            if believed and not boundary.is_absent:
                self.open.close(start, candle)
                start = candle + self._step
        if believed:
            self.open.close(start, end)

    def counted_forward(self, request: PageRequest, first: int) -> None:
        """Learn that the exchange counted forward from `since` and came to `first`, its first row.

        Unless a row at a start came before, it may leave out the start itself.
        """
        start = request.since if self._includes_start else request.since + self._step
        self.silence(request.since, start, request, believed=False)
        self.silence(start, first, request)

    def counted_back(self, request: PageRequest, rows: Times) -> None:
        """Learn from as many rows as were requested, counted back from `until`: they are the last ones before it."""
        self.silence(max(request.since, int(rows[0])), request.until, request)
        if rows[-1] >= request.since:
            self.neighbours(rows)

    def edges(self, request: PageRequest, times: Times) -> None:
        """Learn from the row or two of an answer that lie on one side of the stretch."""
        start, end = request.target
        if times[0] >= end:
            self.believe(request, request.since, int(times[0]))
        elif times[-1] < start and self.sparse:  # perhaps the exchange gives no more rows at once
            self.silence(int(times[-1]) + self._step, end, request, believed=False)
        elif times[-1] < start:
            self.believe(request, int(times[-1]) + self._step, end)

    def believe(self, request: PageRequest, start: int, end: int, *, uncut: bool = False) -> None:
        """Learn that [start, end) is empty, from an answer that might have lost most of its rows."""
        # No row bounds the stretch on its other side.
        is_second = self._is_second(request)
        is_enough = is_second or end - start <= self._believable
        self.silence(self._included(start, request), end, request, believed=is_enough, uncut=uncut)

    def nothing(self, request: PageRequest) -> None:
        """Learn from an answer without any row of the stretch."""
        is_enough = self._is_second(request) or self._empty_pages >= _EMPTY_PAGES
        if is_enough:
            self._empty_pages += 1
        start, end = request.target
        if start == request.since and not self._includes_start:
            # No request may begin earlier, as at a retention horizon, so only repeated answers can prove it absent.
            self._boundaries.setdefault(start, _Boundary())
        self.silence(self._included(start, request), end, request, believed=is_enough)

    def _included(self, start: int, request: PageRequest) -> int:
        """Return `start`, or the candle after it if the exchange perhaps leaves out the start of a request."""
        is_certain = start != request.since or self._includes_start or start in self._boundaries
        return start if is_certain else start + self._step

    def _is_second(self, request: PageRequest) -> bool:
        """Count an answer that held nothing of its target; return whether there was one before."""
        start, end = request.target
        is_second = any(first <= start and end <= last for first, last in self._empty)
        if not is_second:
            self._empty.append(request.target)
            self.observations += 1
        return is_second


def without_strays(times: Times, until: int, jump: int) -> Times:
    """Return the rows without isolated rows far behind the rest: a wrong time must not prove that years are absent."""
    chunks = np.split(times, np.flatnonzero(np.diff(times) > jump) + 1)
    kept = [chunk for chunk in chunks if len(chunk) > SPARSE or chunk[0] <= until]
    return np.concatenate(kept or chunks[:1])


def without_first_strays(rows: Times, jump: int) -> Times:
    """Return the rows without one or two that lie far before the rest."""
    cuts = np.flatnonzero(np.diff(rows) > jump)
    return rows[cuts[0] + 1 :] if len(cuts) and cuts[0] < SPARSE else rows
