"""Sending letters by apprise: bounded in time, and no secret in what is said about it.

Beside apprise's own services there is `file:///path`, which appends a line of JSON to a file.
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

LONGEST = 30.0  # seconds for all letters: a sensor's tick has sixty


@dataclass(frozen=True)
class Letter:
    """What is sent; `is_good` says that something is over."""

    title: str
    body: str
    is_good: bool


def deliver(letters: Mapping[str, Sequence[Letter]], *, seconds: float = LONGEST) -> Iterator[tuple[str, Letter]]:
    """Sends to all URLs side by side, to each in order up to the first letter that it does not take.

    Yields each URL and letter as soon as the service took it. After `seconds` nobody waits any more: what is under way
    then may arrive without being yielded.
    """
    taken: Queue[tuple[str, Letter | None]] = Queue()
    waiting = {url for url, ones in letters.items() if ones}
    if waiting:
        _apprise()  # here, for filters of warnings are not for threads
    for url in waiting:
        # A daemon: a service that hangs for ever must not keep the process from ending.
        Thread(target=_send_all, args=(url, letters[url], taken), name="alerts", daemon=True).start()
    end = time.monotonic() + seconds
    while waiting:
        try:
            url, letter = taken.get(timeout=max(end - time.monotonic(), 0))
        except Empty:
            log.warning("%s took no letter in %.0f s; they are sent again later", _shown(waiting), seconds)
            return
        if letter is None:
            waiting.discard(url)
        else:
            yield url, letter


def scheme(url: str) -> str:
    """What may be said of a URL: its service. The rest may be a secret."""
    return url.partition("://")[0]


def _shown(urls: set[str]) -> str:
    return ", ".join(sorted(map(scheme, urls)))


def _send_all(url: str, letters: Sequence[Letter], taken: Queue[tuple[str, Letter | None]]) -> None:
    try:
        for letter in letters:
            if not _send(url, letter):
                log.warning("%s did not take an alert; it is sent again later", scheme(url))
                return
            taken.put((url, letter))
    except Exception as error:  # noqa: BLE001 - the edge of a thread; a service's own error may quote the URL
        log.warning("%s failed to send an alert (%s); it is sent again later", scheme(url), type(error).__name__)
    finally:
        taken.put((url, None))


def _send(url: str, letter: Letter) -> bool:
    if scheme(url).lower() == "file":  # not by apprise, which cuts the path at its first # or ?
        return _append(Path("/" + unquote(url.partition("://")[2]).lstrip("/")), letter)
    kind = "success" if letter.is_good else "warning"
    service = _apprise().Apprise()
    return bool(service.add(url) and service.notify(title=letter.title, body=letter.body, notify_type=kind))


@cache
def _apprise() -> Any:
    """apprise, imported when it is needed, for it takes a third of a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a module of the standard library that it still uses
        import apprise

        apprise.Apprise().add("json://localhost")  # loads its services, once
    return apprise


def _append(path: Path, letter: Letter) -> bool:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(letter), ensure_ascii=False) + "\n")
    except OSError as error:
        log.warning("alerts cannot be written: %s", error)
        return False
    return True
