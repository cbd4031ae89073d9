"""The conclusions from an exchange's answers about a series.

An answer to a request for [since, until) allows these conclusions, independent of the direction in which the exchange
counts and of the number of rows:

- There are no candles between two neighbouring rows, because an answer lists all existing candles in order.
- If rows are after `until`, the exchange either counted forward from `since`, and there are no candles between `since`
  and the first row, or it ignored `since`. `since_check` finds out which.
- If the answer has only one or two rows, on one side of the stretch, it proves nothing. A second such answer proves
  that the stretch is empty. For a short stretch the first answer is enough if the exchange leaves out minutes without
  trades.
- If the answer is empty, it proves nothing. A second empty answer proves that the stretch is empty.
- If the exchange counts back from `until` and returns as many rows as requested, these are the last rows before
  `until`, of any age. Candles of [since, until) that are not among them do not exist.

Exchanges differ in whether the start and the end of a request are included, and their documentation is vague about it.
Therefore the first and the last candle of a window count as absent only if they are between two neighbouring rows, or
if two answers with different bounds lack them. One of these two requests must begin before and end after that candle.

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

SPARSE = 2  # the most rows that count as "one or two rows"
_EMPTY_PAGES = 3  # empty pages in a row, after which one answer per page is enough
_ENOUGH = 3  # answers without a boundary candle, with any bounds


@dataclass
class _Boundary:
    """The answers that lacked the first or the last candle of a window.

    cuts: the different (since, until) of their requests. inside: whether one of the requests extended beyond the candle
        on both sides.
    """

    cuts: set[Stretch] = field(default_factory=set)
    inside: bool = False
    answers: int = 0

    @property
    def is_absent(self) -> bool:
        return (len(self.cuts) > 1 and self.inside) or self.answers >= _ENOUGH


class Evidence:
    """The open candles of one series, and the evidence so far.

    filled: the exchange also returns candles without trades, so any absence is unusual.
    edges: the first and the last candle of a window matter as much as the others.
    answered: the exchange has returned at least one candle of this symbol.
    observations: how many answers added evidence without closing a candle yet.
    sparse: no answer had more than one or two rows, so the exchange may not return more per request.
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
        self._empty: deque[Stretch] = deque(maxlen=64)  # targets of recent answers that contained none of their candles
        self._empty_pages = 0
        self._includes_start = not edges  # an answer had a row exactly at `since`
        self.answered = False
        self.sparse = False
        self.observations = 0

    def note(self, request: PageRequest, times: Times, *, answered: bool) -> None:
        """Record the bounds of an answer, independent of its conclusions. `times`: its rows from `since` on."""
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
        """Process the rows (at least one) of an answer: there are no candles between two neighbours."""
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
        """Process the fact that an answer to `request` has no row in [start, end).

        If it is `believed`, the stretch is closed, except for boundary candles that this answer alone does not prove
        absent.
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
        """Process an answer that counts forward from `since` to `first`, its first row.

        Unless an earlier answer had a row at its start, the exchange may leave out the start itself.
        """
        start = request.since if self._includes_start else request.since + self._step
        self.silence(request.since, start, request, believed=False)
        self.silence(start, first, request)

    def counted_back(self, request: PageRequest, rows: Times) -> None:
        """Process an answer with as many rows as requested: they are the last rows before `until`."""
        self.silence(max(request.since, int(rows[0])), request.until, request)
        if rows[-1] >= request.since:
            self.neighbours(rows)

    def edges(self, request: PageRequest, times: Times) -> None:
        """Process an answer with one or two rows on one side of the stretch."""
        start, end = request.target
        if times[0] >= end:
            self.believe(request, request.since, int(times[0]))
        elif times[-1] < start and self.sparse:  # the exchange may not return more rows per request
            self.silence(int(times[-1]) + self._step, end, request, believed=False)
        elif times[-1] < start:
            self.believe(request, int(times[-1]) + self._step, end)

    def believe(self, request: PageRequest, start: int, end: int, *, uncut: bool = False) -> None:
        """Process a claim that [start, end) is empty, from an answer that may have lost most of its rows."""
        # There is no row on the other side of the stretch.
        is_second = self._is_second(request)
        is_enough = is_second or end - start <= self._believable
        self.silence(self._included(start, request), end, request, believed=is_enough, uncut=uncut)

    def nothing(self, request: PageRequest) -> None:
        """Process an answer without any row in the stretch."""
        is_enough = self._is_second(request) or self._empty_pages >= _EMPTY_PAGES
        if is_enough:
            self._empty_pages += 1
        start, end = request.target
        if start == request.since and not self._includes_start:
            # No request can begin earlier, for example at a retention horizon, so only repeated answers can prove
            # absence.
            self._boundaries.setdefault(start, _Boundary())
        self.silence(self._included(start, request), end, request, believed=is_enough)

    def _included(self, start: int, request: PageRequest) -> int:
        """Return `start`, or the candle after it if the exchange may leave out the start of a request."""
        is_certain = start != request.since or self._includes_start or start in self._boundaries
        return start if is_certain else start + self._step

    def _is_second(self, request: PageRequest) -> bool:
        """Count an answer without any candle of its target. Return whether there was such an answer before."""
        start, end = request.target
        is_second = any(first <= start and end <= last for first, last in self._empty)
        if not is_second:
            self._empty.append(request.target)
            self.observations += 1
        return is_second


def without_strays(times: Times, until: int, jump: int) -> Times:
    """Return the rows without isolated rows far after the rest, because a wrong time must not prove years absent."""
    chunks = np.split(times, np.flatnonzero(np.diff(times) > jump) + 1)
    kept = [chunk for chunk in chunks if len(chunk) > SPARSE or chunk[0] <= until]
    return np.concatenate(kept or chunks[:1])


def without_first_strays(rows: Times, jump: int) -> Times:
    """Return the rows without one or two isolated rows far before the rest."""
    cuts = np.flatnonzero(np.diff(rows) > jump)
    return rows[cuts[0] + 1 :] if len(cuts) and cuts[0] < SPARSE else rows
