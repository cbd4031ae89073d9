"""The circuit breaker of an exchange, as a pure state machine.

    CLOSED     -> OPEN        `threshold` failures in a row, a ban, or a demand to rest
    OPEN       -> HALF_OPEN   its time is over and somebody took the probe
    HALF_OPEN  -> CLOSED      the probe succeeded
    HALF_OPEN  -> OPEN        the probe failed: for longer than before

Whoever asks must read, decide and store under one lock; `ask` is the middle part in one step, so that two
askers cannot both have the probe. A probe is a lease: if the prober dies, the next asker gets it when the
lease is over. Answers to requests that were under way when the breaker opened come late; while it is open
they change nothing. All instants are aware and UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

LONGEST_PAUSE = timedelta(hours=1)


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class Health:
    """The breaker of one exchange; `failures` is how many came in a row."""

    exchange: str
    state: BreakerState = BreakerState.CLOSED
    open_until: datetime | None = None
    failures: int = 0
    reason: str | None = None
    probe_until: datetime | None = None
    changed_at: datetime | None = None


class Permit(StrEnum):
    ALLOWED = "allowed"
    PROBE = "probe"
    REFUSED = "refused"


@dataclass(frozen=True)
class Decision:
    """Whether a request may be made; `until` is set when it is refused: nobody need ask before."""

    permit: Permit
    until: datetime | None = None


ALLOWED = Decision(Permit.ALLOWED)
PROBE = Decision(Permit.PROBE)


def refused(until: datetime) -> Decision:
    return Decision(Permit.REFUSED, until)


def may_request(health: Health, now: datetime) -> Decision:
    """ALLOWED when closed; while open or being probed, `refused(until)`; PROBE when one is due."""
    if health.state is BreakerState.CLOSED:
        return ALLOWED
    until = health.open_until if health.state is BreakerState.OPEN else health.probe_until
    return refused(until) if until is not None and now < until else PROBE


def ask(health: Health, now: datetime, lease: timedelta) -> tuple[Decision, Health]:
    """Decides, and takes the probe for `lease` if that is the answer; store the Health that comes back."""
    decision = may_request(health, now)
    return decision, after_probe_taken(health, now, lease)


def after_probe_taken(health: Health, now: datetime, lease: timedelta) -> Health:
    """Half-open until `now + lease`; unchanged where no probe is due."""
    if may_request(health, now) != PROBE:
        return health
    return replace(health, state=BreakerState.HALF_OPEN, probe_until=now + lease, changed_at=now)


def after_success(health: Health, now: datetime) -> Health:
    """Closed, with the failures forgotten; while open it stays open, for the answer is a late one."""
    if health.state is BreakerState.HALF_OPEN:
        return Health(health.exchange, changed_at=now)
    if health.state is BreakerState.CLOSED and health.failures:
        return replace(health, failures=0, reason=None)
    return health


def after_failure(
    health: Health, now: datetime, *, threshold: int = 5, pause: timedelta, reason: str | None = None
) -> Health:
    """One failure more: opens at `threshold` in a row, and at once where a probe failed.

    The first pause is `pause`; each that follows without a success between is twice the last, up to an hour.
    """
    if health.state is BreakerState.OPEN:
        return health
    failures = health.failures + 1
    if health.state is BreakerState.HALF_OPEN:
        failures = max(failures, threshold)
    told = reason or f"{failures} failures in a row"
    if failures < threshold:
        return replace(health, failures=failures, reason=told)
    until = now + _pause(failures - threshold, pause)
    return Health(health.exchange, BreakerState.OPEN, until, failures, told, changed_at=now)


def after_ban(health: Health, now: datetime, until: datetime, reason: str) -> Health:
    """Shut out: open until `until`, or longer if it was open for longer already."""
    return after_rest(health, now, until, reason)


def after_rest(health: Health, now: datetime, until: datetime, reason: str) -> Health:
    """Asked to rest: open until `until`, or longer if it was open for longer already; that is no failure."""
    if health.state is BreakerState.OPEN and health.open_until is not None:
        until = max(until, health.open_until)
    return Health(health.exchange, BreakerState.OPEN, until, health.failures, reason, changed_at=now)


def _pause(repeats: int, pause: timedelta) -> timedelta:
    # The exponent is bounded so that a breaker that failed for a year does not overflow.
    factor: int = 2 ** min(repeats, 20)
    return min(pause * factor, LONGEST_PAUSE)
