"""Detection of times at which this process stood still.

A time-out that expires while the event loop is not running, or right after that, shows nothing about the exchange: its
answer may have been waiting in the socket. The watch ticks ten times a second; a late tick is a stall.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

STALL = 0.3  # a tick that is later than this many seconds is a stall
_TICK = 0.1
_JUST_NOW = 0.5  # seconds; the callbacks of one pass of the event loop run within this time
_LARGE_SHARE = 0.25  # share of the duration of a request


class LoopWatch:
    """A watch on the running event loop, from `start` until `stop`. All times are those of time.monotonic."""

    def __init__(self) -> None:
        self._stalls = deque[tuple[float, float]](maxlen=64)  # (end, seconds)
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due = time.monotonic() + _TICK
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def explains_timeout(self, sent: float) -> bool:
        """Return whether this process may have caused the time-out that a request, sent at `sent`, has just had.

        This is the case if the event loop stood still when the time-out expired, or for a quarter of the time since
        `sent`.
        """
        now = time.monotonic()
        late = now - self._due
        stalls = [*self._stalls, (now, late)] if late > STALL else list(self._stalls)
        during = [(end, min(seconds, end - sent)) for end, seconds in stalls if end > sent]
        lost = sum(seconds for _, seconds in during)
        return any(now - end < _JUST_NOW for end, _ in during) or lost > _LARGE_SHARE * (now - sent)

    def _tick(self) -> None:
        now = time.monotonic()
        late = now - self._due
        if late > STALL:
            self._stalls.append((now, late))
        self.start()
