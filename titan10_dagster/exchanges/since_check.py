"""Find out whether an exchange honours `since` (returns candles from `since` on) or always returns its newest rows.

An answer is suspicious if it begins later than `since` and ends after `until`. There are two explanations. Either there
was no trade between `since` and the first row, or the exchange ignored `since`. A second request with another limit,
called the check, shows which explanation is true. If the exchange honours `since`, the second answer begins at the same
row. If the exchange ignores `since`, the second answer has the newest rows again.

Some exchanges honour a start only if the request also has an end. If an exchange seems to ignore `since`, and ccxt can
send an end, all later requests have an end. If an answer to such a request is suspicious, it is checked again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from titan10_dagster.exchanges.evidence import SPARSE, Times
from titan10_dagster.exchanges.pages import PagePlanner, PageRequest, Purpose

_LATE = 5  # the newest candle of an exchange can be this many candles behind the clock


@dataclass(frozen=True)
class Suspicion:
    """A suspicious answer, which begins later than `since` and ends after `until` of its request.

    request: the request that the exchange answered.
    first: the time of the first row that is not isolated from the other rows.
    last: the time of the last row of the answer.
    rows: the number of rows in the answer.
    unlimited: whether the answer to the check had more rows than requested. In this case, the exchange possibly honours
        `since` but ignores `limit`, so a second check is needed.
    full_page: whether a full page was requested. The first row of a smaller page shows nothing about the retention
        horizon.
    earliest: the time of the first row of the answer, even if this row is isolated.
    """

    request: PageRequest
    first: int
    last: int
    rows: int
    unlimited: bool = False
    full_page: bool = False
    earliest: int | None = None


@dataclass(frozen=True)
class CheckResult:
    """The result of a check. `suspicion`: the suspicious answer that caused the check."""

    honours_since: bool
    suspicion: Suspicion


class SinceCheck:
    """The check of one series: whether the exchange honours `since`.

    honours_since: whether the exchange honours `since`; None until it is known.
    can_name_end: whether ccxt can send the end of the requested time range to this exchange, in addition to `since`.
    suspicion: the suspicious answer that is checked next; None if no answer must be checked.
    """

    def __init__(self, planner: PagePlanner, honours_since: bool | None, *, can_name_end: bool = False) -> None:
        self._planner = planner
        self._can_name_end = can_name_end
        self.honours_since = honours_since
        self.suspicion: Suspicion | None = None

    def suspects(self, request: PageRequest, times: Times, requested_at: int) -> bool:
        """Return whether an answer is suspicious, so that it proves nothing about the time before its first row.

        The answer must have rows.
        """
        if self.honours_since is not None or times[0] == request.since or times[-1] <= request.until:
            return False
        # If the answer has only a few rows, and more rows were requested, these are probably all rows of a new market.
        handful = 2 * (_LATE if self._is_recent(int(times[-1]), requested_at) else SPARSE)
        return len(times) >= request.limit or len(times) > handful

    def suspect(self, request: PageRequest, times: Times, first: int) -> None:
        """Keep the suspicious answer for a check.

        The answer is ignored if another suspicious answer already waits for its check. It is also ignored if its
        request had no end, but requests have an end now.

        `first`: the time of the first row that is not isolated.
        """
        is_outdated = request.names_end != self._planner.names_end
        if self.suspicion is None and not is_outdated:
            is_full = request.limit >= self._planner.page_size
            self.suspicion = Suspicion(
                request, first, int(times[-1]), len(times), full_page=is_full, earliest=int(times[0])
            )

    def question(self) -> PageRequest | None:
        """Return the request of the check; None if there is no suspicious answer.

        If the suspicious answer had only one or two rows, the request is for a full page. Otherwise the request is for
        fewer rows than the suspicious answer had. The request of a second check (see `Suspicion.unlimited`) begins
        after the last row of the suspicious answer.
        """
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

    def learn(self, rows: Times, requested_at: int) -> CheckResult | None:
        """Return the result of the check; None if the answer proves nothing.

        After None, either a second check follows, or the page is requested again.
        """
        doubt, self.suspicion = self.suspicion, None
        if doubt is None or not len(rows):
            return None
        if doubt.rows <= SPARSE:
            return self._by_more_rows(doubt, rows)
        if doubt.unlimited:
            later = np.count_nonzero(rows > doubt.last)
            return self._result(doubt, honours=bool(later > SPARSE >= len(rows) - later))
        if rows[-1] < doubt.last:
            is_start = doubt.earliest == rows[0] or doubt.first in rows[: 2 * SPARSE]
            return self._result(doubt, honours=True) if is_start else None
        if len(rows) > 2 * SPARSE and not self._is_recent(doubt.last, requested_at):
            self.suspicion = replace(doubt, unlimited=True)
            return None
        return self._result(doubt, honours=False)

    def _by_more_rows(self, doubt: Suspicion, rows: Times) -> CheckResult | None:
        """Return the result of a check that requested a full page.

        If the answer begins at the same row as the suspicious answer, the exchange honours `since`. If the answer
        begins earlier, the exchange does not honour `since`. Otherwise nothing is proven, and the result is None.
        """
        requested = rows[rows >= doubt.request.since]
        if len(rows) - len(requested) > SPARSE or (len(requested) and requested[0] < doubt.first):
            return self._result(replace(doubt, first=int(rows[0]), full_page=True), honours=False)
        if len(requested) and requested[0] == doubt.first:
            return self._result(doubt, honours=True)
        return None

    def _result(self, doubt: Suspicion, *, honours: bool) -> CheckResult | None:
        if not honours and self._can_name_end and not self._planner.names_end:
            self._planner.names_end = True
            return None
        self.honours_since = honours
        return CheckResult(honours, doubt)

    def _is_recent(self, row: int, requested_at: int) -> bool:
        return row >= requested_at - _LATE * self._planner.step
