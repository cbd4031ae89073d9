"""How fast an exchange is asked after it demanded a slower pace: half as fast at once, and then slowly faster again.

Additive increase, multiplicative decrease. The increase is a function of time alone: what has to be remembered is the
share at one instant, nothing is written while it recovers, and every process reckons the same from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

SLOWEST = 1 / 16
FULL_AFTER = timedelta(minutes=10)  # from nothing to the full pace; from half of it in half that time


def recovered(share: float, elapsed: timedelta) -> float:
    """The share of the full pace that `share` has become after so long; a clock that went back changes nothing."""
    return min(1.0, share + max(elapsed / FULL_AFTER, 0.0))


@dataclass(frozen=True)
class Pace:
    """The share of the full pace at the instant `at` (aware, UTC); never slowed down where that is None."""

    share: float = 1.0
    at: datetime | None = None

    def as_of(self, now: datetime) -> float:
        """The share of the full pace now."""
        return 1.0 if self.at is None else recovered(self.share, now - self.at)

    def slowed(self, asked_at: datetime, now: datetime) -> Pace:
        """Half of the present pace, after a refusal of what was asked at `asked_at`.

        Requests that were under way together are refused together: those asked before the last slowing change nothing.
        """
        if self.at is not None and asked_at < self.at:
            return self
        return Pace(max(self.as_of(now) / 2, SLOWEST), now)


FULL = Pace()
