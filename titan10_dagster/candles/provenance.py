"""The provenance of candles: stretches of a series, and for each stretch the file from which its candles were read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.fetched import FetchRecord
from titan10_dagster.candles.slices import Times, from_datetime64, to_datetime64
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.candles.timeframes import Timeframe

Window = tuple[datetime, datetime]  # the start and the end (exclusive) of a window; both are aware and in UTC


@dataclass(frozen=True, order=True)
class Stretch:
    """A stretch of a series. All its candles were read from one file.

    start, end: the start and the end (exclusive) of the stretch; both are aware and in UTC.
    file: the key of the file in the database.
    """

    start: datetime
    end: datetime
    file: int


def covered_stretches(record: FetchRecord, times: Times) -> list[tuple[datetime, datetime, SourceFile]]:
    """Return the stretches of a slice that were read from files, each with its file, in the order of the files.

    If the stretches of two files overlap, the candles of the common part were read from the file that comes later.

    If the files answered completely for the slice, each file is the source of the whole stretch that it covers,
    including minutes without trades. Otherwise a file is only the source of the candles that were read from it, because
    another source can add the missing candles.

    `times`: the starts of the valid candles of the slice, in ascending order.
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
        found += [(first, last, file) for first, last in stretches_of(inside, timeframe)]
    return found


def stretches_of(times: Times, timeframe: Timeframe) -> list[Window]:
    """Return the stretches in which no candle is missing. `times`: the starts of the present candles, ascending."""
    if not len(times):
        return []
    breaks = np.flatnonzero(np.diff(times) != np.timedelta64(timeframe.ms, "ms"))
    firsts = [0, *(breaks + 1).tolist()]
    lasts = [*breaks.tolist(), len(times) - 1]
    found = []
    for first, last in zip(firsts, lasts, strict=True):
        found.append((from_datetime64(times[first]), from_datetime64(times[last]) + timeframe.delta))
    return found


def replaced(known: Iterable[Stretch], new: Iterable[Stretch]) -> list[Stretch]:
    """Return the stretches of a series after new stretches were read.

    A new stretch replaces the parts of known stretches that overlap with it. If two new stretches overlap, their common
    part goes to the stretch that comes later in `new`. Neighbouring stretches from the same file are joined.

    `known`: the stretches before the new stretches were read. The known stretches must not overlap with each other.
    """
    added = _disjoint(list(new))
    kept = cut(known, [(stretch.start, stretch.end) for stretch in added])
    joined: list[Stretch] = []
    for stretch in sorted([*kept, *added]):
        if joined and joined[-1].file == stretch.file and joined[-1].end >= stretch.start:
            joined[-1] = replace(joined[-1], end=max(joined[-1].end, stretch.end))
        else:
            joined.append(stretch)
    return joined


def _disjoint(stretches: list[Stretch]) -> list[Stretch]:
    """Return the stretches without overlaps, sorted by time.

    The common part of two stretches goes to the stretch that comes later in `stretches`.
    """
    ordered = sorted(stretches)
    if all(earlier.end <= later.start for earlier, later in pairwise(ordered)):
        return ordered
    found: list[Stretch] = []
    for stretch in stretches:
        found = [*cut(found, [(stretch.start, stretch.end)]), stretch]
    return sorted(found)


def cut(stretches: Iterable[Stretch], windows: Iterable[Window]) -> list[Stretch]:
    """Return the stretches without the parts that are in the windows, sorted by time.

    The stretches must not overlap with each other, and the windows must not overlap with each other.
    """
    ordered, left, place = sorted(windows), [], 0
    for stretch in sorted(stretches):
        start = stretch.start
        while place < len(ordered) and ordered[place][1] <= start:
            place += 1
        for window_start, window_end in islice(ordered, place, None):
            if window_start >= stretch.end:
                break
            if start < window_start:
                left.append(replace(stretch, start=start, end=window_start))
            start = max(start, window_end)
        if start < stretch.end:
            left.append(replace(stretch, start=start))
    return left


def files_at(stretches: Iterable[Stretch], times: Times) -> NDArray[np.int64]:
    """Return the key of the file for each candle; 0 if the candle is not in any stretch.

    `times`: the starts of the candles.
    """
    ordered = sorted(stretches)
    found = np.zeros(len(times), np.int64)
    if not ordered:
        return found
    starts = np.array([to_datetime64(stretch.start) for stretch in ordered])
    ends = np.array([to_datetime64(stretch.end) for stretch in ordered])
    keys = np.array([stretch.file for stretch in ordered], np.int64)
    place = np.searchsorted(starts, times, side="right") - 1
    inside = (place >= 0) & (times < ends[np.maximum(place, 0)])
    found[inside] = keys[place[inside]]
    return found
