"""The newest candles of many series of one exchange: one request each, none of them repeated.

A poll comes back in a minute, so it retries nothing and stops asking when its time is over, whatever the pace or a
demand to rest would have it wait for; what it did not come to goes first the next time. The circuit breaker is told
once a poll: a poll in which nothing was answered is one failure.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.slices import from_datetime64
from titan10_dagster.errors import Banned, BreakerOpen, FetchError, Postponed, Refused, Throttled, TransientError
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient, Page
from titan10_dagster.planning.live import LivePlan


@dataclass(frozen=True, eq=False)
class LiveAnswer:
    """The finished candles of a plan's window, by time; they may break rules.

    `requested_at`: just before the request went out (aware, UTC); `seconds`: how long the exchange took.
    """

    plan: LivePlan
    candles: Candles
    requested_at: datetime
    seconds: float

    @property
    def covered(self) -> datetime:
        """How far polling got."""
        if not len(self.candles):
            return self.plan.covered(None)
        step = self.plan.window.series.timeframe.delta
        return self.plan.covered(from_datetime64(self.candles.times[-1]) + step)


@dataclass
class LivePoll:
    """What one poll of an exchange brought. `failed` maps symbols to the reason; `shut_out` is why nobody may ask any
    more; `postponed` are those that the time did not suffice for."""

    answers: list[LiveAnswer] = field(default_factory=list)
    failed: dict[str, FetchError] = field(default_factory=dict)
    shut_out: FetchError | None = None
    postponed: Sequence[LivePlan] = ()
    requests: int = 0


async def poll(client: ExchangeClient, plans: Sequence[LivePlan], *, breaker: Breaker, seconds: float) -> LivePoll:
    """Asks once for each plan, what is furthest behind first; after `seconds` no request goes out any more.

    No error of the exchange is raised; see `LivePoll`.
    """
    result = LivePoll()
    waiting = deque(sorted(plans, key=lambda plan: plan.resumed))
    before = client.requests
    try:
        probing = bool(waiting) and breaker.admit()
        if probing:  # by any of them: the one that is furthest behind may be the one that always fails
            waiting.rotate(random.randrange(len(waiting)))
        client.confirm = breaker.confirm
        await _ask_all(client, breaker, waiting, result, seconds, probing=probing)
        _tell(breaker, result)
    except BreakerOpen as error:
        result.shut_out = error
    result.postponed, result.requests = tuple(waiting), client.requests - before
    return result


async def _ask_all(
    client: ExchangeClient,
    breaker: Breaker,
    waiting: deque[LivePlan],
    result: LivePoll,
    seconds: float,
    *,
    probing: bool,
) -> None:
    end = client.pacer.deadline = time.monotonic() + seconds

    async def work() -> None:
        while waiting and time.monotonic() < end and result.shut_out is None and not (probing and result.failed):
            plan = waiting.popleft()
            try:
                await _ask(client, breaker, plan, result)
            except Postponed:
                waiting.append(plan)
                return

    await asyncio.gather(*(work() for _ in range(1 if probing else client.concurrency)))


async def _ask(client: ExchangeClient, breaker: Breaker, plan: LivePlan, result: LivePoll) -> None:
    window = plan.window
    try:
        page = await client.fetch_page(window.series, window.start, window.expected)
    except Postponed:
        raise
    except (Banned, BreakerOpen, Refused) as error:
        if result.shut_out is None:
            _tell_at_once(breaker, error)
        result.shut_out = result.shut_out or error
    except FetchError as error:
        result.failed[window.series.symbol] = error
    else:
        result.answers.append(LiveAnswer(plan, _finished(page, plan), page.requested_at, page.seconds))


def _tell_at_once(breaker: Breaker, error: Banned | BreakerOpen | Refused) -> None:
    """So that no other process asks."""
    if isinstance(error, Banned):
        breaker.banned(error.until, error)
    elif isinstance(error, Refused):
        breaker.refused(error)


def _finished(page: Page, plan: LivePlan) -> Candles:
    """The page's candles that lie in the window and were over before it was asked for, by time."""
    window = plan.window
    candles = Candles.from_rows(page.rows).between(window.start, window.end)
    return candles.drop_unfinished(window.series.timeframe, page.requested_at).drop_repeats()


def _tell(breaker: Breaker, result: LivePoll) -> None:
    if result.shut_out is not None:  # told at once, or by whoever opened it
        return
    error = next(iter(result.failed.values()), None)
    if error is not None:
        breaker.noted(error)
    if result.answers:
        breaker.succeeded()
    elif (passing := _passing(result.failed)) is not None:
        breaker.failed(passing)
    elif any(one.status is not None for one in result.failed.values()):  # it knows what it rejects
        breaker.succeeded()


def _passing(failed: Mapping[str, FetchError]) -> FetchError | None:
    return next((error for error in failed.values() if isinstance(error, (TransientError, Throttled))), None)
