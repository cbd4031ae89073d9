"""Later checks of silences that cross midnight. The days of such a silence are checked together.

Late candles of such a silence often arrive together. If only the first day were checked, its candles would leave a
short silence after midnight, which looks like a lack of trades and would not be checked again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from titan10_dagster.planning.repairs import CheckedLater


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
