"""Stores alerts in the database, so that open alerts survive a restart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from titan10_dagster.planning.alerts import Alert, Kind
from titan10_dagster.store.database import Cursor, Database
from titan10_dagster.store.statements import statement


class AlertStore:
    """Reads and writes alerts. For each kind and subject, at most one alert is open at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def open(self) -> list[Alert]:
        """Return the open alerts. An alert is open until its problem has ended and `keep` has closed it."""
        return [_alert(row) for row in self._db.query(statement("open_alerts"))]

    def keep(self, keep: Iterable[Alert], forget: Iterable[Alert] = (), done: Iterable[Alert] = ()) -> None:
        """Store the alerts in `keep`, delete the alerts in `forget`, and close the alerts in `done`.

        All changes are made in one transaction.

        If an alert in `keep` has the same kind and subject as an open alert that began at another time, the open alert
        is closed.
        """
        with self._db.transaction() as cursor:
            for alert in forget:
                cursor.execute(statement("delete_alert"), _key(alert))
            for alert in keep:
                cursor.execute(statement("close_earlier_alerts"), _key(alert))
                _write(cursor, alert, done=False)
            for alert in done:
                _write(cursor, alert, done=True)


def _alert(row: Any) -> Alert:
    return Alert(
        Kind(row.kind),
        row.subject,
        row.message,
        row.since,
        row.last_seen,
        frozenset(row.told),
        frozenset(row.told_over),
        row.over_at,
    )


def _key(alert: Alert) -> dict[str, Any]:
    return {"kind": alert.kind.value, "subject": alert.subject, "since": alert.since}


def _write(cursor: Cursor, alert: Alert, *, done: bool) -> None:
    cursor.execute(
        statement("write_alerts"),
        {
            **_key(alert),
            "last_seen": alert.last_seen,
            "message": alert.message,
            "due": alert.is_due,
            "told": sorted(alert.notified),
            "over_at": alert.over_at,
            "told_over": sorted(alert.notified_over),
            "done": done,
        },
    )
