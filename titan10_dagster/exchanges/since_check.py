"""A check whether an exchange counts from `since` or always returns its last rows.

An answer that begins later than requested and reaches beyond the page looks the same in both cases: nothing may have
traded before its first row, or the exchange ignored `since`. One small request decides. An exchange that honours
`since` answers it from the same row on. An exchange that ignores `since` answers with its last rows again.

Some exchanges honour a start only together with an end. If an exchange seems to ignore `since` and ccxt can send an
end, the check is therefore repeated with requests that name their end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from titan10_dagster.exchanges.evidence import SPARSE, Times
from titan10_dagster.exchanges.pages import PagePlanner, PageRequest, Purpose

_LATE = 5  # number of candles by which an exchange's newest candle may be behind the clock


@dataclass(frozen=True)
class Suspicion:
    """A suspicious answer: `rows` rows from `first`, which is later than requested, to `last`, beyond the page.

    unlimited: the exchange answered the check with as many rows again, so it may have ignored only the limit.
    full_page: no more rows can be requested. earliest: the first row, even if it is isolated from the others.
    """

    request: PageRequest
    first: int
    last: int
    rows: int
    unlimited: bool = False
    full_page: bool = False
    earliest: int | None = None


@dataclass(frozen=True)
class Judgement:
    """The outcome of a check. `suspicion`: the answer that caused the check."""

    honours_since: bool
    suspicion: Suspicion


class SinceCheck:
    """The check of one series. `honours_since`: the outcome; None until it is known.

    can_name_end: ccxt can send the end of a request to this exchange.
    """

    def __init__(self, planner: PagePlanner, honours_since: bool | None, *, can_name_end: bool = False) -> None:
        self._planner = planner
        self._can_name_end = can_name_end
        self.honours_since = honours_since
        self.suspicion: Suspicion | None = None

    def suspects(self, request: PageRequest, times: Times, requested_at: int) -> bool:
        """Return whether an answer (with rows) may have ignored `since` and therefore proves nothing."""
        if self.honours_since is not None or times[0] == request.since or times[-1] <= request.until:
            return False
        # A few rows, fewer than requested, are all rows of the market, which has most likely just opened.
        handful = 2 * (_LATE if self._is_recent(int(times[-1]), requested_at) else SPARSE)
        return len(times) >= request.limit or len(times) > handful

    def suspect(self, request: PageRequest, times: Times, first: int) -> None:
        """Keep the suspicion, unless there is one already. `first`: the first row that is not isolated."""
        is_outdated = request.names_end != self._planner.names_end
        if self.suspicion is None and not is_outdated:
            is_full = request.limit >= self._planner.page_size
            self.suspicion = Suspicion(
                request, first, int(times[-1]), len(times), full_page=is_full, earliest=int(times[0])
            )

    def question(self) -> PageRequest | None:
        """Return the deciding request: for fewer rows than the suspicious answer had, or more if it had only a few."""
        doubt, planner = self.suspicion, self._planner
        if doubt is None:
            return None
        start = doubt.request.since
        since = doubt.last + planner.step if doubt.unlimited else start
        limit = 2
        if doubt.rows <= SPARSE:
            limit = planner.page_size
        elif doubt.rows <= 2 * SPARSE:
            limit = 1
        return planner.request(since, limit, (start, start + planner.step), Purpose.SINCE)

    def learn(self, rows: Times, requested_at: int) -> Judgement | None:
        """Evaluate the answer to the check. Return None if it proves nothing; the page is then requested again."""
        doubt, self.suspicion = self.suspicion, None
        if doubt is None or not len(rows):
            return None
        if doubt.rows <= SPARSE:
            return self._by_more_rows(doubt, rows)
        if doubt.unlimited:
            later = np.count_nonzero(rows > doubt.last)
            return self._judge(doubt, honours=bool(later > SPARSE >= len(rows) - later))
        if rows[-1] < doubt.last:
            is_start = doubt.earliest == rows[0] or doubt.first in rows[: 2 * SPARSE]
            return self._judge(doubt, honours=True) if is_start else None
        if len(rows) > 2 * SPARSE and not self._is_recent(doubt.last, requested_at):
            self.suspicion = replace(doubt, unlimited=True)
            return None
        return self._judge(doubt, honours=False)

    def _by_more_rows(self, doubt: Suspicion, rows: Times) -> Judgement | None:
        """Evaluate an answer to a check with a full page: whether it begins at the same row or earlier."""
        requested = rows[rows >= doubt.request.since]
        if len(rows) - len(requested) > SPARSE or (len(requested) and requested[0] < doubt.first):
            return self._judge(replace(doubt, first=int(rows[0]), full_page=True), honours=False)
        if len(requested) and requested[0] == doubt.first:
            return self._judge(doubt, honours=True)
        return None

    def _judge(self, doubt: Suspicion, *, honours: bool) -> Judgement | None:
        if not honours and self._can_name_end and not self._planner.names_end:
            self._planner.names_end = True
            return None
        self.honours_since = honours
        return Judgement(honours, doubt)

    def _is_recent(self, row: int, requested_at: int) -> bool:
        return row >= requested_at - _LATE * self._planner.step
