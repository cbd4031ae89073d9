"""Open alerts in the database, so that they survive a restart."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from titan10_dagster.planning.alerts import Alert, Kind
from titan10_dagster.store.database import Cursor, Database
from titan10_dagster.store.statements import statement

_COLUMNS = "kind, subject, message, since, last_seen, told, told_over, over_at"


class AlertStore:
    """Reads and stores alerts. At most one alert of a kind and subject is open."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def open(self) -> list[Alert]:
        """Return the alerts that last, or about whose end a notification is still to be sent."""
        with self._db.transaction() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM alerts WHERE NOT done ORDER BY since, kind, subject")
            return [_alert(*row) for row in cursor.fetchall()]

    def keep(self, keep: Iterable[Alert], forget: Iterable[Alert] = (), done: Iterable[Alert] = ()) -> None:
        """Store the first, delete the second and close the third, in one transaction.

        A new alert closes its predecessor, even if the notification about the predecessor's end is still to be sent.
        """
        with self._db.transaction() as cursor:
            for alert in forget:
                cursor.execute(
                    "DELETE FROM alerts WHERE (kind, subject, since) = (%s, %s, %s)", [*alert.key, alert.since]
                )
            for alert in keep:
                cursor.execute(
                    "UPDATE alerts SET done = true WHERE (kind, subject) = (%s, %s) AND since <> %s AND NOT done",
                    [*alert.key, alert.since],
                )
                _write(cursor, alert, done=False)
            for alert in done:
                _write(cursor, alert, done=True)


def _alert(
    kind: str,
    subject: str,
    message: str,
    since: datetime,
    last_seen: datetime,
    notified: list[str],
    notified_over: list[str],
    over_at: datetime | None,
) -> Alert:
    return Alert(Kind(kind), subject, message, since, last_seen, frozenset(notified), frozenset(notified_over), over_at)


def _write(cursor: Cursor, alert: Alert, *, done: bool) -> None:
    cursor.execute(
        statement("write_alerts"),
        {
            "kind": alert.kind.value,
            "subject": alert.subject,
            "since": alert.since,
            "last_seen": alert.last_seen,
            "message": alert.message,
            "due": alert.is_due,
            "told": sorted(alert.notified),
            "over_at": alert.over_at,
            "told_over": sorted(alert.notified_over),
            "done": done,
        },
    )
