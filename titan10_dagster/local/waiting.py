"""Shows on the terminal why a command waits, for example because a disk is full. The whole log goes to a file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# The modules that repeat a statement, a call or a step after a failure. Each of these modules logs the reason as a
# warning before it waits.
LOGGERS = (
    "titan10_dagster.dagster_internals.patience",
    "titan10_dagster.defs.step_errors",
    "titan10_dagster.store.database",
)
QUIET_SECONDS = 30.0  # shortest time between two messages; the same reason may be logged every second


@contextmanager
def waits_shown(show: Callable[[str], None]) -> Iterator[None]:
    """While the context is open, pass the reason of a wait to `show`.

    The first reason is passed at once. Then at most one reason is passed every QUIET_SECONDS.
    """
    handler = _Waits(show)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _Waits(logging.Handler):
    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show
        self._next = 0.0  # the earliest time of the next message (time.monotonic)

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if record.name in LOGGERS and now >= self._next:
            self._next = now + QUIET_SECONDS
            self._show(f"Waiting: {record.getMessage()}.")
