"""The quota of an exchange: the number of requests that the exchange accepts within any span of a given length.

Requests that are sent at an even pace can arrive unevenly. For example, a request waits for a connection, a busy
machine sends two requests at once, or the network delays a request. The exchange counts requests when they arrive. A
client does not know this time. It only knows that the time is between the release of the request (the moment at which
the client is allowed to send it) and the answer.

`Usage` therefore counts a request from its release until a full span after its answer. So when a request is released,
all requests that can arrive in the same span are counted. The quota is kept, however long the delays are.

This count is too strict for a distant exchange, where every request takes a long time. Only the difference between
delays can bring two requests closer together. Therefore the shortest measured time of a request is subtracted from the
span.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

# With fewer answers than this, the shortest measured time of a request is not reliable. Therefore nothing is subtracted
# from the span (see above).
_SAMPLE = 10


@dataclass(frozen=True)
class Quota:
    """The limit of an exchange: `requests` candle requests within any span of `seconds`."""

    requests: float
    seconds: float

    @property
    def spacing(self) -> float:
        """Return the seconds between two requests at an even pace that uses the whole quota."""
        return self.seconds / self.requests

    def share(self, share: float) -> float:
        """Return the number of requests in a share of the quota: a whole number, at least 1."""
        return max(1.0, math.floor(self.requests * share + 1e-9))


@dataclass(eq=False)
class Release:
    """A request that was released: the client is allowed to send this request.

    weight: this request counts as this many requests of the quota.
    at: the time of the release, in seconds of a monotonic clock.
    """

    weight: float
    at: float


class Usage:
    """The requests of one client that possibly count towards the exchange's quota now.

    All times are seconds of a monotonic clock. The time of each call must not be earlier than the time of the previous
    call.

    span: the length of the quota's span in seconds.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._under_way: set[Release] = set()
        # The answered requests, each with the time until which the request counts, and its weight. The earliest time is
        # first.
        self._answered: deque[tuple[float, float]] = deque()
        self._counted = 0.0
        self._answers = 0
        self._shortest = math.inf  # the shortest time from the release of a request to its answer, in seconds

    def next_release(self, weight: float, most: float, now: float) -> float:
        """Return the earliest time at which a request of this weight can be released.

        `most`: the maximum number of requests in any span.

        If the time depends on an answer that has not arrived yet, the result is infinite.
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
        """Start to count a new request, and return its `Release`."""
        released = Release(weight, now)
        self._under_way.add(released)
        self._counted += weight
        return released

    def end(self, released: Release, now: float) -> None:
        """Record that the request was answered, failed, or was not sent. Further calls for the request do nothing."""
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
            self._counted = 0.0  # no request counts now; the computed sum can differ from 0 by rounding errors
