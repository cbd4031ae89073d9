"""The pace of requests to one exchange.

ccxt's own throttle polls every millisecond while a request waits. It cannot pause when the exchange demands it, and it
cannot slow down. This pacer releases requests in the order of the calls, with an interval between two requests.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster.planning.pace import SLOWEST, recovered

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


class Pacer:
    """A pacer that releases requests `interval` seconds apart for a cost of 1.

    With 0 there is no pace, but rests are kept.

    deadline: no request is released later (time.monotonic). For the recovery of the pace, see `planning.pace`.
    """

    deadline = math.inf

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._share, self._share_at = 1.0, 0.0
        self._free = 0.0  # the earliest time of the next request
        self._rest_until = 0.0
        self._slowed_at = 0.0
        self._cost = 1.0
        self._turn = asyncio.Lock()

    @property
    def share(self) -> float:
        """The current pace as a share of the full pace."""
        return recovered(self._share, timedelta(seconds=time.monotonic() - self._share_at))

    @property
    def spacing(self) -> float:
        """The seconds between two requests with the cost of the last one, at full pace."""
        return self._interval * self._cost

    async def wait(self, cost: float, may_go: Callable[[], Awaitable[bool]] = _always) -> None:
        """Wait until a request of this cost may be made. Raise TooLate as soon as that time is after the deadline.

        `may_go` is awaited last. If it returns False, the pace has changed and the wait starts again.

        One request waits at a time, in the order of the calls, because the interval begins when the previous request is
        really sent. If times were assigned in advance, they would all be past after a stall of this process, and the
        requests would be sent in one burst.
        """
        self._cost = cost
        async with self._turn:
            while True:
                while (delay := self._next() - time.monotonic()) > 0:  # noqa: ASYNC110  a rest moves it
                    await asyncio.sleep(delay)
                if await may_go():
                    break
            now, space = time.monotonic(), cost * self._interval / self.share
            # Each sleep ends about a millisecond late. A delay of less than an interval therefore does not postpone
            # later requests.
            self._free = (self._free if now - self._free < space else now) + space

    def _next(self) -> float:
        """Return the time of the next request (time.monotonic). Raise TooLate if it is after the deadline."""
        moment = max(self._free, self._rest_until)
        if max(moment, time.monotonic()) > self.deadline:
            raise TooLate
        return moment

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
