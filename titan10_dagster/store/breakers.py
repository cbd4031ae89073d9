"""Stores the circuit breakers and paces of the exchanges in the database, where all runs and sensors share them.

This module has its own pool of connections, and a statement waits at most 0.1 s for a lock. If another process has
locked an exchange's row, the connection is returned to the pool, and the change is tried again a little later.
Therefore neither a write of candles nor a locked row can delay the breakers of other exchanges.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import psycopg2

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.planning.breaker import BreakerState, Health
from titan10_dagster.planning.pace import Pace
from titan10_dagster.store.database import SESSION, Cursor, Database, all_rows, retrying
from titan10_dagster.store.statements import statement

T = TypeVar("T")

_CONNECTIONS = 3
_SESSION = {**SESSION, "lock_timeout": "100"}  # milliseconds
_LOCKED_FOR = 120.0  # seconds; if a row is locked for longer, DatabaseUnavailable is raised
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds between attempts to lock a row; the last pause is repeated

_COLUMNS = (
    "exchange, state, open_until, failures, reason, probe_until, changed_at, pace, pace_at, rest_until,"
    " last_error, last_error_at, shut_since"
)
_SELECT = f"SELECT {_COLUMNS} FROM exchange_health"
_OF_EXCHANGE = f"{_SELECT} WHERE exchange = %s"


class HealthStore:
    """Reads and changes the Health of exchanges: their breakers and paces (see `planning/breaker.py`).

    An exchange that has no row yet has a closed breaker.
    """

    def __init__(self, db: Database) -> None:
        self.pool = db.separate_pool("breakers", max_connections=_CONNECTIONS, session=_SESSION)

    def load(self, exchange: str) -> Health:
        """Return the exchange's Health. The function only reads, so it does not wait for a locked row."""
        return _health_of(exchange, self.pool.query(_OF_EXCHANGE, [exchange]))

    def load_all(self) -> dict[str, Health]:
        """Return the Health of every exchange that has a row."""
        healths = [_health(row) for row in self.pool.query(_SELECT)]
        return {health.exchange: health for health in healths}

    def count_requests(self, exchange: str, hour: datetime, requests: int) -> None:
        """Add `requests` to the exchange's number of requests in an hour. `hour`: start of the hour (aware, UTC)."""
        parameters = {"exchange": exchange, "hour": hour, "requests": requests}

        def add() -> None:
            with self.pool.transaction() as cursor:
                cursor.execute(statement("count_requests"), parameters)

        _when_unlocked(add)

    def requests_since(self, hour: datetime) -> dict[str, int]:
        """Return the number of requests of each exchange since `hour`, the start of an hour (aware, UTC)."""
        of_exchanges = (
            "SELECT exchange, sum(requests)::integer AS requests FROM exchange_requests"
            " WHERE hour >= %s GROUP BY exchange"
        )
        return {row.exchange: row.requests for row in self.pool.query(of_exchanges, [hour])}

    def apply(self, exchange: str, change: Callable[[Health], Health]) -> Health:
        """Apply `change` to the exchange's Health, then store and return the result.

        `change` can be called several times. If `change` returns an equal Health, the database is only read. Otherwise
        this function locks the exchange's row, so that no other process changes the Health at the same time.

        Information from an exchange must not get lost. Therefore the call is repeated while the database is unavailable
        or another process has locked the row. If this lasts about two minutes, DatabaseUnavailable is raised.
        """
        return retrying(lambda: self._apply_if_needed(exchange, change))

    def _apply_if_needed(self, exchange: str, change: Callable[[Health], Health]) -> Health:
        before = self.load(exchange)
        if change(before) == before:
            return before
        return _when_unlocked(lambda: self._apply(exchange, change))

    def _apply(self, exchange: str, change: Callable[[Health], Health]) -> Health:
        with self.pool.transaction() as cursor:
            cursor.execute("INSERT INTO exchange_health (exchange) VALUES (%s) ON CONFLICT DO NOTHING", [exchange])
            cursor.execute(f"{_OF_EXCHANGE} FOR UPDATE", [exchange])
            before = _health_of(exchange, all_rows(cursor))
            after = change(before)
            if after != before:
                _store(cursor, after)
        return after


def _when_unlocked(run: Callable[[], T]) -> T:
    """Call `run` and return its result. While another process holds a lock, repeat the call, for up to two minutes."""
    deadline, pauses = time.monotonic() + _LOCKED_FOR, deque(_PAUSES)
    while True:
        try:
            return run()
        except DatabaseUnavailable as error:
            if not isinstance(error.__cause__, psycopg2.errors.LockNotAvailable) or time.monotonic() > deadline:
                raise
        time.sleep(pauses.popleft() if len(pauses) > 1 else pauses[0])


def _health_of(exchange: str, rows: Sequence[Any]) -> Health:
    """Return the Health in the exchange's row. An exchange without a row has the default Health."""
    return _health(rows[0]) if rows else Health(exchange)


def _health(row: Any) -> Health:
    return Health(
        exchange=row.exchange,
        state=BreakerState(row.state),
        open_until=row.open_until,
        failures=row.failures,
        reason=row.reason,
        probe_until=row.probe_until,
        changed_at=row.changed_at,
        pace=Pace(row.pace, row.pace_at, row.rest_until),
        last_error=row.last_error,
        last_error_at=row.last_error_at,
        shut_since=row.shut_since,
    )


def _store(cursor: Cursor, health: Health) -> None:
    cursor.execute(
        "UPDATE exchange_health"
        " SET state = %(state)s, open_until = %(open_until)s, failures = %(failures)s, reason = %(reason)s,"
        " probe_until = %(probe_until)s, changed_at = %(changed_at)s, pace = %(pace)s, pace_at = %(pace_at)s,"
        " rest_until = %(rest_until)s, last_error = %(last_error)s, last_error_at = %(last_error_at)s,"
        " shut_since = %(shut_since)s"
        " WHERE exchange = %(exchange)s",
        {
            **vars(health),
            "state": health.state.value,
            "pace": health.pace.share,
            "pace_at": health.pace.at,
            "rest_until": health.pace.rest_until,
        },
    )
