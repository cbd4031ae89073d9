"""Open stretches of time. It is not known yet whether their candles exist.

Instants are milliseconds since 1970 (UTC); stretches are half-open.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

Stretch = tuple[int, int]


class OpenStretches:
    """A set of stretches in ascending order, with gaps between them. Parts of it can be closed."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        self._stretches = sorted(stretches)

    def __bool__(self) -> bool:
        return bool(self._stretches)

    @property
    def start(self) -> int:
        """The first open instant; there must be one."""
        return self._stretches[0][0]

    @property
    def end(self) -> int:
        """The end of the last open stretch; there must be one."""
        return self._stretches[-1][1]

    def close(self, start: int, end: int) -> None:
        """Close [start, end)."""
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
        """Return the open parts of [start, end)."""
        return [(max(a, start), min(b, end)) for a, b in self._stretches if a < end and b > start]

    def is_closed(self, start: int, end: int) -> bool:
        """Return whether nothing of [start, end) is open."""
        after = bisect_left(self._stretches, (end,))
        return not (after and self._stretches[after - 1][1] > start)

    def first_outside(self, taken: Iterable[Stretch]) -> Stretch | None:
        """Return the first open part that no stretch of `taken` covers."""
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
