"""Is it all there? A stretch of one series: what it has room for, what is present, and why the rest is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from titan10_dagster.candles.gaps import Reason

# Missing candles that no exchange ever made: without them the stretch is as whole as the market was.
NEVER_MADE = frozenset({Reason.NO_TRADES, Reason.OUTAGE, Reason.PRE_LISTING, Reason.DELISTED})
NEVER_FETCHED = "never_fetched"

_MONDAY = datetime(2000, 1, 3, tzinfo=UTC)


@dataclass(frozen=True)
class Completeness:
    """Counts of candles. `missing` holds what is in a gap; what is in none of them was never fetched."""

    expected: int
    present: int
    missing: Mapping[Reason, int]

    @property
    def never_fetched(self) -> int:
        # Not below zero: candles may be written between counting them and counting the gaps.
        return max(0, self.expected - self.present - sum(self.missing.values()))

    @property
    def whole(self) -> bool:
        """Whether everything is present that the exchange ever made."""
        return not self.never_fetched and NEVER_MADE.issuperset(self.missing)

    @property
    def absent(self) -> dict[str, int]:
        """What is missing, by the name of its reason or "never_fetched"; without zeros."""
        told = {reason.value: count for reason, count in self.missing.items() if count}
        return told | ({NEVER_FETCHED: self.never_fetched} if self.never_fetched else {})


def whole_candles(start: datetime, end: datetime, step: timedelta) -> tuple[datetime, datetime]:
    """The part of [start, end) that whole candles of length `step` cover; empty (both equal) where none fits.

    `step` divides the day, or is a week, which begins on Monday.
    """
    first = -(-(start - _MONDAY) // step) * step + _MONDAY
    last = (end - _MONDAY) // step * step + _MONDAY
    return first, max(first, last)
