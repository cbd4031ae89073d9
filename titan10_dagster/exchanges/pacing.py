"""Release requests to one exchange at the exchange's pace.

ccxt's own rate limiter is not used. It polls every millisecond while a request waits. It can neither pause when the
exchange requests a pause, nor slow down. The pacer in this module releases requests (allows them to be sent) in the
order of the calls of `Pacer.wait`, with an interval between two requests. It also counts the requests towards the
exchange's quota (see `planning.quota`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster.planning.pace import SLOWEST, recovered
from titan10_dagster.planning.quota import Quota, Release, Usage

# SAFE_SHARE: the share of the allowed request rate that Titan-10 uses. Two processes divide this share: one process
# polls live, and the other process fetches whole days. SAFE_SHARE is below 1.0, because exchanges answered with 429
# when the shares of the two processes added up to 1.0. LEAST_SHARE: each of the two processes gets at least this share.
SAFE_SHARE, LEAST_SHARE = 0.9, 0.1
LIVE_SECONDS = 10.0  # a poll should make its requests for all series within this many seconds


async def _always() -> bool:
    """Allow every request. This function is the default of the argument `may_go`."""
    return True


class TooLate(Exception):
    """An error of the pacer: the request cannot be released before the pacer's deadline."""


def live_share(facts: Venue, symbols: int) -> float:
    """Return the share of the request rate that live polling uses for this number of symbols.

    The share is as large as the symbols need, but at least LEAST_SHARE. Usually it is at most half of SAFE_SHARE. If
    the exchange serves only recent candles, the process that fetches whole days has little work. In this case, live
    polling can use up to SAFE_SHARE - LEAST_SHARE.
    """
    needed = symbols * facts.page_seconds / LIVE_SECONDS
    most = SAFE_SHARE / 2 if facts.depth is None else SAFE_SHARE - LEAST_SHARE
    return min(max(needed, LEAST_SHARE), most)


def pacer_of(facts: Venue, share: float) -> Pacer:
    """Return a pacer for this share of the exchange's request rate and quota.

    A pacer with SAFE_SHARE of the request rate gets the whole quota. The rest of the request rate is not used. It is a
    margin for differences between this machine's clock and the exchange's clock. The quota needs no margin, because
    its count already considers how long requests are delayed (see `planning.quota`).
    """
    quota = facts.quota
    if quota is not None:
        quota = Quota(quota.share(min(share / SAFE_SHARE, 1.0)), quota.seconds)
    return Pacer(facts.page_seconds / facts.cost / share, quota, facts.cost)


class Pacer:
    """A pacer that releases requests with an interval between two requests.

    When the exchange asks for slower requests, the pacer halves its pace. Afterwards the pace slowly returns to the
    full pace (see `planning.pace`).

    interval: the seconds between two requests of cost 1. If it is 0, the pacer waits only when the exchange asks for a
        pause, and when the quota is used up.
    quota: the part of the exchange's quota that this pacer can use; None if the exchange has no documented quota.
    page_cost: a request with this cost counts as one request of the quota. A request of twice this cost counts as two.
    deadline: no request is released after this time (time.monotonic).
    """

    deadline = math.inf

    def __init__(self, interval: float, quota: Quota | None = None, page_cost: float = 1.0) -> None:
        self._interval = interval
        self._share, self._share_at = 1.0, 0.0
        self._free = 0.0  # the time (time.monotonic) from which the pace allows the next request
        self._rest_until = 0.0
        self._slowed_at = 0.0
        self._cost = 1.0
        self._turn = asyncio.Lock()
        self._most = math.inf if quota is None else quota.requests
        self._usage = Usage(0.0 if quota is None else quota.seconds)
        self._page_cost = page_cost
        self._ended = asyncio.Event()  # this event is set when a request ends

    @property
    def share(self) -> float:
        """Return the current pace as a share of the full pace."""
        return recovered(self._share, timedelta(seconds=time.monotonic() - self._share_at))

    @property
    def spacing(self) -> float:
        """Return the seconds between two requests at the full pace, if all requests cost as much as the last one."""
        return self._interval * self._cost

    async def wait(self, cost: float, may_go: Callable[[], Awaitable[bool]] = _always) -> Release:
        """Wait until a request of this cost is allowed. Return the pacer's record of the request (its `Release`).

        Pass the `Release` to `end` when the request has been answered or has failed, and also if the request is not
        made.

        `may_go`: a function that is awaited after the wait. If it returns False, the pace has changed and the wait
            starts again.

        Requests wait one after the other, in the order of the calls. The time of a request is set only when the
        previous request is released. If all times were set in advance, this process would send many requests at once
        after it stood still for a while.

        Raises:
            TooLate: the request cannot be released before the deadline. If the pacer knows this in advance, it raises
                the error at once.
        """
        self._cost = cost
        async with self._turn:
            while True:
                await self._due(cost / self._page_cost)
                # The exchange can ask for a pause while `may_go` is awaited.
                if await may_go() and self._rest_until <= time.monotonic():
                    break
            now, space = time.monotonic(), cost * self._interval / self.share
            # Each sleep ends about a millisecond late. These delays must not add up. Therefore, if this request is late
            # by less than the interval, the interval to the next request begins at the planned time of this request.
            self._free = (self._free if now - self._free < space else now) + space
            return self._usage.release(cost / self._page_cost, now)

    def end(self, release: Release) -> None:
        """Record that a released request has ended, with or without success. A second call has no effect."""
        self._usage.end(release, time.monotonic())
        self._ended.set()

    async def _due(self, weight: float) -> None:
        """Wait until a request is allowed by the pace, by the quota, and by a pause that the exchange requested."""
        while (delay := self._next(weight) - time.monotonic()) > 0:
            if delay < math.inf:  # the time is computed again after the sleep, because it can change during the sleep
                await asyncio.sleep(delay)
                continue
            self._ended.clear()
            try:
                async with asyncio.timeout_at(None if self.deadline == math.inf else self.deadline):
                    await self._ended.wait()
            except TimeoutError:
                raise TooLate from None

    def _next(self, weight: float) -> float:
        """Return the time of the next request (time.monotonic).

        If the time depends on the end of a request in progress, the result is infinite.

        Raises:
            TooLate: the time is after the deadline.
        """
        now = time.monotonic()
        moment = max(self._free, self._rest_until, now)
        quota_at = self._usage.next_release(weight, self._most, now)
        if moment > self.deadline or self.deadline < quota_at < math.inf:
            raise TooLate
        return max(moment, quota_at)

    def rest(self, seconds: float, requested_at: float) -> None:
        """Release no request for this many seconds, and then continue at half the pace.

        If the exchange throttles several requests that are in progress at the same time, the pace is halved only once.

        requested_at: the time at which the throttled request was sent (time.monotonic).
        """
        now = time.monotonic()
        self.pause(seconds)
        if requested_at >= self._slowed_at:
            self.go_at(max(self.share / 2, SLOWEST))
            self._slowed_at = now

    def pause(self, seconds: float) -> None:
        """Release no request for this many seconds."""
        self._rest_until = max(self._rest_until, time.monotonic() + seconds)

    def go_at(self, share: float, rest: float = 0.0) -> None:
        """Change the pace to this share of the full pace. Release no request during the next `rest` seconds."""
        self._share, self._share_at = share, time.monotonic()
        self.pause(rest)
