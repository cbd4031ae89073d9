"""Draw conclusions from the answers of an exchange: which candles of a series exist, and which do not.

A request asks for the candles from `since` to `until`. Its answer allows the following conclusions. For most of them,
it is not necessary to know the page size of the exchange, or whether the exchange counts candles forward from `since`
or back from `until`.

- There are no candles between two neighbouring rows, because an answer lists all existing candles in order.
- If the answer has rows after `until`, there are two possibilities. Either the exchange counted forward from `since`,
  and there are no candles between `since` and the first row. Or the exchange ignored `since`. `since_check` finds out
  which possibility is true.
- If the answer has only one or two rows, and all of them are before (or all are after) the requested stretch, the
  stretch is probably empty. Usually a second answer without a candle of the stretch is needed to prove this. One answer
  is enough if the stretch is short and the exchange leaves out minutes without trades.
- If the answer is empty, the stretch is probably empty. Usually a second empty answer is needed to prove this. After
  several consecutive empty pages, one empty answer is enough for each further page.
- If the exchange counts back from `until` and returns as many rows as requested, the rows are the last rows before
  `until`. Candles between the first row and `until` that are not in the answer do not exist.

Some exchanges return the candles exactly at the start and the end of a request, and others do not. The documentation is
often vague about this. Therefore the first and the last candle of a window count as absent only in three cases:

- The candle is between two neighbouring rows of an answer.
- The candle is absent from two answers to requests with different bounds, and one of these requests began before the
  candle and ended after it.
- The candle is absent from three answers.

A stretch is a span of time, including its start and excluding its end. A stretch is open as long as it is not known
which of its candles exist. Instants are in milliseconds since 1970 UTC and on the timeframe's grid.
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

SPARSE = 2  # an answer with at most this many rows is sparse, and proves little
# A page counts as empty after two empty answers. After this many consecutive empty pages, one empty answer
# is enough for each further page.
_EMPTY_PAGES = 3
# A boundary candle (the first or the last candle of a window) counts as absent after this many answers without it, even
# if all requests had the same start and end.
_ENOUGH = 3


@dataclass
class _Boundary:
    """A boundary candle (the first or the last candle of a window), and the answers that did not contain it.

    cuts: the different bounds (since, until) of the requests.
    inside: whether one of the requests began before the candle and ended after it.
    answers: the number of answers.
    """

    cuts: set[Stretch] = field(default_factory=set)
    inside: bool = False
    answers: int = 0

    @property
    def is_absent(self) -> bool:
        return (len(self.cuts) > 1 and self.inside) or self.answers >= _ENOUGH


class Evidence:
    """The stretches of one series that are still open, and the evidence so far.

    filled: whether the exchange also returns candles for minutes without trades. If so, every absence is unusual.
    edges: whether one answer is too little evidence that the first or the last candle of a window is absent (see the
        docstring of this module).
    answered: whether the exchange has returned at least one candle of this symbol that counts; see `note`.
    observations: a counter of new evidence. An answer can increase this counter without closing a stretch.
    sparse: whether all answers so far had at most two rows, and at least one of them had one or two rows although more
        rows were requested. Possibly the exchange never returns more than two rows per request.
    """

    def __init__(
        self, windows: Iterable[Stretch], *, step: int, page_size: int, filled: bool, edges: bool = True
    ) -> None:
        self._step = step
        # the longest stretch (ms) that can be proven empty by a single answer with rows on only one side of it
        self._short = 0 if filled else page_size // 2 * step
        self.open = OpenStretches(windows)
        self._boundaries: dict[int, _Boundary] = {}
        for start, end in windows if edges else ():
            self._boundaries |= {start: _Boundary(), end - step: _Boundary()}
        self._edges: list[int] = []  # the times of the first and last rows of all answers, sorted
        self._longest = 0  # the number of rows of the longest answer
        # Each of these stretches was requested recently, and the answer had no candle of the stretch.
        self._empty: deque[Stretch] = deque(maxlen=64)
        self._empty_pages = 0
        # Whether the exchange returns the candle that begins exactly at `since`. If `edges` is False, this is assumed.
        # Otherwise, the value becomes True when an answer has a row at `since`.
        self._includes_start = not edges
        self.answered = False
        self.sparse = False
        self.observations = 0

    def note(self, request: PageRequest, times: Times, *, answered: bool) -> None:
        """Record the facts about an answer that are needed for later conclusions.

        `times`: the times of the answer's rows from `since` on.
        `answered`: whether the answer had at least one candle that counts. Candles before `since` count only if a
            correct answer can consist of such candles alone.
        """
        self.answered |= answered
        self._longest = max(self._longest, len(times))
        self.sparse = self._longest <= SPARSE and (self.sparse or 0 < len(times) < request.limit)
        self._includes_start |= len(times) > 0 and bool(times[0] == request.since)

    def is_newest(self, instant: int) -> bool:
        """Return whether all known rows start before `instant`."""
        return not self._edges or self._edges[-1] < instant

    def known_before(self, instant: int) -> int | None:
        """Return the time of the last row before `instant`; None if there is no such row.

        Only the first and the last row of each answer are considered.
        """
        row = bisect_left(self._edges, instant) - 1
        return self._edges[row] if row >= 0 else None

    def neighbours(self, times: Times) -> None:
        """Close the stretch from the first to the last row of an answer, because all of its candles are known now.

        `times`: the times of the rows, at least one.
        """
        self._empty_pages = 0
        first, last = int(times[0]), int(times[-1])
        self.open.close(first, last + self._step)
        for row in {first, last}:
            place = bisect_left(self._edges, row)
            if place == len(self._edges) or self._edges[place] != row:
                insort(self._edges, row)

    def silence(self, start: int, end: int, request: PageRequest, *, proven: bool = True, uncut: bool = False) -> None:
        """Process an answer to `request` that has no row from `start` to `end` (exclusive).

        `proven`: whether the answer proves that this stretch is empty. If so, the stretch is closed, except for
            boundary candles (see `_Boundary`) that need more answers before they count as absent.
        `uncut`: whether the exchange ignores the bounds of the request and always returns its newest rows.
        """
        for candle, boundary in self._boundaries.items():
            if not start <= candle < end:
                continue
            cut = (boundary.answers, 0) if uncut else (request.since, request.until)
            self.observations += cut not in boundary.cuts
            boundary.answers += 1
            boundary.cuts.add(cut)
            boundary.inside |= uncut or (request.since < candle and candle + self._step < request.until)
            if proven and not boundary.is_absent:
                self.open.close(start, candle)
                start = candle + self._step
        if proven:
            self.open.close(start, end)

    def counted_forward(self, request: PageRequest, first: int) -> None:
        """Process an answer of an exchange that counts forward from `since`.

        If no answer had a row exactly at `since` yet, the exchange possibly leaves out the candle at `since`. Then this
        candle stays open.

        `first`: the time of the answer's first row.
        """
        start = request.since if self._includes_start else request.since + self._step
        self.silence(request.since, start, request, proven=False)
        self.silence(start, first, request)

    def counted_back(self, request: PageRequest, rows: Times) -> None:
        """Process an answer of an exchange that counts back from `until`.

        The answer has as many rows as requested. They are the last rows before `until`.
        """
        self.silence(max(request.since, int(rows[0])), request.until, request)
        if rows[-1] >= request.since:
            self.neighbours(rows)

    def edges(self, request: PageRequest, times: Times) -> None:
        """Process an answer with only one or two rows.

        If all rows are before the target, or if all rows are after the target, the target is probably empty.
        """
        start, end = request.target
        if times[0] >= end:
            self.possibly_empty(request, request.since, int(times[0]))
        elif times[-1] < start and self.sparse:
            # No answer had more than two rows. If the exchange never returns more than two rows, this answer does not
            # prove that the target is empty.
            self.silence(int(times[-1]) + self._step, end, request, proven=False)
        elif times[-1] < start:
            self.possibly_empty(request, int(times[-1]) + self._step, end)

    def possibly_empty(self, request: PageRequest, start: int, end: int, *, uncut: bool = False) -> None:
        """Process an answer that seems to show that the stretch from `start` to `end` (exclusive) is empty.

        The answer has rows only before or only after the stretch. Therefore it is possibly incomplete, and alone it
        does not prove that a long stretch is empty. The stretch is closed if it is short, or if an earlier answer also
        had no candle of the request's target.

        `uncut`: see `silence`.
        """
        is_second = self._is_second(request)
        is_enough = is_second or end - start <= self._short
        self.silence(self._included(start, request), end, request, proven=is_enough, uncut=uncut)

    def nothing(self, request: PageRequest) -> None:
        """Process an answer that has no rows at `since` or later."""
        is_enough = self._is_second(request) or self._empty_pages >= _EMPTY_PAGES
        if is_enough:
            self._empty_pages += 1
        start, end = request.target
        if start == request.since and not self._includes_start:
            # The request does not begin before its target, for example because the target begins at the retention
            # horizon. The exchange possibly leaves out the candle at `since`, which is the target's first candle. So
            # only repeated answers prove that this candle is absent.
            self._boundaries.setdefault(start, _Boundary())
        self.silence(self._included(start, request), end, request, proven=is_enough)

    def _included(self, start: int, request: PageRequest) -> int:
        """Return `start`, or the start of the next candle if the exchange possibly leaves out the candle at `start`."""
        is_certain = start != request.since or self._includes_start or start in self._boundaries
        return start if is_certain else start + self._step

    def _is_second(self, request: PageRequest) -> bool:
        """Record that the answer had no candle of the request's target.

        Return whether an earlier answer without a candle of this target was recorded.
        """
        start, end = request.target
        is_second = any(first <= start and end <= last for first, last in self._empty)
        if not is_second:
            self._empty.append(request.target)
            self.observations += 1
        return is_second


def without_strays(times: Times, until: int, jump: int) -> Times:
    """Remove isolated rows after the end of the request, and return the rest.

    One or two neighbouring rows are isolated if they are far from all other rows. Isolated rows probably have wrong
    times. If they were kept, they would seem to prove that years of candles do not exist.

    `until`: the end of the request. Isolated rows that begin at `until` or earlier are kept.
    `jump`: two neighbouring rows are far from each other if their distance is larger than `jump`.
    """
    cuts = np.flatnonzero(np.diff(times) > jump) + 1
    if not len(cuts):
        return times
    chunks = np.split(times, cuts)
    kept = [chunk for chunk in chunks if len(chunk) > SPARSE or chunk[0] <= until]
    return np.concatenate(kept or chunks[:1])


def without_first_strays(rows: Times, jump: int) -> Times:
    """Remove one or two isolated first rows, and return the rest.

    The first rows are isolated if the distance to the next row is larger than `jump`.
    """
    cuts = np.flatnonzero(np.diff(rows) > jump)
    return rows[cuts[0] + 1 :] if len(cuts) and cuts[0] < SPARSE else rows
