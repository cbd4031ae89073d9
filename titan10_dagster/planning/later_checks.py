"""Later checks of settled slices: a day and a week after a reason became final, the exchange may have late candles.

These slices are checked:

- slices with a halt, an outage or a candle that came broken twice, however old
- slices of a busy series with a few minutes without trades. A pair that trades in nearly every minute is rarely silent,
  so such a hole may be data that the exchange published late. Only recent days are checked: an exchange that publishes
  late does so within days, and a backfill of years must not fetch each day three times.

Each check is one fetch of the slice. Both count as observations, so after two of them the slice is not checked again.

The days of a silence that crosses midnight are checked together. Late candles of such a silence often arrive together.
If only the first day were checked, its candles would leave a short silence after midnight, which looks like a lack of
trades.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from types import MappingProxyType

from titan10_dagster.candles.slices import Slice

# Number of observations so far -> time until the next check for late candles.
LATER_CHECKS: Mapping[int, timedelta] = MappingProxyType({2: timedelta(days=1), 3: timedelta(days=7)})

# A series is busy on a day if it has this share of its candles over this many stored days, up to the day itself.
BUSY_SHARE = 0.99
BUSY_DAYS = 7

# How long after its day a slice without trades is checked. The second check is usually due nine days after the day. It
# may be weeks late: Titan-10 did not run, the exchange banned it, or other repairs came first.
_HOLES_CHECKED_FOR = timedelta(days=30)


@dataclass(frozen=True)
class CheckedLater:
    """A settled slice with gaps that a late answer could correct; instants are UTC.

    Attributes:
        observations: the smallest number of observations of its gaps.
        last_seen: the last counted observation of its gaps.
        missing_until: the end of the last gap.
    """

    slice: Slice
    observations: int
    last_seen: datetime
    missing_until: datetime


def due_from(checked: CheckedLater, last_attempt: datetime) -> datetime | None:
    """Return when to check the slice after `last_attempt`; None if both checks are done."""
    pause = LATER_CHECKS.get(checked.observations)
    return None if pause is None else last_attempt + pause


def holes_checked_since(today: date) -> date:
    """Return the first day on which holes of busy series are still checked."""
    return today - _HOLES_CHECKED_FOR


def checked_together(slices: Iterable[CheckedLater]) -> list[CheckedLater]:
    """Return the slices by series and day.

    Each slice waits for the check of the next day if its gap continues there: the gap reaches midnight, and both days
    were observed equally often.
    """
    ordered = sorted(slices, key=lambda checked: (str(checked.slice.series), checked.slice.day), reverse=True)
    result: list[CheckedLater] = []
    for checked in ordered:
        if result and _is_continued(checked, result[-1]):
            checked = replace(checked, last_seen=max(checked.last_seen, result[-1].last_seen))
        result.append(checked)
    return result[::-1]


def _is_continued(checked: CheckedLater, after: CheckedLater) -> bool:
    """Return whether the silence of a slice may continue in the next slice."""
    if checked.slice.series != after.slice.series or checked.slice.end != after.slice.start:
        return False
    return checked.missing_until >= checked.slice.end and checked.observations == after.observations
