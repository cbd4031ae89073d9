"""Completeness of a stretch of one series: expected and present candles, and the reasons of the missing ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from titan10_dagster.candles.gaps import CONFIRMED_ABSENT, Reason

# Reasons for candles that the exchange never made. A stretch that misses only such candles is complete.
NEVER_MADE = CONFIRMED_ABSENT | {Reason.PRE_LISTING, Reason.DELISTED}
NEVER_FETCHED = "never_fetched"

_MONDAY = datetime(2000, 1, 3, tzinfo=UTC)


@dataclass(frozen=True)
class Completeness:
    """Counts of candles. `missing` counts the candles in gaps, by reason."""

    expected: int
    present: int
    missing: Mapping[Reason, int]

    @property
    def never_fetched(self) -> int:
        # Never negative, even if candles are written between counting the candles and counting the gaps.
        return max(0, self.expected - self.present - sum(self.missing.values()))

    @property
    def whole(self) -> bool:
        """Whether every candle that the exchange made is present."""
        return not self.never_fetched and NEVER_MADE.issuperset(self.missing)

    @property
    def absent(self) -> dict[str, int]:
        """Count the missing candles by the name of their reason, or as "never_fetched"; without zeros."""
        counts = {reason.value: count for reason, count in self.missing.items() if count}
        return counts | ({NEVER_FETCHED: self.never_fetched} if self.never_fetched else {})


def whole_candles(start: datetime, end: datetime, step: timedelta) -> tuple[datetime, datetime]:
    """Return the part of [start, end) that whole candles of length `step` cover; both bounds are equal if none fits.

    `step` divides the day, or is a week, which begins on Monday.
    """
    first = -(-(start - _MONDAY) // step) * step + _MONDAY
    last = (end - _MONDAY) // step * step + _MONDAY
    return first, max(first, last)
