"""The pace of requests to an exchange, which becomes slower when the exchange throttles a request.

The pace is halved at once, and then returns slowly to the full pace (additive increase, multiplicative decrease). The
increase depends only on the elapsed time. Therefore it is enough to store the share of the full pace at one instant.
Every process computes the same current pace from the stored values, and nothing is written while the pace increases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SLOWEST = 1 / 16  # the pace of requests is never reduced below this share of the full pace
# After a reduction, the pace of requests increases evenly. An increase from zero to the full pace would take this time,
# so the increase from half of the full pace to the full pace takes half of this time.
FULL_AFTER = timedelta(minutes=10)


def recovered(share: float, elapsed: timedelta) -> float:
    """Return the share of the full pace after the time `elapsed`. `share`: the share at the beginning of this time.

    If `elapsed` is negative (a ban has not ended yet, or the clock was set back), the share does not change.
    """
    return min(1.0, share + max(elapsed / FULL_AFTER, 0.0))


@dataclass(frozen=True)
class Pace:
    """The pace of requests to an exchange.

    share: the share of the full pace at the instant `at`.
    at: the instant (aware, UTC) of the last reduction, or the end of a ban. None if the pace was never reduced.
    rest_until: the exchange requested (with the header Retry-After) that no requests are made before this time. Every
        process that uses the same IP address waits until then.
    """

    share: float = 1.0
    at: datetime | None = None
    rest_until: datetime | None = None

    def as_of(self, now: datetime) -> float:
        """Return the share of the full pace at `now`."""
        return 1.0 if self.at is None else recovered(self.share, now - self.at)

    def rest(self, now: datetime) -> timedelta:
        """Return the time until the next request is allowed; zero if a request is allowed now."""
        return timedelta(0) if self.rest_until is None else max(self.rest_until - now, timedelta(0))

    def slowed(self, requested_at: datetime, now: datetime, rest: timedelta = timedelta(0)) -> Pace:
        """Return the pace after the exchange throttled a request: half of the current pace, but at least SLOWEST.

        If several requests are in progress, the exchange often throttles all of them at the same time. The pace is
        halved only once: a request that was sent before the last reduction does not reduce the pace again.

        `requested_at`: the time at which the throttled request was sent.
        `rest`: how long to make no requests, as requested by the exchange.
        """
        paused = self.paused(now, rest)
        if self.at is not None and requested_at < self.at:
            return paused
        return Pace(max(self.as_of(now) / 2, SLOWEST), now, paused.rest_until)

    def paused(self, now: datetime, rest: timedelta) -> Pace:
        """Return the same pace with a pause: no request is made for the time `rest`, or until a longer pause ends."""
        return replace(self, rest_until=now + max(rest, self.rest(now)))


FULL = Pace()
