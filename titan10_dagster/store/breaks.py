"""Finds breaks and mass restatements while slices are written, and records them in the transaction of the write.

A break is a time at which the unit of a series' prices changes (see `candles/breaks.py`). A mass restatement is a write
that changes half or more of the stored candles of a slice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from titan10_dagster.candles.breaks import SAMPLE, Break, break_between, breaks_within, ends_of
from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.slices import Series, Slice, from_datetime64
from titan10_dagster.store import binary
from titan10_dagster.store.database import Cursor
from titan10_dagster.store.identities import EventKind, forget_breaks, record_breaks, record_event
from titan10_dagster.store.merge import Change
from titan10_dagster.store.statements import key, statement

# A mass restatement changes at least FEWEST_RESTATED candles, and at least the share MASS_SHARE of the slice's stored
# candles.
FEWEST_RESTATED = 12
MASS_SHARE = 0.5

# To find breaks, the written candles are compared with the nearest stored candles before and after them. Stored candles
# that are further away than this are not compared.
LONGEST_SILENCE = timedelta(days=180)

_STORED = ("M8[ms]", "f8", "f8", "f8", "f8", "f8")


@dataclass(frozen=True, eq=False)
class _Ends:
    """The candles at both ends of a slice after a write.

    `opens`: whether the write added or changed the first candle of the slice. `closes`: whether the write added or
    changed the last candle of the slice.
    """

    candles: Candles
    opens: bool
    closes: bool


@dataclass
class BreakFinder:
    """Searches for breaks in the slices of one write, between these slices, and between a slice and stored candles.

    Each slice is searched when it is written. The candles at its two ends are kept until all slices are written, and
    are then compared with the neighbouring candles. In a `live` write, the last slice has no candles after it, so the
    database is not searched for such candles.
    """

    live: bool = False
    _ends: defaultdict[Series, dict[Slice, _Ends]] = field(default_factory=lambda: defaultdict(dict))
    _within: defaultdict[Series, list[Break]] = field(default_factory=lambda: defaultdict(list))
    _seen_at: dict[Series, datetime] = field(default_factory=dict)

    def observe(self, change: Change) -> None:
        """Search a written slice for breaks, and keep the candles at its ends.

        If the write did not insert or change a candle of the slice, nothing happens.
        """
        if not change.inserted and not change.restated:
            return
        slice_, given = change.incoming.slice, change.incoming.candles
        candles, touched = given, given.times[change.new | change.changed]
        if len(change.stored):
            others = change.stored.where(~np.isin(change.stored.times, given.times))
            candles = Candles.joined(others, given).sorted()
        self._within[slice_.series] += breaks_within(candles)
        opens, closes = bool(candles.times[0] in touched), bool(candles.times[-1] in touched)
        self._ends[slice_.series][slice_] = _Ends(ends_of(candles), opens, closes)
        self._seen_at[slice_.series] = change.incoming.record.fetched_at

    def record(self, cursor: Cursor) -> None:
        """Record the breaks of all observed series. Delete recorded breaks that the candles no longer show."""
        for series, ends in self._ends.items():
            breaks = list(self._within[series])
            stretches = []
            for days in _consecutive(sorted(ends)):
                run = [ends[slice_] for slice_ in days]
                before, after = self._around(cursor, series, run)
                parts = [before, *(each.candles for each in run), after]
                for earlier, later in pairwise(parts):
                    found = break_between(earlier, later)
                    if found is not None:
                        breaks.append(found)
                stretches.append(_searched(run, after, series))
            kept = [found.at for found in breaks]
            for start, end in stretches:
                forget_breaks(cursor, series, start, end, kept)
            record_breaks(cursor, series, breaks, self._seen_at[series])

    def _around(self, cursor: Cursor, series: Series, run: Sequence[_Ends]) -> tuple[Candles, Candles]:
        """Return the stored candles directly before and directly after a run of slices.

        If the write did not add or change the first candle of the run, no candles before the run are returned. If the
        write did not add or change the last candle of the run, or if the write is `live`, no candles after the run are
        returned.
        """
        before = after = Candles.empty()
        if run[0].opens:
            before = _neighbours(cursor, "candles_before", series, run[0].candles.times[0])
        if run[-1].closes and not self.live:
            after = _neighbours(cursor, "candles_after", series, run[-1].candles.times[-1])
        return before, after


def _searched(run: Sequence[_Ends], after: Candles, series: Series) -> tuple[datetime, datetime]:
    """Return the start and the end (exclusive) of the time in which the search has found all breaks."""
    start = from_datetime64(run[0].candles.times[0])
    end = from_datetime64(after.times[0] if len(after) else run[-1].candles.times[-1])
    if not run[0].opens:
        # The first candle did not change, so it was not compared with the candles before it. An earlier write did this.
        start += series.timeframe.delta
    return start, end + series.timeframe.delta


def _consecutive(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Split the slices of a series into runs of consecutive days."""
    runs: list[list[Slice]] = []
    for slice_ in slices:
        if runs and runs[-1][-1].end == slice_.start:
            runs[-1].append(slice_)
        else:
            runs.append([slice_])
    return runs


def _neighbours(cursor: Cursor, name: str, series: Series, time: np.datetime64) -> Candles:
    """Return up to SAMPLE stored candles directly before or after an instant, in order of time.

    `name`: the statement, "candles_before" or "candles_after". The query is limited to LONGEST_SILENCE around the
    instant, so that TimescaleDB does not plan the query for all chunks.
    """
    instant = from_datetime64(time)
    earliest, latest = instant - LONGEST_SILENCE, instant + LONGEST_SILENCE
    query = cursor.mogrify(statement(name), (*key(series), instant, earliest, latest, SAMPLE)).decode()
    times, *values = binary.copy_out(cursor, query, _STORED)
    return Candles(times, np.stack(values)).sorted()


def record_mass_restatement(cursor: Cursor, change: Change) -> None:
    """Record an event if the change is a mass restatement (see FEWEST_RESTATED and MASS_SHARE)."""
    restated = change.restated
    if restated < FEWEST_RESTATED or restated < MASS_SHARE * len(change.stored):
        return
    slice_ = change.incoming.slice
    old = change.stored.take(change.position[change.changed])
    new = change.incoming.candles.where(change.changed)
    values = []
    for name in ("close", "volume"):
        before, after = float(np.median(getattr(old, name))), float(np.median(getattr(new, name)))
        values.append(f"the typical {name} was {before:.10g} and is {after:.10g}")
    detail = (
        f"{slice_.series.exchange} rewrote {restated:,} of {len(change.stored):,} candles of {slice_}: "
        f"{'; '.join(values)}. The former values are in the table restatements."
    )
    record_event(
        cursor,
        key(slice_.series),
        EventKind.MASS_RESTATEMENT,
        detail,
        at=slice_.start,
        seen_at=change.incoming.record.fetched_at,
    )
