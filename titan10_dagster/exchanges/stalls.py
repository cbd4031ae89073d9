"""Detect stalls: spans of time in which this process stood still.

If a request times out during a stall or right after a stall, the time-out shows nothing about the exchange. The answer
was possibly waiting in the socket. A watch calls its own method `_tick` ten times a second. If a call comes late, there
was a stall.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

STALL = 0.3  # if a call of `_tick` is late by more than this many seconds, the event loop has stalled
_TICK = 0.1  # seconds between two calls of `_tick`
# A stall that ended at most this many seconds before a time-out explains the time-out. After a stall, the event loop
# first runs the callbacks that became due during the stall, so an answer that has arrived is possibly not read yet.
_JUST_NOW = 0.5
_LARGE_SHARE = 0.25  # if stalls took more than this share of a request's duration, they explain its time-out


class LoopWatch:
    """A watch that detects stalls of the running event loop from `start` to `stop`. Times are of time.monotonic."""

    def __init__(self) -> None:
        self._stalls = deque[tuple[float, float]](maxlen=64)  # the end and the length in seconds of each stall
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due = time.monotonic() + _TICK
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def explains_timeout(self, sent: float) -> bool:
        """Return whether stalls of this process are a possible cause of a request's time-out, which happened just now.

        Only stalls that ended after the request was sent are considered. They are a possible cause if one of them ended
        less than half a second ago, or if all of them took more than a quarter of the time since the request was sent.

        `sent`: the time at which the request was sent.
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
