"""Make requests with retries for one series: request a page, or search for the first or the last candle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from structlog.contextvars import bound_contextvars

from titan10_dagster.candles.slices import Series, Slice, from_ms
from titan10_dagster.errors import FetchError
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.listing import Beginning, End, RequestPage, first_candle, last_candle
from titan10_dagster.exchanges.pages import Page, PageRequest
from titan10_dagster.exchanges.retries import Effort, RetryLimits, with_retries
from titan10_dagster.exchanges.series_state import Bound, Finding, Reply, SeriesState


class Log(Protocol):
    """A logger that comes from structlog, Dagster or Python's `logging`."""

    def info(self, message: str, /) -> Any: ...

    def warning(self, message: str, /) -> Any: ...


@dataclass(frozen=True)
class Requester:
    """Makes requests with a client and repeats them after temporary failures.

    A FetchError is not raised. It is part of the result.
    """

    client: ExchangeClient
    limits: RetryLimits
    log: Log
    now: Callable[[], datetime]

    async def page(self, series: Series, request: PageRequest) -> Reply:
        """Request one page, and return the answer or the error."""
        effort = Effort()
        try:
            until = from_ms(request.until) if request.names_end else None
            page = await self._with_retries(effort)(series, from_ms(request.since), request.limit, until)
        except FetchError as error:
            return Reply(request, None, error, effort)
        return Reply(request, page, None, effort)

    async def bound(self, state: SeriesState, bound: Bound, trigger: Slice) -> Finding:
        """Search for a bound of the series (see `Bound`), and return the result or the error.

        `trigger`: the slice for which the search is made.
        """
        effort = Effort()
        try:
            found = await self._search(state, bound, self._with_retries(effort))
        except FetchError as error:
            return Finding(bound, trigger, None, error, effort)
        return Finding(bound, trigger, found, None, effort)

    async def _search(self, state: SeriesState, bound: Bound, request: RequestPage) -> End | Beginning | None:
        venue, honours_since = self.client.venue, state.survey.honours_since
        if bound is Bound.DELISTED:
            return await last_candle(request, venue, state.series, self.now(), honours_since=honours_since)
        return await first_candle(
            request,
            venue,
            state.series,
            self.now(),
            honours_since=honours_since,
            silent_until=state.silent_at_first,
            listed=state.bounds.listed,
        )

    def _with_retries(self, effort: Effort) -> RequestPage:
        async def request(series: Series, since: datetime, limit: int, until: datetime | None = None) -> Page:
            with bound_contextvars(symbol=series.symbol):
                page = await with_retries(
                    lambda: self.client.fetch_page(series, since, limit, until),
                    self.limits,
                    log=self.log.info,
                    effort=effort,
                )
            effort.seconds += page.seconds
            return page

        return request
