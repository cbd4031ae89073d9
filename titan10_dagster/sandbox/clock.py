"""The sandbox's own clock, which can be stopped and moved."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


def instant_ms(text: str | int | float | datetime) -> int:
    """Convert a datetime or an ISO 8601 text to epoch milliseconds. A time without a time zone is UTC.

    A number is taken as epoch milliseconds.
    """
    if isinstance(text, (int, float)):
        return int(text)
    if isinstance(text, str):
        text = datetime.fromisoformat(text)
    aware = text if text.tzinfo else text.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000)


class Clock:
    """A clock in epoch milliseconds. It runs or stands still, and can be set to another time.

    `start`: None for the real time, a time at which the clock stands still, or a function that replaces the real time.
    """

    def __init__(self, start: datetime | Callable[[], datetime] | None = None) -> None:
        self._source = start if callable(start) else None
        self._fixed = None if start is None or callable(start) else instant_ms(start)
        self._offset = 0

    def now_ms(self) -> int:
        if self._fixed is not None:
            return self._fixed
        real = instant_ms(self._source()) if self._source else time.time_ns() // 1_000_000
        return real + self._offset

    def stop_at(self, ms: int) -> None:
        self._fixed = ms

    def run_from(self, ms: int) -> None:
        """Set the clock to `ms`, and let the clock run from this time on."""
        self._fixed, self._offset = None, 0
        self._offset = ms - self.now_ms()

    def shift(self, seconds: float) -> None:
        moved = round(seconds * 1_000)
        if self._fixed is None:
            self._offset += moved
        else:
            self._fixed += moved

    def real(self) -> None:
        self._fixed, self._offset = None, 0
