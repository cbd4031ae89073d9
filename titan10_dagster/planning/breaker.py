"""The circuit breaker of an exchange, as a pure state machine.

    CLOSED     -> OPEN        `threshold` failures in a row, a ban, or a demand to rest
    OPEN       -> HALF_OPEN   the pause is over, and one process took the probe (a single test request)
    HALF_OPEN  -> CLOSED      the probe succeeded
    HALF_OPEN  -> OPEN        the probe failed: for longer than before

`ask` makes the decision. The caller must read, decide and store under one lock, so that two processes cannot both have
the probe. A probe is leased: if its process dies, another process gets the probe when the lease ends. Answers to
requests that were under way when the breaker opened arrive late; while it is open they change nothing. All instants are
aware and UTC.

The pace (`planning/pace.py`) and the last error are kept with the breaker. An answer does not delete the last error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from titan10_dagster.planning.pace import FULL, Pace

LONGEST_PAUSE = timedelta(hours=1)


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class Health:
    """The breaker of one exchange.

    failures: the number of failures in a row. shut_since: when the breaker was last closed; None if it is closed now.
    last_error: the last error of any kind. The error of a single symbol, or a request to slow down, does not count as a
        failure.
    """

    exchange: str
    state: BreakerState = BreakerState.CLOSED
    open_until: datetime | None = None
    failures: int = 0
    reason: str | None = None
    probe_until: datetime | None = None
    changed_at: datetime | None = None
    pace: Pace = FULL
    last_error: str | None = None
    last_error_at: datetime | None = None
    shut_since: datetime | None = None


class Permit(StrEnum):
    ALLOWED = "allowed"
    PROBE = "probe"
    REFUSED = "refused"


@dataclass(frozen=True)
class Decision:
    """The decision about a request. `until`: if the request may not be made, the earliest time to ask again."""

    permit: Permit
    until: datetime | None = None


ALLOWED = Decision(Permit.ALLOWED)
PROBE = Decision(Permit.PROBE)


def refused(until: datetime) -> Decision:
    """Return the decision that no request may be made before `until`."""
    return Decision(Permit.REFUSED, until)


def may_request(health: Health, now: datetime) -> Decision:
    """Return ALLOWED if closed, `refused(until)` while open or being probed, PROBE if a probe is due."""
    if health.state is BreakerState.CLOSED:
        return ALLOWED
    until = health.open_until if health.state is BreakerState.OPEN else health.probe_until
    return refused(until) if until is not None and now < until else PROBE


def ask(health: Health, now: datetime, lease: timedelta) -> tuple[Decision, Health]:
    """Return the decision and the Health to store; a probe is taken for `lease`."""
    decision = may_request(health, now)
    return decision, after_probe_taken(health, now, lease)


def after_probe_taken(health: Health, now: datetime, lease: timedelta) -> Health:
    """Return the Health with the probe taken until `now + lease`; unchanged if no probe is due."""
    if may_request(health, now) != PROBE:
        return health
    return replace(health, state=BreakerState.HALF_OPEN, probe_until=now + lease, changed_at=now)


def after_success(health: Health, now: datetime) -> Health:
    """Return the Health, closed and without failures. An open breaker stays open, because the answer came late."""
    if health.state is BreakerState.HALF_OPEN:
        return _changed(health, BreakerState.CLOSED, now)
    if health.state is BreakerState.CLOSED and health.failures:
        return replace(health, failures=0, reason=None)
    return health


def after_failure(
    health: Health, now: datetime, *, threshold: int = 5, pause: timedelta, reason: str | None = None
) -> Health:
    """Return the Health with one more failure.

    It opens after `threshold` failures in a row, or at once if the probe failed.

    The first pause is `pause`. Each further one, without a success in between, is twice as long, up to an hour.
    """
    if health.state is BreakerState.OPEN:
        return health
    failures = health.failures + 1
    if health.state is BreakerState.HALF_OPEN:
        failures = max(failures, threshold)
    why = reason or f"{failures} failures in a row"
    noted = after_error(health, now, why)
    if failures < threshold:
        return replace(noted, failures=failures, reason=why)
    until = now + _pause(failures - threshold, pause)
    return _changed(noted, BreakerState.OPEN, now, open_until=until, failures=failures, reason=why)


def after_ban(health: Health, now: datetime, until: datetime, reason: str) -> Health:
    """Return the Health, open until `until` or until its present end, whichever is later.

    Afterwards requests are made at half the pace.
    """
    banned = after_rest(health, now, until, reason)
    ends = banned.open_until or until
    return replace(banned, pace=Pace(health.pace.slowed(ends, ends).share, ends))


def after_rest(health: Health, now: datetime, until: datetime, reason: str) -> Health:
    """Return the Health, open until `until` or until its present end, whichever is later.

    The exchange requests a rest; this is not a failure.
    """
    if health.state is BreakerState.OPEN and health.open_until is not None:
        until = max(until, health.open_until)
    noted = after_error(health, now, reason)
    return _changed(noted, BreakerState.OPEN, now, open_until=until, failures=health.failures, reason=reason)


def after_throttling(
    health: Health, requested_at: datetime, now: datetime, reason: str, rest: timedelta = timedelta(0)
) -> Health:
    """Return the Health with a rest and a slower pace, because the request sent at `requested_at` was throttled."""
    return replace(after_error(health, now, reason), pace=health.pace.slowed(requested_at, now, rest))


def after_error(health: Health, now: datetime, reason: str) -> Health:
    """Return the Health with a new last error. The state of the breaker does not change."""
    return replace(health, last_error=reason, last_error_at=now)


def _changed(
    health: Health,
    state: BreakerState,
    now: datetime,
    *,
    open_until: datetime | None = None,
    failures: int = 0,
    reason: str | None = None,
) -> Health:
    return replace(
        health,
        state=state,
        open_until=open_until,
        failures=failures,
        reason=reason,
        probe_until=None,
        changed_at=now,
        shut_since=None if state is BreakerState.CLOSED else health.shut_since or now,
    )


def _pause(repeats: int, pause: timedelta) -> timedelta:
    # The exponent is bounded, so that a breaker that failed for a year does not overflow.
    factor: int = 2 ** min(repeats, 20)
    return min(pause * factor, LONGEST_PAUSE)
