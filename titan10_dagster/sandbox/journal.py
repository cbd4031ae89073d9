"""The log of every request that an exchange of the sandbox received."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Entry:
    """A logged request. `seq`: its number in the order of arrival.

    `since` and `end` (exclusive): the requested range in epoch ms. `first` and `last`: the times of the first and last
    row of the answer in epoch ms. `monotonic`: the time of arrival in seconds, by the server's monotonic clock.
    `wall`: the time of arrival in epoch seconds. `seconds`: the time that the sandbox took to build the answer.
    `status`: the HTTP status; 0 if the connection is reset before the end of the answer.
    """

    seq: int
    exchange: str
    path: str
    query: Mapping[str, str]
    wall: float = field(default_factory=time.time)
    monotonic: float = field(default_factory=time.monotonic)
    kind: str | None = None
    symbol: str | None = None
    timeframe: str | None = None
    since: int | None = None
    end: int | None = None
    limit: int | None = None
    rows: int = 0
    first: int | None = None
    last: int | None = None
    status: int = 0
    weight: float = 0.0
    throttled: bool = False
    banned: bool = False
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Journal:
    """The log of the latest requests to an exchange.

    `path`: a file to which each answered request is also appended as a line of JSON. `keep`: the number of requests in
    memory.
    """

    def __init__(self, exchange: str, path: Path | None = None, *, keep: int = 500_000) -> None:
        self._exchange = exchange
        self._path = path
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._next = 1
        self._lock = threading.Lock()

    def open(self, path: str, query: Mapping[str, str]) -> Entry:
        """Add a new entry to the log and return it."""
        with self._lock:
            entry = Entry(self._next, self._exchange, path, dict(query))
            self._next += 1
            self._entries.append(entry)
            return entry

    def close(self, entry: Entry) -> None:
        """Record that the request was answered. If the log has a file, append the entry to it."""
        entry.seconds = time.monotonic() - entry.monotonic
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(vars(entry)) + "\n")

    def entries(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the entries whose number (`seq`) is at least `since`."""
        with self._lock:
            found = [entry for entry in self._entries if entry.seq >= since]
        return [vars(entry).copy() for entry in found]

    @property
    def next(self) -> int:
        return self._next

    def clear(self) -> None:
        """Remove all entries. The numbering of later entries continues."""
        with self._lock:
            self._entries.clear()
