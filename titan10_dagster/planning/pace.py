"""How fast an exchange is asked after it demanded a slower pace: half as fast at once, and then slowly faster again.

Additive increase, multiplicative decrease. The increase is a function of time alone: what has to be remembered is the
share at one instant, nothing is written while it recovers, and every process reckons the same from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SLOWEST = 1 / 16
FULL_AFTER = timedelta(minutes=10)  # from nothing to the full pace; from half of it in half that time


def recovered(share: float, elapsed: timedelta) -> float:
    """The share of the full pace that `share` has become after so long; a clock that went back changes nothing."""
    return min(1.0, share + max(elapsed / FULL_AFTER, 0.0))


@dataclass(frozen=True)
class Pace:
    """The share of the full pace at the instant `at` (aware, UTC); never slowed down where that is None.

    Before `rest_until` nobody asks at all: the exchange's Retry-After is for every process of this address.
    """

    share: float = 1.0
    at: datetime | None = None
    rest_until: datetime | None = None

    def as_of(self, now: datetime) -> float:
        """The share of the full pace now."""
        return 1.0 if self.at is None else recovered(self.share, now - self.at)

    def rest(self, now: datetime) -> timedelta:
        """How long nobody may ask from now on; zero for not at all."""
        return timedelta(0) if self.rest_until is None else max(self.rest_until - now, timedelta(0))

    def slowed(self, requested_at: datetime, now: datetime, rest: timedelta = timedelta(0)) -> Pace:
        """Half of the present pace, after a `rest`, because what was asked at `requested_at` was refused.

        Requests that were under way together are refused together: those asked before the last slowing slow nothing.
        """
        rest_until = now + max(rest, self.rest(now))
        if self.at is not None and requested_at < self.at:
            return replace(self, rest_until=rest_until)
        return Pace(max(self.as_of(now) / 2, SLOWEST), now, rest_until)


FULL = Pace()
