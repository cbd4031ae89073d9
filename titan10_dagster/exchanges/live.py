"""Request the newest candles of many series of one exchange: one request each, without retries.

The next poll follows in a minute. A poll therefore retries nothing, and makes no request after its time is over, even
if it had to wait for the pace or for a pause that the exchange demanded. The next poll begins with the skipped series.
The circuit breaker learns once per poll: a poll in which nothing was answered is one failure.
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
from titan10_dagster.candles.slices import from_datetime64
from titan10_dagster.errors import (
    Banned,
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

_RECORD_WITHIN = 5.0  # seconds


@dataclass(frozen=True, eq=False)
class LiveAnswer:
    """The finished candles of a plan's window, by time; they may break rules.

    requested_at: just before the request was sent (aware, UTC). seconds: how long the exchange took.
    """

    plan: LivePlan
    candles: Candles
    requested_at: datetime
    seconds: float

    @property
    def covered(self) -> datetime:
        """The time up to which the series has been polled."""
        if not len(self.candles):
            return self.plan.covered(None)
        step = self.plan.window.series.timeframe.delta
        return self.plan.covered(from_datetime64(self.candles.times[-1]) + step)


@dataclass
class LivePoll:
    """The result of one poll of an exchange.

    failed: the reason, by symbol. blocked: why no further request may be made. postponed: plans without an answer that
        do not count as failures, because the time was over or this process stood still.
    """

    answers: list[LiveAnswer] = field(default_factory=list)
    failed: dict[str, FetchError] = field(default_factory=dict)
    blocked: FetchError | None = None
    postponed: list[LivePlan] = field(default_factory=list)
    requests: int = 0


async def poll(client: ExchangeClient, plans: Sequence[LivePlan], *, breaker: Breaker, seconds: float) -> LivePoll:
    """Make one request for each plan, the series that is furthest behind first. Make no request after `seconds`.

    Errors of the exchange are not raised; see `LivePoll`.

    Raises:
        DatabaseUnavailable: the breaker's state was not known in time.
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
        """Make the requests, if the breaker allows it, until the instant `end` (time.monotonic)."""
        if not self.waiting:
            return
        probing = await self._is_probe(end)
        if probing:  # any plan may be the test request, because the plan furthest behind may be one that always fails
            self.waiting.rotate(random.randrange(len(self.waiting)))
        self.client.confirm, self.client.pacer.deadline = self.breaker.confirm, end
        workers = 1 if probing else self.client.concurrency
        await asyncio.gather(*(self._work(end, probing=probing) for _ in range(workers)))

    async def _is_probe(self, end: float) -> bool:
        try:
            async with asyncio.timeout(end - time.monotonic()):
                return await self.breaker.admit()
        except TimeoutError:
            text = f"{self.client.exchange}: the database did not give the breaker's state in time; nothing was polled"
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
        """Return whether a request failed. A rejected symbol is no failure: the exchange answered the test request."""
        return any(signal_of(error) is not HealthSignal.REJECTED for error in self.result.failed.values())

    async def _request(self, plan: LivePlan) -> None:
        window, result = plan.window, self.result
        try:
            page = await self.client.fetch_page(window.series, window.start, window.expected)
        except Postponed:
            raise
        except Stalled:
            result.postponed.append(plan)
        except (Banned, BreakerOpen, Refused) as error:
            first, result.blocked = result.blocked is None, result.blocked or error
            if first:  # other processes must see this at once
                await self._record(self.breaker.learn(error))
        except FetchError as error:
            result.failed[window.series.symbol] = error
        else:
            result.answers.append(LiveAnswer(plan, _finished(page, plan), page.requested_at, page.seconds))

    async def report(self) -> None:
        """Report the result of the whole poll to the breaker. Raises BreakerOpen if it opens."""
        if self.result.blocked is None:
            await self._record(self._learn())

    async def _learn(self) -> None:
        """Record one success or one failure for all requests together, and the first error as the last error."""
        errors = list(self.result.failed.values())
        if errors:
            await self.breaker.noted(errors[0])
        if self.result.answers:
            await self.breaker.succeeded()
            return
        for error in errors:
            # A poll retries nothing, so a throttled request counts as a failure.
            if signal_of(error) in (HealthSignal.FAILED, HealthSignal.THROTTLED):
                await self.breaker.failed(error)
                return
        if any(signal_of(error) is HealthSignal.REJECTED for error in errors):
            await self.breaker.succeeded()

    async def _record(self, recording: Coroutine[None, None, None]) -> None:
        """Wait a short time until the database has recorded the result. The candles still have to be stored."""
        try:
            async with asyncio.timeout(_RECORD_WITHIN):
                await recording
        except (TimeoutError, StoreError) as error:
            log.warning(
                "the breaker of %s could not be updated: %s", self.client.exchange, error or "no answer in time"
            )


def _finished(page: Page, plan: LivePlan) -> Candles:
    """Return the page's candles that lie in the window and ended before the request was sent, by time."""
    window = plan.window
    candles = Candles.from_rows(page.rows).between(window.start, window.end)
    return candles.drop_unfinished(window.series.timeframe, page.requested_at).drop_repeats()
