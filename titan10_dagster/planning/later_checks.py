"""Plan later checks of settled slices, because an exchange sometimes publishes candles late.

A checked slice is fetched again a day after its gaps became final, and once more a week later. Checked slices are:

- Slices with a halt, an outage, or a candle that was broken in two fetches. The age of the slice does not matter.
- Slices of a busy series with a few minutes without trades. A busy pair trades in nearly every minute, so a missing
  minute is possibly data that the exchange published late. Only recent days are checked. An exchange that publishes
  late usually does so within days, and a backfill of years must not fetch each day three times.

Each check is one fetch of the slice. It counts as an observation if the exchange answers completely. After two counted
checks the slice is not checked again.

If a silence crosses midnight, both days are checked together, because late candles of both days often arrive together.
If only the first day were fetched again and its candles arrived, only a short silence after midnight would remain. This
short silence would look like a lack of trades.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from types import MappingProxyType

from titan10_dagster.candles.slices import Slice

# The time until the next check for late candles, by the number of observations so far.
LATER_CHECKS: Mapping[int, timedelta] = MappingProxyType({2: timedelta(days=1), 3: timedelta(days=7)})

# A series is busy on a day if at least this share of the expected candles is present. The share is taken over the last
# BUSY_DAYS stored days up to this day. One absent candle is always allowed, because a week has only seven 1d candles.
BUSY_SHARE = 0.99
BUSY_DAYS = 7

# Minutes without trades of a busy series are only checked on days that are at most this old. The second check of a day
# is usually due nine days after the day. It can be weeks late if Titan-10 did not run, if the exchange banned Titan-10,
# or if other repairs came first.
_GAPS_CHECKED_FOR = timedelta(days=30)


@dataclass(frozen=True)
class CheckedLater:
    """A settled slice with gaps. Possibly the exchange publishes the missing candles late. Instants are aware and UTC.

    Attributes:
        observations: the number of observations of the gaps. If it differs between the gaps, it is the smallest number.
        last_seen: the time of the last counted observation of the gaps.
        missing_until: the end of the last gap.
    """

    slice: Slice
    observations: int
    last_seen: datetime
    missing_until: datetime


def due_from(checked: CheckedLater, last_attempt: datetime) -> datetime | None:
    """Return the time of the next check of the slice; None if both checks are done.

    `last_attempt`: the time of the last fetch of the slice, or of the last attempt to fetch it.
    """
    pause = LATER_CHECKS.get(checked.observations)
    return None if pause is None else last_attempt + pause


def gaps_checked_since(today: date) -> date:
    """Return the oldest day on which minutes without trades of busy series are still checked."""
    return today - _GAPS_CHECKED_FOR


def checked_together(slices: Iterable[CheckedLater]) -> list[CheckedLater]:
    """Return the slices sorted by series and day. The two days of a silence that crosses midnight are checked together.

    A silence possibly crosses midnight if a gap of a day reaches midnight, and the next day is in `slices` with the
    same number of observations. Then the day gets the later `last_seen` of the two days.
    """
    ordered = sorted(slices, key=lambda checked: (str(checked.slice.series), checked.slice.day), reverse=True)
    result: list[CheckedLater] = []
    for checked in ordered:
        if result and _is_continued(checked, result[-1]):
            checked = replace(checked, last_seen=max(checked.last_seen, result[-1].last_seen))
        result.append(checked)
    return result[::-1]


def _is_continued(checked: CheckedLater, after: CheckedLater) -> bool:
    """Return whether the silence at the end of a slice possibly continues in the next slice."""
    if checked.slice.series != after.slice.series or checked.slice.end != after.slice.start:
        return False
    return checked.missing_until >= checked.slice.end and checked.observations == after.observations
