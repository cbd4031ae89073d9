"""Poll the newest candles of many series of one exchange, with one request for each series.

The next poll follows in a minute. Therefore a poll repeats no request. Requests that still wait at the end of the poll
are not made. The next poll begins with the series of these requests.

One result is reported to the circuit breaker for the whole poll. The poll is a success if at least one request returned
a page. Otherwise it is one failure if the exchange failed or throttled a request, and a success if the exchange only
rejected requests. A ban or a refusal is reported at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.slices import Window, from_datetime64
from titan10_dagster.errors import (
    Blocked,
    BreakerOpen,
    DatabaseUnavailable,
    FetchError,
    Postponed,
    Refused,
    Stalled,
    StoreError,
)
from titan10_dagster.exchanges.breaker import Breaker, HealthSignal, signal_of
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.pages import Page
from titan10_dagster.planning.live import LivePlan

log = logging.getLogger(__name__)

_RECORD_WITHIN = 5.0  # a poll waits at most this many seconds for an update of the breaker in the database


@dataclass(frozen=True, eq=False)
class LiveAnswer:
    """The exchange's answer to the request of one plan.

    candles: the candles in the plan's window that had ended at the time of the request, sorted by time. They have not
        been checked against the candle rules yet.
    requested_at: the time just before the request was sent (aware, UTC).
    seconds: how long the exchange took to answer.
    """

    plan: LivePlan
    candles: Candles
    requested_at: datetime
    seconds: float

    @property
    def covered(self) -> datetime:
        """Return the time up to which the series has been polled."""
        if not len(self.candles):
            return self.plan.covered(None)
        step = self.plan.window.series.timeframe.delta
        return self.plan.covered(from_datetime64(self.candles.times[-1]) + step)


@dataclass
class LivePoll:
    """The result of one poll of an exchange.

    failed: the error of each symbol that failed.
    blocked: the error that forbids more requests; None if requests are allowed.
    postponed: the plans without an answer that do not count as failures. There are three possible reasons: the time of
        the poll ended, no more requests were allowed, or the request timed out because this process stood still.
    """

    answers: list[LiveAnswer] = field(default_factory=list)
    failed: dict[str, FetchError] = field(default_factory=dict)
    blocked: FetchError | None = None
    postponed: list[LivePlan] = field(default_factory=list)
    requests: int = 0


async def poll(client: ExchangeClient, plans: Sequence[LivePlan], *, breaker: Breaker, seconds: float) -> LivePoll:
    """Make one request for each plan. The series with the oldest last known candle is requested first.

    Errors of the exchange are not raised. They are a part of the result.

    `seconds`: after this time, no more requests are made.

    Raises:
        DatabaseUnavailable: the database did not return the state of the breaker in time.
    """
    before, end = client.requests, time.monotonic() + seconds
    running = _Poll(client, breaker, deque(sorted(plans, key=lambda plan: plan.resumed)), LivePoll())
    try:
        await running.requests(end)
        await running.report()
    except BreakerOpen as error:
        running.result.blocked = error
    running.result.postponed += running.waiting
    running.result.requests = client.requests - before
    return running.result


@dataclass
class _Poll:
    """A poll that is running."""

    client: ExchangeClient
    breaker: Breaker
    waiting: deque[LivePlan]
    result: LivePoll

    async def requests(self, end: float) -> None:
        """Make the requests that the breaker allows, until the instant `end` (time.monotonic)."""
        if not self.waiting:
            return
        probing = await self._is_probe(end)
        if probing:
            # The breaker allows only one test request now. Its plan is chosen at random, because the request of the
            # first plan possibly fails every time.
            self.waiting.rotate(random.randrange(len(self.waiting)))
        self.client.confirm, self.client.pacer.deadline = self.breaker.confirm, end
        workers = 1 if probing else self.client.concurrency
        await asyncio.gather(*(self._work(end, probing=probing) for _ in range(workers)))

    async def _is_probe(self, end: float) -> bool:
        try:
            async with asyncio.timeout(end - time.monotonic()):
                return await self.breaker.admit()
        except TimeoutError:
            text = (
                f"{self.client.exchange}: the database did not return the state of the breaker in time, so nothing was"
                " polled"
            )
            raise DatabaseUnavailable(text) from None

    async def _work(self, end: float, *, probing: bool) -> None:
        while self.waiting and time.monotonic() < end and self.result.blocked is None:
            if probing and self._has_failed():
                return
            plan = self.waiting.popleft()
            try:
                await self._request(plan)
            except Postponed:
                self.waiting.append(plan)
                return

    def _has_failed(self) -> bool:
        """Return whether a request failed. A rejected request does not count, because the exchange works."""
        return any(signal_of(error) is not HealthSignal.REJECTED for error in self.result.failed.values())

    async def _request(self, plan: LivePlan) -> None:
        window, result = plan.window, self.result
        try:
            page = await self.client.fetch_page(window.series, window.start, self._limit(window))
        except Postponed:
            raise
        except Stalled:
            result.postponed.append(plan)
        except (Blocked, Refused) as error:
            first, result.blocked = result.blocked is None, result.blocked or error
            if first:  # the error is reported at once, so that other processes make no more requests
                await self._record(self.breaker.learn(error))
        except FetchError as error:
            result.failed[window.series.symbol] = error
        else:
            result.answers.append(LiveAnswer(plan, _finished(page, plan), page.requested_at, page.seconds))

    def _limit(self, window: Window) -> int:
        """Return the number of candles to request.

        If the exchange has no start parameter, it returns its newest candles. The newest of them has not ended. If a
        minute ends before the request arrives, there is one more candle after the window.
        """
        venue = self.client.venue
        if not venue.no_since:
            return window.expected
        step = window.series.timeframe.delta
        return min((self.client.now() - window.start) // step + 2, venue.page_size)

    async def report(self) -> None:
        """Report the result of the whole poll to the breaker. Raise BreakerOpen if the result opens the breaker."""
        if self.result.blocked is None:
            await self._record(self._learn())

    async def _learn(self) -> None:
        """Record one success or one failure for the whole poll. The first error becomes the breaker's last error."""
        errors = list(self.result.failed.values())
        if errors:
            await self.breaker.noted(errors[0])
        if self.result.answers:
            await self.breaker.succeeded()
            return
        for error in errors:
            # A poll repeats no request, so a throttled request counts as a failure.
            if signal_of(error) in (HealthSignal.FAILED, HealthSignal.THROTTLED):
                await self.breaker.failed(error)
                return
        if any(signal_of(error) is HealthSignal.REJECTED for error in errors):
            await self.breaker.succeeded()

    async def _record(self, recording: Coroutine[None, None, None]) -> None:
        """Wait at most a few seconds until the breaker is updated in the database.

        The wait is short, because the candles of the poll still have to be stored in this minute.
        """
        try:
            async with asyncio.timeout(_RECORD_WITHIN):
                await recording
        except (TimeoutError, StoreError) as error:
            log.warning(
                "the breaker of %s could not be updated: %s", self.client.exchange, error or "no answer in time"
            )


def _finished(page: Page, plan: LivePlan) -> Candles:
    """Return the page's candles that are in the plan's window, sorted by time.

    Candles that had not ended at the time of the request are left out.
    """
    window = plan.window
    candles = Candles.from_rows(page.rows).between(window.start, window.end)
    return candles.drop_unfinished(window.series.timeframe, page.requested_at).drop_repeats()
