"""Rate limits. They count the usage of a client, and refuse requests above a limit. Some limits also ban the client.

Usage is counted even if limits are not enforced, so that a test can check a client's pace afterwards. By default, the
limits use the real time, and not the sandbox's own clock, which a test can stop or move.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from titan10_dagster.sandbox.venues.venue import RateLimit, SandboxVenue
from titan10_dagster.sandbox.venues.wire import PathKind


@dataclass(frozen=True)
class Verdict:
    """The decision of the rate limits about one request."""

    outcome: Literal["allowed", "throttled", "banned"]
    weight: float
    retry_after: int | None = None  # the seconds to wait; None if the exchange does not send them
    until: float = 0.0  # the end of a ban, in epoch seconds
    headers: tuple[tuple[str, str], ...] = ()


class Meter:
    """The counter of one limit."""

    def __init__(self, limit: RateLimit, factor: float) -> None:
        self.limit = limit
        self.allowed = limit.allowed * factor
        self._used = 0.0
        self._since = 0.0
        self._entries: deque[tuple[float, float]] = deque()

    def used(self, now: float) -> float:
        """Return the usage at `now`, before the current request is added."""
        elapsed = now - self._since
        if self.limit.kind == "fixed":
            if now // self.limit.window != self._since // self.limit.window:
                self._used = 0.0
        elif self.limit.kind == "decay":
            self._used = max(0.0, self._used - elapsed * self.allowed / self.limit.window)
        else:
            while self._entries and self._entries[0][0] <= now - self.limit.window:
                self._used -= self._entries.popleft()[1]
        self._since = now
        return self._used

    def add(self, now: float, cost: float) -> None:
        self._used += cost
        if self.limit.kind == "sliding":
            self._entries.append((now, cost))

    def free_in(self, now: float, cost: float) -> float:
        """Return the seconds until a request of this cost is allowed."""
        if self.limit.kind == "fixed":
            return self.limit.window - now % self.limit.window
        if self.limit.kind == "decay":
            return max(0.0, (self._used + cost - self.allowed) * self.limit.window / self.allowed)
        over = self._used + cost - self.allowed
        for at, weight in self._entries:
            over -= weight
            if over <= 0:
                return at + self.limit.window - now
        return self.limit.window


@dataclass
class Usage:
    """The counts of one limit.

    peak: the highest usage. It can include the cost of one refused request.
    requests: the number of requests. violations: the number of requests above the limit.
    bans: the number of bans because of this limit. while_banned: the number of requests during a ban.
    """

    peak: float = 0.0
    requests: int = 0
    violations: int = 0
    bans: int = 0
    while_banned: int = 0


class Governor:
    """The rate limits of one exchange. All requests are counted as requests of one client."""

    def __init__(
        self,
        venue: SandboxVenue,
        *,
        enforce: bool = True,
        factor: float = 1.0,
        ban_seconds: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._venue = venue
        self._now = now
        self.configure(enforce=enforce, factor=factor, ban_seconds=ban_seconds)

    def configure(self, *, enforce: bool, factor: float, ban_seconds: float | None) -> None:
        """Set the limits, reset the counters and end a ban.

        `factor`: multiplies the allowed usage of every limit. `ban_seconds`: the length of every ban; None: as in the
        venue's record.
        """
        self.enforce, self.factor, self.ban_seconds = enforce, factor, ban_seconds
        self.reset()

    def reset(self) -> None:
        self._meters = [Meter(limit, self.factor) for limit in self._venue.limits]
        self._usages = [Usage() for _ in self._meters]
        self._throttled_until = 0.0
        self._ignored = 0
        self._banned_until = 0.0

    def charge(self, path: str, kind: PathKind) -> Verdict:
        """Count one request and return the decision about it."""
        now = self._now()
        banned = self.enforce and now < self._banned_until
        verdict = Verdict("allowed", 0.0)
        for meter, usage in zip(self._meters, self._usages, strict=True):
            if meter.limit.paths in path:
                usage.while_banned += banned
                decided = self._decide(meter, usage, meter.limit.cost.get(kind, 1.0), now)
                verdict = decided if verdict.outcome == "allowed" else verdict
        return self._banned(verdict.weight, now) if banned else verdict

    def report(self) -> dict[str, Any]:
        """Return the settings of the limits, and the counts of each limit (the fields of `Usage`)."""
        return {
            "enforced": self.enforce,
            "factor": self.factor,
            "banned_until": self._banned_until or None,
            "limits": [
                {
                    "name": meter.limit.name,
                    "allowed": meter.allowed,
                    "window_seconds": meter.limit.window,
                    "kind": meter.limit.kind,
                    **vars(usage),
                }
                for meter, usage in zip(self._meters, self._usages, strict=True)
            ],
        }

    def _decide(self, meter: Meter, usage: Usage, cost: float, now: float) -> Verdict:
        used = meter.used(now)
        usage.requests += 1
        usage.peak = max(usage.peak, used + cost)
        over = used + cost > meter.allowed + 1e-9
        usage.violations += over
        if not over or not self.enforce:
            meter.add(now, cost)
        header = meter.limit.used_header
        headers = ((header, f"{used + cost:.0f}"),) if header else ()
        if not over or not self.enforce:
            return Verdict("allowed", cost, headers=headers)
        return self._refuse(meter, usage, cost, now, headers)

    def _refuse(
        self, meter: Meter, usage: Usage, cost: float, now: float, headers: tuple[tuple[str, str], ...]
    ) -> Verdict:
        limit = meter.limit
        self._ignored = self._ignored + 1 if now < self._throttled_until else 0
        if limit.patience is not None and self._ignored >= limit.patience and now >= self._banned_until:
            length = limit.ban_seconds if self.ban_seconds is None else self.ban_seconds
            self._banned_until = now + length
            usage.bans += 1
            return self._banned(cost, now)
        wait = meter.free_in(now, cost)
        self._throttled_until = max(self._throttled_until, now + wait)
        return Verdict("throttled", cost, math.ceil(wait) if limit.retry_after else None, headers=headers)

    def _banned(self, weight: float, now: float) -> Verdict:
        says_when = any(limit.retry_after for limit in self._venue.limits)
        wait = max(1, math.ceil(self._banned_until - now))
        return Verdict("banned", weight, wait if says_when else None, until=self._banned_until)
