"""Count the expected, present and missing candles of one series between two times.

Missing candles are counted by reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from titan10_dagster.candles.gaps import CONFIRMED_ABSENT, Reason

# These reasons mean that the exchange never made the candle. A period (for example a month of a series) is complete if
# all its missing candles have one of these reasons.
NEVER_MADE = CONFIRMED_ABSENT | {Reason.PRE_LISTING, Reason.DELISTED}
NEVER_FETCHED = "never_fetched"

_MONDAY = datetime(2000, 1, 3, tzinfo=UTC)


@dataclass(frozen=True)
class Completeness:
    """The numbers of expected, present and missing candles. `missing`: the number of candles in gaps, by reason."""

    expected: int
    present: int
    missing: Mapping[Reason, int]

    @property
    def never_fetched(self) -> int:
        # The candles and the gaps are counted one after the other. Another process can write candles in between, so the
        # difference can be negative.
        return max(0, self.expected - self.present - sum(self.missing.values()))

    @property
    def whole(self) -> bool:
        """Return whether every candle that the exchange made is present, as far as the reasons of the gaps show."""
        return not self.never_fetched and NEVER_MADE.issuperset(self.missing)

    @property
    def absent(self) -> dict[str, int]:
        """Return the number of missing candles by reason, including "never_fetched". Counts of zero are left out."""
        counts = {reason.value: count for reason, count in self.missing.items() if count}
        return counts | ({NEVER_FETCHED: self.never_fetched} if self.never_fetched else {})


def whole_candles(start: datetime, end: datetime, step: timedelta) -> tuple[datetime, datetime]:
    """Return the time range of all whole candles of length `step` that fit into [start, end).

    The result is the start of the first of these candles and the end of the last. If no whole candle fits, the two
    returned times are equal. `step`: one week, or a length that divides a day. A week begins on Monday.
    """
    first = -(-(start - _MONDAY) // step) * step + _MONDAY
    last = (end - _MONDAY) // step * step + _MONDAY
    return first, max(first, last)
