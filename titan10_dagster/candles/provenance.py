"""Stretches of a series, and the files from which they were read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from titan10_dagster.candles.fetched import FetchRecord
from titan10_dagster.candles.slices import Times, from_datetime64, to_datetime64
from titan10_dagster.candles.source_files import SourceFile


@dataclass(frozen=True, order=True)
class Stretch:
    """The candles of a series in [start, end) (aware, UTC) that came from the file with this key."""

    start: datetime
    end: datetime
    file: int


def covered_stretches(record: FetchRecord, times: Times) -> list[tuple[datetime, datetime, SourceFile]]:
    """Return the stretches of a slice for which its files are the source, in order of time.

    `times` are those of its valid candles, ascending. The file of a complete slice is the source of its whole part of
    the day, minutes without trades included. The file of an incomplete slice is only the source of its candles, because
    another source may fill the rest.
    """
    timeframe = record.slice.series.timeframe
    found: list[tuple[datetime, datetime, SourceFile]] = []
    for file in record.files:
        start, end = max(file.start, record.slice.start), min(file.end, record.slice.end)
        if start >= end:
            continue
        if record.answered:
            found.append((start, end, file))
            continue
        inside = times[(times >= to_datetime64(start)) & (times < to_datetime64(end))]
        for first, last in _runs(inside, timeframe.ms):
            found.append((first, last + timeframe.delta, file))
    return sorted(found, key=lambda stretch: stretch[0])


def _runs(times: Times, step_ms: int) -> list[tuple[datetime, datetime]]:
    """Return the first and the last time of each run of consecutive candles."""
    if not len(times):
        return []
    breaks = np.flatnonzero(np.diff(times) != np.timedelta64(step_ms, "ms"))
    firsts = [0, *(breaks + 1).tolist()]
    lasts = [*breaks.tolist(), len(times) - 1]
    return [
        (from_datetime64(times[first]), from_datetime64(times[last])) for first, last in zip(firsts, lasts, strict=True)
    ]


def replaced(known: Iterable[Stretch], new: Sequence[Stretch]) -> list[Stretch]:
    """Return the stretches of a series after some were read again, without overlaps and with neighbours from the same
    file joined.

    A new stretch replaces known stretches that it overlaps.
    """
    kept = list(known)
    for stretch in new:
        left: list[Stretch] = []
        for old in kept:
            left += _without(old, stretch)
        kept = left
    joined: list[Stretch] = []
    for stretch in sorted([*kept, *new]):
        if joined and joined[-1].file == stretch.file and joined[-1].end >= stretch.start:
            joined[-1] = replace(joined[-1], end=max(joined[-1].end, stretch.end))
        else:
            joined.append(stretch)
    return joined


def _without(old: Stretch, new: Stretch) -> list[Stretch]:
    """Return the parts of the old stretch that the new stretch does not cover."""
    if new.end <= old.start or new.start >= old.end:
        return [old]
    parts: list[Stretch] = []
    if old.start < new.start:
        parts.append(replace(old, end=new.start))
    if new.end < old.end:
        parts.append(replace(old, start=new.end))
    return parts
