"""Open stretches: spans of time for which it is not yet known which candles exist.

Instants are in milliseconds since 1970 UTC. A stretch includes its start and excludes its end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

Stretch = tuple[int, int]


class OpenStretches:
    """The open stretches in ascending order. They do not overlap. Any part of them can be closed (removed)."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        self._stretches = sorted(stretches)

    def __bool__(self) -> bool:
        return bool(self._stretches)

    @property
    def start(self) -> int:
        """Return the start of the first open stretch. At least one stretch must be open."""
        return self._stretches[0][0]

    @property
    def end(self) -> int:
        """Return the end of the last open stretch. At least one stretch must be open."""
        return self._stretches[-1][1]

    def close(self, start: int, end: int) -> None:
        """Remove the time from `start` to `end` (exclusive) from the open stretches."""
        left: list[Stretch] = []
        for a, b in self._stretches:
            if b <= start or a >= end:
                left.append((a, b))
                continue
            if a < start:
                left.append((a, start))
            if end < b:
                left.append((end, b))
        self._stretches = left

    def within(self, start: int, end: int) -> list[Stretch]:
        """Return the open parts of the time from `start` to `end` (exclusive)."""
        return [(max(a, start), min(b, end)) for a, b in self._stretches if a < end and b > start]

    def is_closed(self, start: int, end: int) -> bool:
        """Return whether no part of the time from `start` to `end` (exclusive) is open."""
        after = bisect_left(self._stretches, (end,))
        return not (after and self._stretches[after - 1][1] > start)

    def first_outside(self, taken: Iterable[Stretch]) -> Stretch | None:
        """Return the first open part that is not covered by a stretch in `taken`; None if there is no such part."""
        ordered = sorted(taken)
        for start, end in self._stretches:
            for a, b in ordered:
                if a < end and b > start:
                    if a > start:
                        return start, a
                    start = b
            if start < end:
                return start, end
        return None
