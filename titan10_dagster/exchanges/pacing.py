"""The pace of requests to one exchange.

ccxt's own throttle polls every millisecond while anybody waits, cannot rest on the exchange's demand and cannot
go slower; this one gives each request its moment beforehand, in the order of asking, and sleeps once.
"""

from __future__ import annotations

import asyncio
import time

_SLOWEST = 1 / 16
_RECOVERY = 1.02  # with each good answer after a slowdown


class Pacer:
    """Spaces requests `interval` seconds apart for a cost of 1; 0 for no pace at all, though rests are kept."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._share = 1.0
        self._free = 0.0  # the moment from which the next request may go out
        self._rest_until = 0.0
        self._slowed_at = 0.0
        self._cost = 1.0
        self.waited = 0.0

    @property
    def share(self) -> float:
        """The present pace as a share of the full one."""
        return self._share

    @property
    def spacing(self) -> float:
        """Seconds between two requests such as the last one, at full pace."""
        return self._interval * self._cost

    async def wait(self, cost: float) -> None:
        """Returns when a request of this cost may be made."""
        self._cost = cost
        began = time.monotonic()
        moment = self._take(began, cost)
        while (delay := moment - time.monotonic()) > 0:
            await asyncio.sleep(delay)
            if moment < self._rest_until:  # a rest was ordered while this one slept
                moment = self._take(time.monotonic(), cost)
        self.waited += time.monotonic() - began

    def rest(self, seconds: float, asked_at: float) -> None:
        """Nothing goes out for so long, and then at half the pace.

        `asked_at` (time.monotonic) is when the request went out that brought the demand: those that were
        under way together bring it together, and slow down once.
        """
        now = time.monotonic()
        self._rest_until = max(self._rest_until, now + seconds)
        self._free = max(self._free, self._rest_until)
        if asked_at >= self._slowed_at:
            self._share = max(self._share / 2, _SLOWEST)
            self._slowed_at = now

    def recover(self) -> None:
        """A good answer: a little faster again."""
        self._share = min(self._share * _RECOVERY, 1.0)

    def _take(self, now: float, cost: float) -> float:
        moment = max(now, self._free, self._rest_until)
        self._free = moment + cost * self._interval / self._share
        return moment
