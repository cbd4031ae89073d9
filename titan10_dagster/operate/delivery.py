"""Sends notifications with apprise, within a limited time and without secrets in the log.

In addition to the services of apprise, `file:///path` appends a line of JSON to a file.
"""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.parse import unquote

log = logging.getLogger(__name__)

LONGEST = 30.0  # time limit in seconds for all notifications of one sensor tick; Dagster allows a tick sixty seconds


@dataclass(frozen=True)
class Notification:
    """A message to send. `is_good`: False for a problem, True for the end of a problem and for a test."""

    title: str
    body: str
    is_good: bool


def deliver(
    outgoing: Mapping[str, Sequence[Notification]], *, seconds: float = LONGEST
) -> Iterator[tuple[str, Notification]]:
    """Send notifications to all URLs in parallel.

    The notifications for a URL are sent in order. If a service does not accept a notification, the later notifications
    for its URL are not sent. The function yields each URL and notification as soon as the service has accepted the
    notification. The function ends after `seconds` at the latest. A notification that is being sent at this time is not
    yielded, but the service possibly accepts it later.
    """
    accepted: Queue[tuple[str, Notification | None]] = Queue()
    waiting = {url for url, notifications in outgoing.items() if notifications}
    if waiting:
        # apprise is imported before the threads start, because the import changes the warning filters of all threads.
        _apprise()
    for url in waiting:
        # This is a daemon thread, because a service that never answers must not keep the process from ending.
        Thread(target=_send_all, args=(url, outgoing[url], accepted), name="alerts", daemon=True).start()
    end = time.monotonic() + seconds
    while waiting:
        try:
            url, notification = accepted.get(timeout=max(end - time.monotonic(), 0))
        except Empty:
            log.warning(
                "%s did not accept all alerts within %.0f s; Titan-10 sends the remaining alerts later",
                _shown(waiting),
                seconds,
            )
            return
        if notification is None:
            waiting.discard(url)
        else:
            yield url, notification


def scheme(url: str) -> str:
    """Return the name of the service: the part of the URL before `://`. The rest may be secret, so do not show it."""
    return url.partition("://")[0]


def _shown(urls: set[str]) -> str:
    return ", ".join(sorted(map(scheme, urls)))


def _send_all(
    url: str, notifications: Sequence[Notification], accepted: Queue[tuple[str, Notification | None]]
) -> None:
    try:
        for notification in notifications:
            if not _send(url, notification):
                log.warning("%s did not accept an alert; Titan-10 sends it again later", scheme(url))
                return
            accepted.put((url, notification))
    except Exception as error:  # noqa: BLE001 - the error must not end the thread, and may contain the URL
        log.warning(
            "sending an alert by %s failed (%s); Titan-10 sends the alert again later",
            scheme(url),
            type(error).__name__,
        )
    finally:
        accepted.put((url, None))


def _send(url: str, notification: Notification) -> bool:
    if scheme(url).lower() == "file":  # apprise would cut the path at the first # or ?
        return _append(Path("/" + unquote(url.partition("://")[2]).lstrip("/")), notification)
    kind = "success" if notification.is_good else "warning"
    service = _apprise().Apprise()
    if not service.add(url):
        return False
    return bool(service.notify(title=notification.title, body=notification.body, notify_type=kind))


@cache
def _apprise() -> Any:
    """Return the module apprise. It is imported at the first use, because the import takes a third of a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # apprise imports a deprecated module
        import apprise

        # The first call of `add` imports the modules of all services. Here, the warnings of these modules are ignored.
        apprise.Apprise().add("json://localhost")
    return apprise


def _append(path: Path, notification: Notification) -> bool:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(notification), ensure_ascii=False) + "\n")
    except OSError as error:
        log.warning("Cannot write an alert to a file: %s", error)
        return False
    return True
