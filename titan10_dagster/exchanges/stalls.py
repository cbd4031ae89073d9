"""Times at which this process stood still.

A time-out that expires while the event loop is not running, or right after that, shows nothing about the exchange: its
answer may have been waiting in the socket. The watch ticks ten times a second; a tick that comes late is a stall.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

STALL = 0.3  # seconds that a tick must be late
_TICK = 0.1
_JUST_NOW = 0.5  # seconds; callbacks of one round of the loop run within it
_LARGE_SHARE = 0.25  # of the time that a request took


class LoopWatch:
    """Watches the running event loop from `start` until `stop`. All times are those of time.monotonic."""

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
        """Return whether a time-out, just now, of a request sent at `sent` may be this process's own fault.

        That is so if the loop stood still when the time-out expired, or for a quarter of the time.
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
