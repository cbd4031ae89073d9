"""The quota of an exchange: the number of requests that it accepts within any span of a given length.

Requests that are sent at an even pace may arrive unevenly. A request waits for a connection, a busy machine sends two
at once, or the network delays a request. The exchange counts arrivals, which a client cannot see: a request arrives at
some time between its release and its answer. `Usage` therefore counts a request from its release until a full span
after its answer. When a request is released, every request that may arrive in the same span as this one is still
counted, so the quota is kept for any delays.

With this count, a distant exchange would get fewer requests than it accepts. The time that every request takes is
therefore subtracted: only the variation of the delays can bring two requests closer together.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

_SAMPLE = 10  # number of answers after which the shortest round trip is used


@dataclass(frozen=True)
class Quota:
    """The number of candle requests that an exchange accepts within any span of `seconds`."""

    requests: float
    seconds: float

    @property
    def spacing(self) -> float:
        """The seconds between two requests that use the whole quota."""
        return self.seconds / self.requests

    def share(self, share: float) -> float:
        """Return the number of requests in a share of the quota, at least one."""
        return max(1.0, math.floor(self.requests * share + 1e-9))


@dataclass(eq=False)
class Release:
    """A request that has been released. weight: how many requests it counts as. at: seconds of a monotonic clock."""

    weight: float
    at: float


class Usage:
    """The requests of one client that may count towards the exchange's quota now.

    span: the seconds of the quota. All times are seconds of a monotonic clock, and never go back.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._under_way: set[Release] = set()
        self._answered: deque[tuple[float, float]] = deque()  # (end, weight), by end
        self._counted = 0.0
        self._answers = 0
        self._shortest = math.inf  # round trip

    def next_release(self, weight: float, most: float, now: float) -> float:
        """Return the earliest time at which a request of this weight keeps to `most` requests in any span.

        The time is infinite if an answer has to arrive before it is known.
        """
        self._drop_ended(now)
        over = self._counted + min(weight, most) - most
        if over <= 1e-9:
            return now
        for end, answered in self._answered:
            over -= answered
            if over <= 1e-9:
                return end
        return math.inf

    def release(self, weight: float, now: float) -> Release:
        """Count a request from now on."""
        released = Release(weight, now)
        self._under_way.add(released)
        self._counted += weight
        return released

    def end(self, released: Release, now: float) -> None:
        """Record that the request was answered, has failed or was not sent. Only the first call has an effect."""
        if released not in self._under_way:
            return
        self._under_way.remove(released)
        self._answers += 1
        self._shortest = min(self._shortest, now - released.at)
        sure = self._shortest if self._answers >= _SAMPLE else 0.0
        end = now + max(self._span - sure, 0.0)
        if self._answered:
            end = max(end, self._answered[-1][0])
        self._answered.append((end, released.weight))

    def _drop_ended(self, now: float) -> None:
        while self._answered and self._answered[0][0] <= now:
            self._counted -= self._answered.popleft()[1]
        if not self._answered and not self._under_way:
            self._counted = 0.0  # without the rounding of the sums
