"""The pace of requests to one exchange.

ccxt's own throttle polls every millisecond while a request waits. It cannot pause when the exchange demands it, and it
cannot slow down. This pacer releases requests in the order of the calls, with an interval between two requests, and
counts them towards the exchange's quota until they can no longer arrive together; see `planning.quota`.
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

# Shares of the request rate that an exchange allows. Live polling runs at the same time as the process that fetches
# whole days, which leaves it a part. When the shares of these two independent processes added up to 1.0, exchanges
# answered 429.
SAFE_SHARE, LEAST_SHARE = 0.9, 0.1
LIVE_SECONDS = 10.0  # the time in which a poll should make the requests of all its series


async def _always() -> bool:
    """Let every request go; the default of `may_go`."""
    return True


class TooLate(Exception):
    """The pacer would release the request only after its deadline."""


def live_share(facts: Venue, symbols: int) -> float:
    """Return the share of the request rate for live polling: as much as the symbols need, within bounds.

    The share is at most half of the safe rate. If the exchange serves only recent candles, there is little else to
    fetch, and polling gets nearly the whole rate.
    """
    needed = symbols * facts.page_seconds / LIVE_SECONDS
    most = SAFE_SHARE / 2 if facts.depth is None else SAFE_SHARE - LEAST_SHARE
    return min(max(needed, LEAST_SHARE), most)


def pacer_of(facts: Venue, share: float) -> Pacer:
    """Return a pacer for this share of the exchange's pace and quota.

    The safe share of the pace gets the whole quota. The rest of the pace allows for differences between the clocks,
    which do not affect the count of the quota.
    """
    quota = facts.quota
    if quota is not None:
        quota = Quota(quota.share(min(share / SAFE_SHARE, 1.0)), quota.seconds)
    return Pacer(facts.page_seconds / facts.cost / share, quota, facts.cost)


class Pacer:
    """A pacer that releases requests `interval` seconds apart for a cost of 1.

    With 0 there is no pace, but rests are kept.

    quota: the part of the exchange's quota that this pacer may use; None if the exchange names none. page_cost: the
    cost of the requests that the quota counts; a request of twice this cost counts twice.
    deadline: no request is released later (time.monotonic). For the recovery of the pace, see `planning.pace`.
    """

    deadline = math.inf

    def __init__(self, interval: float, quota: Quota | None = None, page_cost: float = 1.0) -> None:
        self._interval = interval
        self._share, self._share_at = 1.0, 0.0
        self._free = 0.0  # the earliest time of the next request
        self._rest_until = 0.0
        self._slowed_at = 0.0
        self._cost = 1.0
        self._turn = asyncio.Lock()
        self._most = math.inf if quota is None else quota.requests
        self._usage = Usage(0.0 if quota is None else quota.seconds)
        self._page_cost = page_cost
        self._ended = asyncio.Event()  # a request has ended since the event was cleared

    @property
    def share(self) -> float:
        """The current pace as a share of the full pace."""
        return recovered(self._share, timedelta(seconds=time.monotonic() - self._share_at))

    @property
    def spacing(self) -> float:
        """The seconds between two requests with the cost of the last one, at full pace."""
        return self._interval * self._cost

    async def wait(self, cost: float, may_go: Callable[[], Awaitable[bool]] = _always) -> Release:
        """Wait until a request of this cost may be made. Raise TooLate as soon as that time is after the deadline.

        `may_go` is awaited last. If it returns False, the pace has changed and the wait starts again. Pass the returned
        release to `end` when the request has been answered or has failed, or if it is not made.

        One request waits at a time, in the order of the calls, because the interval begins when the previous request is
        really sent. If times were assigned in advance, they would all be past after a stall of this process, and the
        requests would be sent in one burst.
        """
        self._cost = cost
        async with self._turn:
            while True:
                await self._due(cost / self._page_cost)
                if await may_go():
                    break
            now, space = time.monotonic(), cost * self._interval / self.share
            # Each sleep ends about a millisecond late. A delay of less than an interval therefore does not postpone
            # later requests.
            self._free = (self._free if now - self._free < space else now) + space
            return self._usage.release(cost / self._page_cost, now)

    def end(self, release: Release) -> None:
        """Record that a released request has ended in any way. A second call has no effect."""
        self._usage.end(release, time.monotonic())
        self._ended.set()

    async def _due(self, weight: float) -> None:
        """Wait until the pace, the rest and the quota allow a request."""
        while (delay := self._next(weight) - time.monotonic()) > 0:
            if delay < math.inf:  # a rest may move the time meanwhile
                await asyncio.sleep(delay)
                continue
            self._ended.clear()
            try:
                async with asyncio.timeout_at(None if self.deadline == math.inf else self.deadline):
                    await self._ended.wait()
            except TimeoutError:
                raise TooLate from None

    def _next(self, weight: float) -> float:
        """Return the time of the next request (time.monotonic); infinite if a request has to end before it is known.

        Raise TooLate if it is after the deadline.
        """
        now = time.monotonic()
        moment = max(self._free, self._rest_until, now)
        quota_at = self._usage.next_release(weight, self._most, now)
        if moment > self.deadline or self.deadline < quota_at < math.inf:
            raise TooLate
        return max(moment, quota_at)

    def rest(self, seconds: float, requested_at: float) -> None:
        """Release no request for this long, and then use half the pace.

        requested_at: when the throttled request was sent (time.monotonic). Requests that were under way
        at the same time slow the pace down only once.
        """
        now = time.monotonic()
        self._rest_until = max(self._rest_until, now + seconds)
        if requested_at >= self._slowed_at:
            self.go_at(max(self.share / 2, SLOWEST))
            self._slowed_at = now

    def go_at(self, share: float, rest: float = 0.0) -> None:
        """Rest for this many seconds, then start with this share of the full pace and speed up gradually."""
        self._share, self._share_at = share, time.monotonic()
        self._rest_until = max(self._rest_until, time.monotonic() + rest)
