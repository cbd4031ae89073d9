"""The circuit breaker of an exchange, for use in an event loop.

The state machine in `planning/breaker.py` makes the decisions. The state is kept in a store (the database). Therefore
all runs and sensors, in all processes, use the same breaker. The store also has the current pace of requests. If an
exchange throttles a run, a run that starts soon afterwards begins at a reduced pace too.

Each breaker calls the store in its own thread and not on the event loop. If the database does not answer, or if another
process has locked the row of an exchange, only the requests to this exchange wait.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NoReturn, Protocol, TypeVar

from titan10_dagster.errors import (
    Banned,
    BreakerOpen,
    DatabaseUnavailable,
    FetchError,
    Postponed,
    ProxyFailed,
    Refused,
    Stalled,
    Throttled,
    TransientError,
    Unavailable,
)
from titan10_dagster.planning.breaker import (
    PROBE,
    BreakerState,
    Decision,
    Health,
    Permit,
    after_ban,
    after_error,
    after_failure,
    after_pause,
    after_rest,
    after_success,
    after_throttling,
    ask,
    believed,
)
from titan10_dagster.planning.pace import Pace

T = TypeVar("T")

CONFIRMED_FOR = 0.25  # a state of the breaker that allows requests is used for this many seconds, then read again
CONFIRM_WITHIN = 1.0  # a request waits at most this many seconds for the breaker's state; then the request is allowed
RECORD_WITHIN = 2.0  # a failed request waits at most this many seconds until the requested pause is stored
# After a refusal, no request is allowed for this long. If consecutive failures preceded the refusal, the pause is
# longer, up to an hour.
REFUSAL = timedelta(minutes=10)


class HealthStore(Protocol):
    """A store that has the state of every breaker. `apply` reads, changes and stores a state under one lock."""

    def load(self, exchange: str) -> Health: ...

    def apply(self, exchange: str, change: Callable[[Health], Health]) -> Health: ...

    def count_requests(self, exchange: str, hour: datetime, requests: int) -> None: ...


class HealthSignal(Enum):
    """A conclusion about the whole exchange that follows from an error.

    NONE: no conclusion, because no request was made, or because this process stood still. The error is not recorded.
    NOTED: no conclusion, but the error is recorded as the last error.
    REJECTED: the exchange works. It rejected only this one request.
    FAILED: the exchange failed.
    THROTTLED: the exchange asked for fewer requests.
    REFUSED: the exchange refuses to serve this IP address or account.
    BANNED: the exchange banned this IP address.
    UNAVAILABLE: the exchange is down, and said until when.
    """

    NONE = auto()
    NOTED = auto()
    REJECTED = auto()
    FAILED = auto()
    THROTTLED = auto()
    REFUSED = auto()
    BANNED = auto()
    UNAVAILABLE = auto()


# The first class that matches the error determines the signal.
_SIGNALS: tuple[tuple[type[FetchError], HealthSignal], ...] = (
    (BreakerOpen, HealthSignal.NONE),
    (Postponed, HealthSignal.NONE),
    (Stalled, HealthSignal.NONE),
    (ProxyFailed, HealthSignal.NOTED),
    (Banned, HealthSignal.BANNED),
    (Unavailable, HealthSignal.UNAVAILABLE),
    (Refused, HealthSignal.REFUSED),
    (Throttled, HealthSignal.THROTTLED),
    (TransientError, HealthSignal.FAILED),
    (FetchError, HealthSignal.REJECTED),
)
_BY_THE_EXCHANGE = {HealthSignal.REFUSED, HealthSignal.REJECTED}


def signal_of(error: FetchError) -> HealthSignal:
    """Return what an error shows about the exchange.

    A refusal or rejection without an HTTP status shows nothing about the exchange, because the exchange did not send
    it. For example, this machine's clock is wrong, or a proxy requires a login.
    """
    signal = next(signal for class_, signal in _SIGNALS if isinstance(error, class_))
    return HealthSignal.NOTED if signal in _BY_THE_EXCHANGE and error.status is None else signal


def _own_thread() -> ThreadPoolExecutor:
    """Return an executor with one thread, which ends when the breaker is garbage-collected."""
    return ThreadPoolExecutor(1, thread_name_prefix="breaker")


@dataclass
class Breaker:
    """The breaker of one exchange, for one event loop.

    store: the store of the state, which all processes share.
    threshold: after this many consecutive failures, the breaker opens.
    pause: how long the breaker is open the first time. Until a request succeeds, each further pause is twice as
        long, up to an hour.
    lease: how long a probe (a single test request) can take before another process can start a probe.
    """

    exchange: str
    store: HealthStore
    now: Callable[[], datetime]
    threshold: int = 5
    pause: timedelta = timedelta(minutes=1)
    lease: timedelta = timedelta(minutes=2)
    _probing: bool = field(default=False, init=False)
    _pace: Pace | None = field(default=None, init=False)  # the last result of `pace`
    # The last time (time.monotonic) at which the state was read and allowed requests.
    _confirmed: float = field(default=-math.inf, init=False)
    _reading: asyncio.Task[Health] | None = field(default=None, init=False)
    _reading_since: float = field(default=0.0, init=False)
    _thread: ThreadPoolExecutor = field(default_factory=_own_thread, init=False, repr=False)

    async def admit(self) -> bool:
        """Check whether requests are allowed, and return whether the next request is a probe (a single test request).

        If the next request is a probe, the caller must not make further requests before the answer has arrived.

        Raises:
            BreakerOpen: no request is allowed now.
        """
        decisions: list[Decision] = []

        def take(health: Health) -> Health:
            decision, after = ask(health, self.now(), self.lease)
            decisions.append(decision)
            return after

        health = await self._apply(take)
        decision = decisions[-1]
        if decision.permit is Permit.REFUSED:
            raise _open(health, decision.until or self.now())
        self._probing = decision == PROBE
        if health.pace == self._pace and health.state is BreakerState.CLOSED:
            self._confirmed = time.monotonic()
        return self._probing

    async def confirm(self) -> Pace | None:
        """Check just before a request whether the request is still allowed, and return the current pace.

        The state of the breaker is not read for every request, because some exchanges get 50 requests a second. A state
        that allows requests is used for a quarter of a second. During this time, the result is None. `admit` also
        provides such a state, if the breaker was closed and its pace was the same as the last result of `pace`.

        If the database does not return the state within a second, the request is allowed, and the result is None.

        Raises:
            BreakerOpen: another process or this process has opened the breaker since the request was admitted.
        """
        if time.monotonic() < self._confirmed + CONFIRMED_FOR:
            return None
        health = await self._latest()
        if health is None:
            return None
        own_probe = health.state is BreakerState.HALF_OPEN and self._probing
        if health.state is not BreakerState.CLOSED and not own_probe:
            raise _open(health, health.probe_until or health.open_until or self.now())
        self._confirmed = time.monotonic()
        return health.pace

    async def succeeded(self) -> None:
        """Record that the exchange answered a request."""
        await self._apply(lambda health: after_success(health, self.now()))

    async def learn(self, error: FetchError) -> None:
        """Record what an error shows about the exchange (see `signal_of`).

        Raises:
            BreakerOpen: the error opened the breaker. After Banned, Refused and Unavailable, BreakerOpen is not raised,
                because the caller already has an error that ends all requests.
        """
        match signal_of(error):
            case HealthSignal.NONE:
                return
            case HealthSignal.NOTED:
                await self.noted(error)
            case HealthSignal.REJECTED:
                await self._apply(
                    lambda health: after_success(after_error(health, self.now(), _reason(error)), self.now())
                )
            case HealthSignal.FAILED:
                await self.failed(error)
            case HealthSignal.THROTTLED:
                await self._rest(error)
            case HealthSignal.REFUSED:
                # The pause is ten minutes. Each consecutive failure before the refusal doubles it, up to an hour.
                await self._failure(error, threshold=1, pause=REFUSAL)
            case HealthSignal.BANNED:
                until = error.until if isinstance(error, Banned) else self.now() + self.pause
                await self._apply(lambda health: after_ban(health, self.now(), until, _reason(error)))
            case HealthSignal.UNAVAILABLE:
                pause_end = error.until if isinstance(error, Unavailable) else self.now() + self.pause
                await self._apply(lambda health: after_rest(health, self.now(), pause_end, _reason(error)))

    async def failed(self, error: FetchError) -> None:
        """Record the failure of a request and of its retries as one failure.

        Raises:
            BreakerOpen: the failure opened the breaker.
        """
        health = await self._failure(error, threshold=self.threshold, pause=self.pause)
        if health.open_until is not None:
            raise _open(health, health.open_until) from error

    async def noted(self, error: FetchError) -> None:
        """Record an error as the last error, without any other effect on the breaker."""
        await self._apply(lambda health: after_error(health, self.now(), _reason(error)))

    async def pace(self) -> Pace:
        """Return the current pace of requests."""
        health = await self._in_thread(lambda: self.store.load(self.exchange))
        self._pace = believed(health, self.now()).pace
        return self._pace

    async def paused(self, error: FetchError, requested_at: datetime) -> Pace | None:
        """Record the pause that the exchange asked for, and return the new pace. Only throttling makes the pace slower.

        If the database does not answer within two seconds, the result is None. The pause is then recorded later, as
        soon as the database answers.

        `requested_at`: the time at which the failed request was sent.
        """
        rest = error.retry_after or timedelta(0)

        def change(health: Health) -> Health:
            if isinstance(error, Throttled):
                return after_throttling(health, requested_at, self.now(), _reason(error), rest)
            return after_pause(health, self.now(), _reason(error), rest)

        recording = asyncio.create_task(self._apply(change))
        recording.add_done_callback(_retrieved)
        with suppress(TimeoutError):
            async with asyncio.timeout(RECORD_WITHIN):
                return (await asyncio.shield(recording)).pace
        return None

    async def count(self, requests: int) -> None:
        """Add `requests` to the stored number of requests of the current hour."""
        hour = self.now().replace(minute=0, second=0, microsecond=0)
        await self._in_thread(lambda: self.store.count_requests(self.exchange, hour, requests))

    async def _rest(self, error: FetchError) -> NoReturn:
        """Open the breaker for the pause that the exchange requested, at least for `pause`. Raise BreakerOpen."""
        until = self.now() + max(error.retry_after or self.pause, self.pause)
        health = await self._apply(lambda health: after_rest(health, self.now(), until, _reason(error)))
        raise _open(health, health.open_until or until) from error

    async def _failure(self, error: FetchError, *, threshold: int, pause: timedelta) -> Health:
        reason = _reason(error)
        return await self._apply(
            lambda health: after_failure(health, self.now(), threshold=threshold, pause=pause, reason=reason)
        )

    async def _latest(self) -> Health | None:
        """Return the current state of the breaker; None if the database does not answer in time.

        All requests that wait for the state share one query of the database.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._in_thread(lambda: self.store.load(self.exchange)))
            self._reading.add_done_callback(_retrieved)
            self._reading_since = time.monotonic()
        left = self._reading_since + CONFIRM_WITHIN - time.monotonic()
        if left <= 0:
            return None
        with suppress(TimeoutError, DatabaseUnavailable):
            async with asyncio.timeout(left):
                return believed(await asyncio.shield(self._reading), self.now())
        return None

    async def _apply(self, change: Callable[[Health], Health]) -> Health:
        def believed_and_changed(health: Health) -> Health:
            return change(believed(health, self.now()))

        return await self._in_thread(lambda: self.store.apply(self.exchange, believed_and_changed))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: context.run(call))


def _open(health: Health, until: datetime) -> BreakerOpen:
    return BreakerOpen(
        f"{health.exchange}: paused until {until:%Y-%m-%d %H:%M:%S} UTC; then one test request is made."
        f" Reason: {health.reason or 'another run is making the test request'}",
        exchange=health.exchange,
        until=until,
    )


def _retrieved(task: asyncio.Task[Health]) -> None:
    """Retrieve the task's exception. Otherwise asyncio would log that the exception was never retrieved."""
    if not task.cancelled():
        task.exception()


def _reason(error: FetchError) -> str:
    return f"{type(error).__name__}: {error}"
