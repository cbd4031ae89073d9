"""The alerts that are open, where they outlive a restart."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from titan10_dagster.planning.alerts import Alert, Kind
from titan10_dagster.store.database import Cursor, Database
from titan10_dagster.store.statements import statement

_COLUMNS = "kind, subject, message, since, last_seen, told, told_over, over_at"


class AlertStore:
    """Reads and keeps alerts; of one kind and subject one is open at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def open(self) -> list[Alert]:
        """Those that are not over, or of whose end somebody is still to hear."""
        with self._db.transaction() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM alerts WHERE NOT done ORDER BY since, kind, subject")
            return [_alert(*row) for row in cursor.fetchall()]

    def keep(self, remember: Iterable[Alert], forget: Iterable[Alert] = (), done: Iterable[Alert] = ()) -> None:
        """Stores the first, deletes the second, closes the third; all or nothing.

        An alert that begins anew while its predecessor's end is still to be told closes the predecessor.
        """
        with self._db.transaction() as cursor:
            for alert in forget:
                cursor.execute(
                    "DELETE FROM alerts WHERE (kind, subject, since) = (%s, %s, %s)", [*alert.key, alert.since]
                )
            for alert in remember:
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
    told: list[str],
    told_over: list[str],
    over_at: datetime | None,
) -> Alert:
    return Alert(Kind(kind), subject, message, since, last_seen, frozenset(told), frozenset(told_over), over_at)


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
            "told": sorted(alert.told),
            "over_at": alert.over_at,
            "told_over": sorted(alert.told_over),
            "done": done,
        },
    )
