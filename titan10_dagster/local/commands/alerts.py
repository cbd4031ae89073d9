"""`titan10 alerts`: the open alerts, and a test of the recipients."""

from __future__ import annotations

from typing import Any

import click

from titan10_dagster.errors import SettingsError
from titan10_dagster.local.instance import Say, open_tables
from titan10_dagster.local.tables import print_json, print_lines
from titan10_dagster.operate.delivery import Notification, deliver, scheme
from titan10_dagster.planning.alerts import Alert
from titan10_dagster.settings import Settings
from titan10_dagster.store.alerts import AlertStore

TEST = Notification(
    "Titan-10: a test", "This is a test: alerts will arrive here. There is nothing to do.", is_good=True
)


def send_test(settings: Settings, *, as_json: bool) -> bool:
    """Send a test message to all recipients, print the result for each, and return whether all accepted it.

    Raises:
        SettingsError: alerts.urls is empty.
    """
    urls = list(dict.fromkeys(url.get_secret_value() for url in settings.alerts.urls))
    if not urls:
        raise SettingsError(
            "alerts.urls is empty: set a recipient, such as TITAN10_ALERTS__URLS=file:///var/log/alerts."
        )
    taken = {url for url, _ in deliver({url: [TEST] for url in urls})}
    if as_json:
        print_json([{"service": scheme(url), "taken": url in taken} for url in urls])
    else:
        for number, url in enumerate(urls, start=1):
            click.echo(f"{number}. {scheme(url)}: {'accepted' if url in taken else 'NOT accepted'}")
    return len(taken) == len(urls)


def show_alerts(settings: Settings, say: Say, *, as_json: bool) -> None:
    """Print the open alerts, and the services to which alerts are sent."""
    with open_tables(settings, say) as db:
        rows = [_row(alert) for alert in AlertStore(db).open()]
    say(_recipients(settings))
    if as_json:
        print_json(rows)
        return
    print_lines("\n".join(_line(row) for row in rows) or "There are no alerts.")


def _recipients(settings: Settings) -> str:
    services = [scheme(url.get_secret_value()) for url in settings.alerts.urls]
    if not services:
        return "No alert recipients are configured (alerts.urls)."
    return f"Alerts are sent by {', '.join(services)}."


def _row(alert: Alert) -> dict[str, Any]:
    return {
        "kind": alert.kind.value,
        "exchange": alert.subject,
        "message": alert.message,
        "since": alert.since,
        "last_seen": alert.last_seen,
        "due": alert.is_due,
        "sent": bool(alert.notified),
        "over_at": alert.over_at,
    }


def _line(row: dict[str, Any]) -> str:
    return f"{row['since']:%Y-%m-%d %H:%M} UTC  {row['kind']} ({_state(row)})  {row['message']}"


def _state(row: dict[str, Any]) -> str:
    if row["over_at"]:
        return "ended"
    if row["sent"]:
        return "sent"
    return "not sent" if row["due"] else "not sent yet: the problem may end by itself"
