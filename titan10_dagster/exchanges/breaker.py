"""The circuit breaker's shell: asks the pure state machine of `planning/breaker.py`, and has the answer stored.

The store is handed in, so that every run and sensor, in whatever process, sees the same breaker. The pace is kept there
too, so that a run begins as slowly as the one before it had to go.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn, Protocol

from titan10_dagster.errors import BreakerOpen, DatabaseUnavailable, FetchError, Refused, Throttled
from titan10_dagster.planning.breaker import (
    PROBE,
    BreakerState,
    Decision,
    Health,
    Permit,
    after_ban,
    after_error,
    after_failure,
    after_rest,
    after_success,
    after_throttling,
    ask,
)
from titan10_dagster.planning.pace import Pace

CONFIRMED_FOR = 0.25  # seconds
REFUSAL = timedelta(minutes=10)  # who is refused asks again, for a refusal may end, but ever more rarely


class HealthStore(Protocol):
    """Where the breakers' states are kept. `apply` reads, changes and stores under one lock."""

    def load(self, exchange: str) -> Health: ...

    def apply(self, exchange: str, change: Callable[[Health], Health]) -> Health: ...

    def count_requests(self, exchange: str, hour: datetime, requests: int) -> None: ...


@dataclass
class Breaker:
    """The breaker of one exchange. `lease` is how long a probe may take before another one may try."""

    exchange: str
    store: HealthStore
    now: Callable[[], datetime]
    threshold: int = 5
    pause: timedelta = timedelta(minutes=1)
    lease: timedelta = timedelta(minutes=2)
    _probing: bool = field(default=False, init=False)
    _confirmed: float = field(default=-CONFIRMED_FOR, init=False)  # when it was last seen closed, time.monotonic

    def admit(self) -> bool:
        """Whether this is a probe, which must be one request at first; BreakerOpen while nobody may ask."""
        taken: list[Decision] = []

        def take(health: Health) -> Health:
            decision, after = ask(health, self.now(), self.lease)
            taken[:] = [decision]
            return after

        health = self.store.apply(self.exchange, take)
        if taken[0].permit is Permit.REFUSED:
            raise self._open(health, taken[0].until or self.now())
        self._probing = taken[0] == PROBE
        return self._probing

    def confirm(self) -> Pace | None:
        """Before each request of who was admitted: how fast it may be asked by now, None where nobody looked.

        BreakerOpen if it has opened since, wherever that was. What was seen is believed for a quarter of a second, for
        some exchanges are asked 50 times in one. While the database is away nothing is known but what was at first.
        """
        if time.monotonic() < self._confirmed + CONFIRMED_FOR:
            return None
        try:
            health = self.store.load(self.exchange)
        except DatabaseUnavailable:
            return None
        own_probe = health.state is BreakerState.HALF_OPEN and self._probing
        if health.state is not BreakerState.CLOSED and not own_probe:
            raise self._open(health, health.probe_until or health.open_until or self.now())
        self._confirmed = time.monotonic()
        return health.pace

    def succeeded(self) -> None:
        """The exchange answered."""
        self.store.apply(self.exchange, lambda health: after_success(health, self.now()))

    def failed(self, error: FetchError) -> None:
        """It failed, retries included; BreakerOpen if that was one time too many."""
        health = self.store.apply(
            self.exchange,
            lambda health: after_failure(
                health, self.now(), threshold=self.threshold, pause=self.pause, reason=_reason(error)
            ),
        )
        if health.open_until is not None:
            raise self._open(health, health.open_until) from error

    def banned(self, until: datetime, error: FetchError) -> None:
        """It shut this address out until `until`."""
        self.store.apply(self.exchange, lambda health: after_ban(health, self.now(), until, _reason(error)))

    def refused(self, error: Refused) -> None:
        """It serves nothing to this address: nobody asks for ten minutes, then for twice as long each time it says so.

        What has no status it did not say (our clock is off): that is only remembered.
        """
        reason = _reason(error)
        if error.status is None:
            self.noted(error)
        else:
            self.store.apply(
                self.exchange,
                lambda health: after_failure(health, self.now(), threshold=1, pause=REFUSAL, reason=reason),
            )

    def throttled(self, error: Throttled) -> NoReturn:
        """It went on asking to be left alone: nobody asks until that time is over; raises BreakerOpen."""
        until = self.now() + max(error.retry_after or self.pause, self.pause)
        health = self.store.apply(self.exchange, lambda health: after_rest(health, self.now(), until, _reason(error)))
        raise self._open(health, health.open_until or until) from error

    def noted(self, error: FetchError) -> None:
        """An error that says nothing against the exchange as a whole: it is only remembered as the last one."""
        self.store.apply(self.exchange, lambda health: after_error(health, self.now(), _reason(error)))

    def pace(self) -> Pace:
        """How fast it may be asked."""
        return self.store.load(self.exchange).pace

    def slowed(self, error: Throttled, requested_at: datetime) -> Pace:
        """It refused what was asked at `requested_at` for being too much; how fast it may be asked from now on."""
        rest = error.retry_after or timedelta(0)
        return self.store.apply(
            self.exchange, lambda health: after_throttling(health, requested_at, self.now(), _reason(error), rest)
        ).pace

    def made(self, requests: int) -> None:
        """So many more requests were made."""
        self.store.count_requests(self.exchange, self.now().replace(minute=0, second=0, microsecond=0), requests)

    def _open(self, health: Health, until: datetime) -> BreakerOpen:
        return BreakerOpen(
            f"{self.exchange}: nothing is asked before {until:%Y-%m-%d %H:%M:%S} UTC, when one request will try"
            f" again. Reason: {health.reason or 'another run is trying'}",
            exchange=self.exchange,
            until=until,
        )


def _reason(error: FetchError) -> str:
    return f"{type(error).__name__}: {error}"
