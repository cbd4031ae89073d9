"""The pace of requests after an exchange requested a slower one: half at once, then a slow return to the full pace.

Additive increase, multiplicative decrease. The increase depends on time alone, so only the share at one instant has to
be stored: nothing is written while the pace recovers, and every process computes the same pace from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SLOWEST = 1 / 16
FULL_AFTER = timedelta(minutes=10)  # from zero to the full pace; from half the pace it takes half that time


def recovered(share: float, elapsed: timedelta) -> float:
    """Return the share of the full pace that `share` has become after this long.

    A clock that went back changes nothing.
    """
    return min(1.0, share + max(elapsed / FULL_AFTER, 0.0))


@dataclass(frozen=True)
class Pace:
    """The share of the full pace at the instant `at` (aware, UTC); `at` is None if the pace was never reduced.

    rest_until: the end of the rest in the exchange's Retry-After; until then no process of this address makes a
        request.
    """

    share: float = 1.0
    at: datetime | None = None
    rest_until: datetime | None = None

    def as_of(self, now: datetime) -> float:
        """Return the share of the full pace now."""
        return 1.0 if self.at is None else recovered(self.share, now - self.at)

    def rest(self, now: datetime) -> timedelta:
        """Return the time until the next request is allowed; zero if a request is allowed now."""
        return timedelta(0) if self.rest_until is None else max(self.rest_until - now, timedelta(0))

    def slowed(self, requested_at: datetime, now: datetime, rest: timedelta = timedelta(0)) -> Pace:
        """Return half of the current pace, after a `rest`, because the request sent at `requested_at` was throttled.

        Requests that were under way together are rejected together. A request that was sent before the last
        slowing-down slows nothing down.
        """
        rest_until = now + max(rest, self.rest(now))
        if self.at is not None and requested_at < self.at:
            return replace(self, rest_until=rest_until)
        return Pace(max(self.as_of(now) / 2, SLOWEST), now, rest_until)


FULL = Pace()
