"""The circuit breaker of an exchange, as a pure state machine.

    CLOSED     -> OPEN        `threshold` consecutive failures, a ban, or the exchange requested a pause
    OPEN       -> HALF_OPEN   the pause has ended, and one process makes the probe (a single test request)
    HALF_OPEN  -> CLOSED      the probe succeeded
    HALF_OPEN  -> OPEN        the probe failed, so the next pause is longer

While the breaker is open, no requests are made. `ask` decides whether a request may be made. The caller must read the
state, decide, and store the new state under one lock. Otherwise two processes could both make the probe. The probe is
granted to a process for a limited time (the lease). If the process dies, another process gets the probe when the lease
ends.

Some requests are still in progress when the breaker opens. If they succeed or fail later, the breaker stays open. Only
a ban, or a pause that the exchange requests, can make the current pause longer. All instants are aware and UTC.

While a machine's clock is far ahead, it stores pauses that end far in the future. Therefore each stored state passes
through `believed` before it is used.

The pace (`planning/pace.py`) and the last error are stored together with the breaker. A successful request does not
delete the last error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from titan10_dagster.planning.pace import FULL, Pace

LONGEST_PAUSE = timedelta(hours=1)
_CLOCK_SLACK = timedelta(minutes=10)  # the clocks of the processes that share a breaker can differ by this time


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class Health:
    """The state of an exchange's breaker, together with the pace and the last error.

    open_until: the end of the current pause; None if the breaker is not open.
    failures: the number of consecutive failures.
    reason: why the breaker opened, or the last failure.
    probe_until: the end of the lease of the probe; None if no process makes a probe.
    changed_at: the time of the last change of the state.
    pace: the current pace of requests.
    last_error: the last error of any kind. Errors of a single symbol and answers that request a slower pace are
        recorded here, but do not count as failures.
    shut_since: the time at which the breaker left the state CLOSED; None if the breaker is closed.
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
    """The decision about a request. `until`: if the request is refused, the earliest time to ask again."""

    permit: Permit
    until: datetime | None = None


ALLOWED = Decision(Permit.ALLOWED)
PROBE = Decision(Permit.PROBE)


def refused(until: datetime) -> Decision:
    """Return the decision that no request is allowed before `until`."""
    return Decision(Permit.REFUSED, until)


def believed(health: Health, now: datetime) -> Health:
    """Return the Health without pauses that were stored while this machine's clock was far ahead.

    The real end of such a pause is not known. Therefore it ends now, and the breaker allows a test request.
    """
    latest = now + _CLOCK_SLACK
    stored = [instant for instant in (health.changed_at, health.last_error_at) if instant is not None]
    if not stored or max(stored) <= latest:
        return health
    pace = Pace(health.pace.share, _at_most(health.pace.at, now))
    known = replace(health, last_error_at=_at_most(health.last_error_at, now), pace=pace)
    if health.changed_at is None or health.changed_at <= latest:
        return known
    return replace(
        known,
        open_until=_at_most(health.open_until, now),
        probe_until=_at_most(health.probe_until, now),
        changed_at=now,
        shut_since=_at_most(health.shut_since, now),
    )


def _at_most(instant: datetime | None, now: datetime) -> datetime | None:
    return None if instant is None else min(instant, now)


def may_request(health: Health, now: datetime) -> Decision:
    """Return whether a request is allowed at `now`.

    The result is ALLOWED if the breaker is closed, and PROBE if a probe is due. It is `refused(until)` during a pause,
    or while another process makes the probe.
    """
    health = believed(health, now)
    if health.state is BreakerState.CLOSED:
        return ALLOWED
    until = health.open_until if health.state is BreakerState.OPEN else health.probe_until
    return refused(until) if until is not None and now < until else PROBE


def ask(health: Health, now: datetime, lease: timedelta) -> tuple[Decision, Health]:
    """Return the decision about a request, and the new Health, which the caller must store.

    If the decision is PROBE, the stored Health gives the probe to the caller for the time `lease`.
    """
    decision = may_request(health, now)
    return decision, after_probe_taken(health, now, lease)


def after_probe_taken(health: Health, now: datetime, lease: timedelta) -> Health:
    """Return the Health after the probe was granted to a process. The lease of the probe ends at `now + lease`.

    If no probe is due, the Health is unchanged.
    """
    if may_request(health, now) != PROBE:
        return health
    return replace(health, state=BreakerState.HALF_OPEN, probe_until=now + lease, changed_at=now)


def after_success(health: Health, now: datetime) -> Health:
    """Return the Health after a successful request: closed, and without failures.

    An open breaker stays open, because the request was made before the breaker opened.
    """
    if health.state is BreakerState.HALF_OPEN:
        return _changed(health, BreakerState.CLOSED, now)
    if health.state is BreakerState.CLOSED and health.failures:
        return replace(health, failures=0, reason=None)
    return health


def after_failure(
    health: Health, now: datetime, *, threshold: int = 5, pause: timedelta, reason: str | None = None
) -> Health:
    """Return the Health after a failure.

    The breaker opens after `threshold` consecutive failures. If the failed request was the probe, the breaker opens at
    once. The first pause is `pause`. Until a request succeeds, each further pause is twice as long, up to an hour. An
    open breaker does not change, because the failed request was made before the breaker opened.
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
    """Return the Health after a ban by the exchange: open at least until `until`.

    A current pause that ends later is not shortened. After the ban, requests start again at half of the pace.
    """
    banned = after_rest(health, now, until, reason)
    ends = banned.open_until or until
    return replace(banned, pace=Pace(health.pace.slowed(ends, ends).share, ends))


def after_rest(health: Health, now: datetime, until: datetime, reason: str) -> Health:
    """Return the Health after the exchange requested a rest (a time without requests): open at least until `until`.

    A current pause that ends later is not shortened. The rest does not count as a failure.
    """
    if health.state is BreakerState.OPEN and health.open_until is not None:
        until = max(until, health.open_until)
    noted = after_error(health, now, reason)
    return _changed(noted, BreakerState.OPEN, now, open_until=until, failures=health.failures, reason=reason)


def after_throttling(
    health: Health, requested_at: datetime, now: datetime, reason: str, rest: timedelta = timedelta(0)
) -> Health:
    """Return the Health with a slower pace after a throttled request. `requested_at`: the time of this request.

    `rest`: how long to make no requests, as requested by the exchange.
    """
    return replace(after_error(health, now, reason), pace=health.pace.slowed(requested_at, now, rest))


def after_pause(health: Health, now: datetime, reason: str, rest: timedelta) -> Health:
    """Return the Health after an exchange that is down asked for a short pause. The pace does not become slower."""
    return replace(after_error(health, now, reason), pace=health.pace.paused(now, rest))


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
    # The exponent is limited. Otherwise the result could overflow after many consecutive failures.
    factor: int = 2 ** min(repeats, 20)
    return min(pause * factor, LONGEST_PAUSE)
