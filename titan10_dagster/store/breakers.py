"""The circuit breakers and the paces of the exchanges, where every run and sensor sees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from titan10_dagster.planning.breaker import BreakerState, Health
from titan10_dagster.planning.pace import Pace
from titan10_dagster.store.database import Cursor, Database, retrying, single_row
from titan10_dagster.store.statements import statement

_COLUMNS = (
    "exchange, state, open_until, failures, reason, probe_until, changed_at, pace, pace_at, rest_until,"
    " last_error, last_error_at, shut_since"
)


class HealthStore:
    """Reads and changes an exchange's Health; an exchange that was never heard of is closed."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def load(self, exchange: str) -> Health:
        with self._db.transaction() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM exchange_health WHERE exchange = %s", [exchange])
            row = cursor.fetchone()
        return Health(exchange) if row is None else _health(*row)

    def load_all(self) -> dict[str, Health]:
        """Of every exchange that was ever heard of."""
        with self._db.transaction() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM exchange_health")
            return {row[0]: _health(*row) for row in cursor}

    def count_requests(self, exchange: str, hour: datetime, requests: int) -> None:
        """Add to the requests of the hour (its start, aware, UTC)."""
        parameters = {"exchange": exchange, "hour": hour, "requests": requests}
        with self._db.transaction() as cursor:
            cursor.execute(statement("count_requests"), parameters)

    def requests_since(self, hour: datetime) -> dict[str, int]:
        """The requests counted in that hour and later, by exchange."""
        with self._db.transaction() as cursor:
            cursor.execute(
                "SELECT exchange, sum(requests)::integer FROM exchange_requests WHERE hour >= %s GROUP BY exchange",
                [hour],
            )
            return dict(cursor.fetchall())

    def apply(self, exchange: str, change: Callable[[Health], Health]) -> Health:
        """Stores what `change` makes of the Health, and returns it; nobody else changes it meanwhile.

        Tried again while the database is away: what an exchange said of itself must not get lost.
        """
        return retrying(lambda: self._apply(exchange, change))

    def _apply(self, exchange: str, change: Callable[[Health], Health]) -> Health:
        with self._db.transaction() as cursor:
            cursor.execute("INSERT INTO exchange_health (exchange) VALUES (%s) ON CONFLICT DO NOTHING", [exchange])
            cursor.execute(f"SELECT {_COLUMNS} FROM exchange_health WHERE exchange = %s FOR UPDATE", [exchange])
            before = _health(*single_row(cursor))
            after = change(before)
            if after != before:
                _store(cursor, after)
        return after


def _health(exchange: str, state: str, *rest: Any) -> Health:
    (
        open_until,
        failures,
        reason,
        probe_until,
        changed_at,
        pace,
        pace_at,
        rest_until,
        last_error,
        last_error_at,
        shut_since,
    ) = rest
    return Health(
        exchange,
        BreakerState(state),
        open_until,
        failures,
        reason,
        probe_until,
        changed_at,
        Pace(pace, pace_at, rest_until),
        last_error,
        last_error_at,
        shut_since,
    )


def _store(cursor: Cursor, health: Health) -> None:
    cursor.execute(
        "UPDATE exchange_health"
        " SET state = %s, open_until = %s, failures = %s, reason = %s, probe_until = %s, changed_at = %s,"
        " pace = %s, pace_at = %s, rest_until = %s, last_error = %s, last_error_at = %s, shut_since = %s"
        " WHERE exchange = %s",
        [
            health.state.value,
            health.open_until,
            health.failures,
            health.reason,
            health.probe_until,
            health.changed_at,
            health.pace.share,
            health.pace.at,
            health.pace.rest_until,
            health.last_error,
            health.last_error_at,
            health.shut_since,
            health.exchange,
        ],
    )
